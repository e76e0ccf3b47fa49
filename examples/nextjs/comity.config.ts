/** The teams as their own processes run them: `comity run`. The Next.js app imports `shop` too, and only publishes. */
import { event } from '@comity/contract'
import { type Team, team } from 'comity'
import { fromPg } from 'comity/pg'
import pg from 'pg'
import { z } from 'zod'

export const OrderPlaced = event('shop.order-placed', {
  key: 'orderId',
  data: z.object({ orderId: z.string(), email: z.email() }),
})

/** The app's own pool; it connects at the first request, not at import. */
export const pool = new pg.Pool({ connectionString: process.env.SHOP_URL, max: 3 })

export const shop: Team<pg.PoolClient> = team('shop', { database: fromPg(pool), transport: process.env.BUS_URL }).publishes(OrderPlaced)

export const mail: Team = team('mail', { database: process.env.MAIL_URL, transport: process.env.BUS_URL }).on(
  OrderPlaced,
  async ({ data }, { tx }) => {
    await tx.query('insert into mails (order_id, recipient) values ($1, $2)', [data.orderId, data.email])
  },
)
