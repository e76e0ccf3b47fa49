import { placeOrder } from '../../place-order.ts'

export const runtime = 'nodejs' // the edge has no TCP to Postgres

export async function POST(request: Request): Promise<Response> {
  const { orderId, email } = (await request.json()) as { orderId?: unknown; email?: unknown }
  if (typeof orderId !== 'string' || typeof email !== 'string') return Response.json({ error: 'orderId and email' }, { status: 400 })
  await placeOrder({ orderId, email })
  return Response.json({ orderId }, { status: 201 })
}
