import { OrderPlaced, pool, shop } from './comity.config.ts'

export interface Order {
  readonly orderId: string
  readonly email: string
}

/** The order and its announcement are committed together, or neither is. Nothing here waits for a broker. */
export async function placeOrder(order: Order): Promise<void> {
  const tx = await pool.connect()
  try {
    await tx.query('begin')
    await tx.query('insert into orders (id, email) values ($1, $2)', [order.orderId, order.email])
    await shop.publish(tx, OrderPlaced, order)
    await tx.query('commit')
  } catch (error) {
    await tx.query('rollback')
    throw error
  } finally {
    tx.release()
  }
}
