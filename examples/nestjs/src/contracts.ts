/** What the two teams share. */
import { entity, event } from '@comity/contract'
import { z } from 'zod'

export const Product = entity('shop.product', {
  key: 'id',
  state: z.object({ id: z.string(), name: z.string(), price: z.int() }),
})
export const OrderPlaced = event('shop.order-placed', {
  key: 'orderId',
  data: z.object({ orderId: z.string(), productId: z.string(), email: z.email() }),
})
