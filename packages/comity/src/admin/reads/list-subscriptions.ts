import type { Declaration } from '../../catalog/declaration.ts'
import type { Environment } from '../../catalog/environment.ts'
import { requireInstalled } from '../installation.ts'
import { type SubscriptionState, type SubscriptionStatus, subscriptionStatuses } from '../subscription-status.ts'

export interface SubscriptionFilter {
  /** In its name or its topic, in whatever case. */
  readonly text?: string | undefined
  readonly state?: SubscriptionState | undefined
  /** Of whom something waits there, or who is paused there. */
  readonly tenant?: string | undefined
  /** Default: by name. */
  readonly sort?: SubscriptionSort | undefined
}

export const SUBSCRIPTION_SORTS = ['name', 'lag', 'oldest', 'waiting'] as const
export type SubscriptionSort = (typeof SUBSCRIPTION_SORTS)[number]

/** Numbers: the larger come first. What nobody knows comes before everything. */
const WEIGHT: Readonly<Record<SubscriptionSort, (one: SubscriptionStatus) => number>> = {
  name: () => 0,
  lag: ({ lag }) => lag ?? Number.MAX_SAFE_INTEGER,
  oldest: ({ oldestSeconds }) => oldestSeconds ?? 0,
  waiting: ({ waiting }) => waiting,
}

const OF_TENANT = `
  select subscription from comity.waiting_keys where tenant = $1::text
  union select subscription from comity.pauses where tenant = $1::text`

/** The subscriptions of a team with their state, and those that only its database knows. */
export async function listSubscriptions(
  declaration: Declaration,
  environment: Environment,
  { text, state, tenant, sort = 'name' }: SubscriptionFilter = {},
): Promise<readonly SubscriptionStatus[]> {
  await requireInstalled(environment)
  const all = await subscriptionStatuses(declaration, environment)
  const rows = tenant === undefined ? [] : (await environment.database.query<{ subscription: string }>(OF_TENANT, [tenant])).rows
  const ofTenant = new Set(rows.map(({ subscription }) => subscription))
  const wanted = text?.toLowerCase()
  return all
    .filter((one) => wanted === undefined || `${one.name} ${one.topic}`.toLowerCase().includes(wanted))
    .filter((one) => state === undefined || one.state === state)
    .filter((one) => tenant === undefined || ofTenant.has(one.name) || ofTenant.has(''))
    .sort((a, b) => WEIGHT[sort](b) - WEIGHT[sort](a) || (a.name < b.name ? -1 : 1))
}
