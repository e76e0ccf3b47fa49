import { bucketOf } from '@comity/contract'
import type { Delivery, DeliveryResult } from '../transport/transport.ts'
import { Handover } from './handover.ts'
import { type LaneOptions, LaneQueue } from './lane.ts'
import type { Resting } from './retry-policy.ts'

/**
 * One time of receiving, under one generation. An operator's act (a pause, a replay) ends it: what has not begun is answered
 * `later`, and the next session, if there is one, begins with what the database says then.
 */
export class Session<Tx> {
  readonly generation: number
  readonly #lanes: readonly LaneQueue<Tx>[]
  readonly #end: AbortController
  readonly #closed: Promise<void>
  /** Calls of the transport that are not answered whole, and when the first message of each was sent. */
  readonly #unanswered = new Map<Handover, Date>()

  /** @param signal ends it from outside */
  constructor(options: Omit<LaneOptions<Tx>, 'lane' | 'signal' | 'onClosed'>, signal: AbortSignal) {
    this.generation = options.generation
    const end = new AbortController()
    this.#end = end
    this.#lanes = Array.from(
      { length: options.lanes },
      (_, lane) => new LaneQueue<Tx>({ ...options, lane, signal: end.signal, onClosed: () => this.end() }),
    )
    this.#closed = new Promise((resolve) => {
      end.signal.addEventListener('abort', () => resolve(Promise.all(this.#lanes.map((lane) => lane.close())).then(() => undefined)))
    })
    if (signal.aborted) this.end()
    signal.addEventListener('abort', () => this.end(), { once: true, signal: end.signal })
  }

  get signal(): AbortSignal {
    return this.#end.signal
  }
  /** Delivered and not ended. */
  get inFlight(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.size, 0)
  }
  /** When the oldest message of an unanswered call was sent: a bucket's messages come in order, so the first of a call is its oldest. */
  get oldestSentAt(): Date | undefined {
    let oldest: Date | undefined
    for (const sentAt of this.#unanswered.values()) if (oldest === undefined || sentAt < oldest) oldest = sentAt
    return oldest
  }
  get resting(): readonly Resting[] {
    return this.#lanes.flatMap((lane) => lane.resting)
  }

  readonly dispatch = (deliveries: readonly Delivery[]): Promise<readonly DeliveryResult[]> => {
    const handover = new Handover(deliveries)
    const [first] = deliveries
    if (first !== undefined) this.#unanswered.set(handover, first.message.sentAt)
    for (const [index, delivery] of deliveries.entries()) {
      const lane = this.#lanes[bucketOf(delivery.message.key, this.#lanes.length)] as LaneQueue<Tx>
      lane.push(handover, index)
    }
    return handover.results.finally(() => this.#unanswered.delete(handover))
  }

  /** Nothing more begins. */
  end(): void {
    this.#end.abort()
  }

  /** Resolves when nothing of it is in a transaction any more. */
  get closed(): Promise<void> {
    return this.#closed
  }
}
