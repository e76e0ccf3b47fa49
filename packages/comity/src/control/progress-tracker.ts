import { type Clock, systemClock } from '../foundation/index.ts'
import type { RelayProgress } from '../relay/relay.ts'
import type { SubscriptionProgress } from '../subscription/subscription-progress.ts'
import type { Activity } from './contracts.ts'

/** A subscription that this process runs. */
export interface WatchedSubscription {
  readonly name: string
  /** Milliseconds after which something should have ended: {@link patienceFor} of its handler's time limit. */
  readonly patience: number
  progress(): SubscriptionProgress
}

/** What a process reports of itself, into its row of `comity.processes`. */
export interface ProcessProgress {
  /** Only of the process that relays. */
  readonly relay?: {
    readonly sent: number
    /** Neither sent nor moved the checkpoint for a while: no harm, unless something is pending. */
    readonly still: boolean
    readonly troubleSince?: string
  }
  readonly subscriptions: Readonly<Record<string, SubscriptionActivity>>
}
export interface SubscriptionActivity {
  readonly state: Activity
  readonly inFlight: number
  /** When the oldest of them was sent, ISO 8601. */
  readonly oldestSentAt?: string
  /** Since this process started. */
  readonly ended: number
  /** Keys between two attempts, and handlers that have been running for a second or more: the first of each. */
  readonly resting?: SubscriptionProgress['resting']
  readonly running?: SubscriptionProgress['running']
  /** Who has most of what is in flight. */
  readonly tenants?: SubscriptionProgress['tenants']
}

/** Of what could be long, in a process's row. */
const SHOWN = 20
const SHORTEST_PATIENCE = 30_000

/** How long a subscription may have messages in flight and end none, in milliseconds. */
export function patienceFor(handlerTimeout: number): number {
  return Math.max(SHORTEST_PATIENCE, 2 * handlerTimeout)
}

/**
 * Judges by what moved, not by a timer that still fires: a handler that hangs, or a pool without a free connection, leaves a process that
 * is alive by every other sign.
 *
 *   idle ──something in flight──▶ working ──nothing ended for its patience──▶ stuck ──something ended──▶ working
 *                                    └── the broker can't be reached ──▶ trouble
 */
export class ProgressTracker {
  readonly #subscriptions: readonly WatchedSubscription[]
  readonly #relay: (() => RelayProgress) | undefined
  readonly #clock: Clock
  /** Per subscription, and for the relay (''): what was seen last, and when it last changed. */
  readonly #seen = new Map<string, { readonly value: string; readonly at: number }>()

  constructor(options: {
    readonly subscriptions: readonly WatchedSubscription[]
    readonly relay: (() => RelayProgress) | undefined
    readonly clock?: Clock
  }) {
    this.#subscriptions = options.subscriptions
    this.#relay = options.relay
    this.#clock = options.clock ?? systemClock
  }

  read(): ProcessProgress {
    const relay = this.#relay?.()
    return {
      ...(relay?.leading ? { relay: this.#relaying(relay) } : {}),
      subscriptions: Object.fromEntries(this.#subscriptions.map((one) => [one.name, this.#activityOf(one)])),
    }
  }

  #relaying({ sent, checkpoint, troubleSince }: RelayProgress): NonNullable<ProcessProgress['relay']> {
    const still = this.#unchangedFor('', `${sent} ${checkpoint}`) >= SHORTEST_PATIENCE
    return { sent, still, ...(troubleSince === undefined ? {} : { troubleSince: troubleSince.toISOString() }) }
  }

  #activityOf({ name, patience, progress }: WatchedSubscription): SubscriptionActivity {
    const { inFlight, oldestSentAt, ended: outcomes, troubleSince, pausedBy, resting, running, tenants } = progress()
    const ended = Object.values(outcomes).reduce((sum, n) => sum + n, 0)
    // What comes after a silence has its own patience: the clock starts when something is in flight.
    const stillFor = this.#unchangedFor(name, `${ended} ${inFlight > 0}`)
    const state =
      inFlight > 0 && stillFor >= patience
        ? 'stuck'
        : troubleSince !== undefined
          ? 'trouble'
          : pausedBy !== undefined
            ? 'paused'
            : inFlight > 0
              ? 'working'
              : 'idle'
    return {
      ...{ state, inFlight, ended },
      ...(oldestSentAt === undefined ? {} : { oldestSentAt: oldestSentAt.toISOString() }),
      ...(resting.length === 0 ? {} : { resting: resting.slice(0, SHOWN) }),
      ...(running.length === 0 ? {} : { running: running.slice(0, SHOWN) }),
      ...(tenants.length === 0 ? {} : { tenants }),
    }
  }

  #unchangedFor(name: string, value: string): number {
    const now = this.#clock.monotonic()
    const seen = this.#seen.get(name)
    if (seen?.value === value) return now - seen.at
    this.#seen.set(name, { value, at: now })
    return 0
  }
}
