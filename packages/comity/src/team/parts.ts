import type { Clearance } from '../control/clearance.ts'
import type { Loop } from '../foundation/index.ts'
import type { Relay } from '../relay/relay.ts'
import type { Subscription } from '../subscription/subscription.ts'

/** What runs for a team in this process. */
export interface Parts {
  readonly clearance: Clearance
  readonly relay: Relay | undefined
  readonly subscriptions: ReadonlyMap<string, Subscription>
  /** What is looked after from time to time. */
  readonly loops: readonly Loop[]
}
