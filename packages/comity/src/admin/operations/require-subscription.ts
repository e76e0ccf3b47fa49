import { editDistance } from '../../foundation/options.ts'
import type { Queryable } from '../../postgres/database.ts'
import { SubscriptionNotHere } from '../errors.ts'

/** Throws COMITY_SUBSCRIPTION_NOT_HERE, with the name that was probably meant. */
export async function requireSubscription(
  sql: Queryable,
  team: string,
  subscription: string,
  others: readonly string[] = [],
): Promise<void> {
  const { rows } = await sql.query<{ name: string }>('select name from comity.subscriptions order by name')
  const names = [...rows.map(({ name }) => name), ...others]
  if (names.includes(subscription)) return
  const near = names.sort((a, b) => editDistance(a, subscription) - editDistance(b, subscription))[0]
  throw new SubscriptionNotHere({ team, subscription, hint: near === undefined ? 'it has none' : `did you mean ${near}?` })
}
