'use server'

import { placeOrder } from '../place-order.ts'

/** The form's server action: the same transaction. */
export async function order(form: FormData): Promise<void> {
  await placeOrder({ orderId: String(form.get('orderId')), email: String(form.get('email')) })
}
