import type { ReactNode } from 'react'
import { order } from './actions.ts'

export default function Page(): ReactNode {
  return (
    <form action={order}>
      <input name="orderId" required={true} />
      <input name="email" type="email" required={true} />
      <button type="submit">Order</button>
    </form>
  )
}
