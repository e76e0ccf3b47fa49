import type { Running } from './consumer.ts'
import type { Outcome } from './message.ts'
import type { Resting } from './retry-policy.ts'

/** What an operator (or the breaker) wants of a subscription. */
export interface Desired {
  readonly generation: number
  readonly seeking: boolean
  /** Null: as its name says. */
  readonly brokerName: string | null
  readonly pausedBy: 'operator' | 'breaker' | undefined
  readonly pausedTenants: ReadonlySet<string>
  /** How many processes share a rate. */
  readonly processes: number
  /** How often its entity has changed hands, as some process has heard. */
  readonly handOvers: number
}

export interface SubscriptionProgress {
  /** Delivered and not ended, in this process. */
  readonly inFlight: number
  /** When the oldest of them was sent. */
  readonly oldestSentAt: Date | undefined
  readonly ended: Readonly<Record<Outcome, number>>
  /** When the last message ended; undefined if none has. */
  readonly lastEndedAt: Date | undefined
  /** Since when the broker can't be reached; undefined while it can. */
  readonly troubleSince: Date | undefined
  readonly pausedBy: 'operator' | 'breaker' | undefined
  /** Keys between two attempts. */
  readonly resting: readonly Resting[]
  /** Handlers that have been running for a second or more. */
  readonly running: readonly Running[]
  /** Who has most of what is in flight. */
  readonly tenants: readonly { readonly tenant: string; readonly inside: number }[]
}
