import { backoff, type Clock, type Logger, logEvent } from '../foundation/index.ts'
import type { Delivery, DeliveryResult } from '../transport/transport.ts'
import type { Consumer } from './consumer.ts'
import { CONTENDED, describeError, failureOf } from './failure.ts'
import type { Handover } from './handover.ts'
import { inLane, type Lane, waitingKeys } from './lane-transaction.ts'
import type { Message, Outcome } from './message.ts'
import { append, type WaitingReason } from './waiting-line.ts'

/**
 * One lane: the messages of the keys whose hash is this lane, at most one of a key at a time.
 *
 *   queued ──taken into a batch──▶ in transaction ──commit──▶ ended: ack
 *     ▲                                 └─fails─▶ one by one ──fails─┬─ transient, attempts left ─▶ key rests ─┐
 *     └──────────────── the rest is over ◀───────────────────────────│────────────────────────────────────────┘
 *                                                                    └─ else ─▶ line of its key: ack
 *   at stop: whatever has not begun ▶ later
 *
 * A resting key keeps its messages, and the lane goes on with other keys. A failing database is nobody's attempt.
 */
export interface LaneOptions<Tx> extends Lane<Tx> {
  readonly generation: number
  readonly consumer: Consumer<Tx>
  readonly read: (delivery: Delivery) => Message
  readonly retry: RetryPolicy
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly logger: Logger
  /** Told each outcome after it is durable. */
  readonly onEnded: (message: Delivery, outcome: Outcome, error?: unknown) => void
}

export interface RetryPolicy {
  /** Tries in place, before the line; 1 = none but the first. */
  readonly attempts: number
  /** Bounds of the wait between two of them, in milliseconds. */
  readonly wait: { readonly min: number; readonly max: number }
}

interface Item {
  readonly delivery: Delivery
  readonly handover: Handover
  readonly index: number
  /** Failed attempts that were the message's own. */
  attempts: number
  /** Times that others were in the way: deadlocks and the like. */
  contended: number
}

export class LaneQueue<Tx> {
  readonly #options: LaneOptions<Tx>
  #queue: Item[] = []
  /** Keys between two attempts, with what has come for them meanwhile; the head is the one that failed. */
  readonly #resting = new Map<string, Item[]>()
  #draining: Promise<void> | undefined

  constructor(options: LaneOptions<Tx>) {
    this.#options = options
  }

  /** Messages that have not ended. */
  get size(): number {
    let size = this.#queue.length
    for (const items of this.#resting.values()) size += items.length
    return size
  }

  /** Takes the delivery at `index` of a handover, and answers it when it has ended. */
  push(handover: Handover, index: number): void {
    if (this.#options.signal.aborted) {
      handover.answer(index, 'later')
      return
    }
    const delivery = handover.deliveries[index] as Delivery
    const item = { delivery, handover, index, attempts: 0, contended: 0 }
    const resting = this.#resting.get(delivery.message.key)
    if (resting) resting.push(item)
    else this.#queue.push(item)
    this.#drain()
  }

  /** At stop: what has not begun is answered `later`; resolves when nothing of this lane is in a transaction any more. */
  async close(): Promise<void> {
    for (const items of [this.#queue, ...this.#resting.values()]) for (const item of items) answer(item, 'later')
    this.#queue = []
    this.#resting.clear()
    await this.#draining
  }

  #drain(): void {
    // A microtask later, so that what is pushed together is taken together.
    this.#draining ??= Promise.resolve()
      .then(() => this.#run())
      .finally(() => {
        this.#draining = undefined
        if (this.#queue.length > 0 && !this.#options.signal.aborted) this.#drain()
      })
  }

  async #run(): Promise<void> {
    const { signal, consumer } = this.#options
    // How many are to be run alone, because the batch they were in failed.
    let alone = 0
    while (this.#queue.length > 0 && !signal.aborted) {
      const items = this.#queue.splice(0, alone > 0 ? 1 : consumer.batch)
      alone = Math.max(0, alone - 1)
      try {
        const outcomes = await this.#transact(items)
        for (const [i, item] of items.entries()) this.#end(item, outcomes[i] as Outcome)
      } catch (error) {
        if (items.length === 1) await this.#failed(items[0] as Item, error)
        else if (signal.aborted) for (const item of items) answer(item, 'later')
        else {
          this.#queue.unshift(...items)
          alone = items.length
        }
      }
    }
  }

  async #transact(items: readonly Item[]): Promise<readonly Outcome[]> {
    const { subscription, generation, consumer, signal, read } = this.#options
    const messages = items.map((item) => read(item.delivery))
    const newest = messages.reduce((time, { envelope }) => (envelope.time > time ? envelope.time : time), '')
    return inLane(this.#options, { time: newest }, async (tx, sql) => {
      const waiting = await waitingKeys(
        sql,
        subscription,
        messages.map((message) => message.incoming.key),
      )
      const go = waiting.size === 0 ? messages : messages.filter((message) => !waiting.has(message.incoming.key))
      const outcomes =
        go.length === 0
          ? []
          : await consumer.consume({ messages: go, subscription, generation, attempt: items[0]?.attempts ?? 0, tx, sql, signal })
      if (waiting.size === 0) return outcomes
      const followers = messages.filter((message) => waiting.has(message.incoming.key))
      const done = await consumer.done?.({ messages: followers, subscription, generation, sql })
      const ended = outcomes[Symbol.iterator]()
      const all: Outcome[] = []
      for (const { incoming } of messages) {
        if (!waiting.has(incoming.key)) all.push(ended.next().value as Outcome)
        else if (done?.has(incoming.id)) all.push('duplicate')
        else all.push(await append(sql, subscription, { message: incoming, reason: 'parked', generation, attempts: 0 }))
      }
      return all
    })
  }

  /** Decides what a failure means, and either rests the key, parks the message, or waits for the database. */
  async #failed(item: Item, error: unknown): Promise<void> {
    const { retry, clock, logger, signal, subscription } = this.#options
    const { key } = item.delivery.message
    if (signal.aborted) return answer(item, 'later')
    const failure = failureOf(error)
    if (failure === 'outage' || (failure === 'contended' && item.contended < CONTENDED)) {
      item.contended++
      logEvent(logger, 'comity.message.database_failed', { subscription, reason: failure, error: describeError(error) })
      await clock.sleep(backoff(item.contended, { min: 20, max: 2000 }) + 5, signal)
      if (signal.aborted) return answer(item, 'later')
      this.#queue.unshift(item)
      return
    }
    item.attempts++
    if (failure === 'permanent' || item.attempts >= retry.attempts)
      return this.#park(item, failure === 'not-yet' ? 'not-yet' : 'parked', error)
    // Everything of this key that is queued rests behind it, in order.
    this.#resting.set(key, [item, ...this.#queue.filter((other) => other.delivery.message.key === key)])
    this.#queue = this.#queue.filter((other) => other.delivery.message.key !== key)
    void clock.sleep(backoff(item.attempts, retry.wait), signal).then(() => this.#wakeKey(key))
  }

  #wakeKey(key: string): void {
    const items = this.#resting.get(key)
    this.#resting.delete(key)
    if (items === undefined) return
    this.#queue.unshift(...items)
    this.#drain()
  }

  /** Into the line, under the lane's lock; its followers find the line and join it. */
  async #park(item: Item, reason: WaitingReason, error: unknown): Promise<void> {
    const { subscription, generation, logger, signal, clock } = this.#options
    const { message } = item.delivery
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        const [outcome] = await inLane(this.#options, {}, async (_tx, sql) => [
          await append(sql, subscription, { message, reason, generation, attempts: item.attempts, error }),
        ])
        logEvent(logger, 'comity.message.waiting', {
          subscription,
          message: message.id,
          attempt: item.attempts,
          reason,
          error: describeError(error),
        })
        this.#end(item, outcome as Outcome, error)
        return
      } catch (problem) {
        logEvent(logger, 'comity.message.not_parked', { subscription, message: message.id, error: describeError(problem) })
        await clock.sleep(backoff(failures, { min: 50, max: 5000 }) + 10, signal)
      }
    }
    answer(item, 'later')
  }

  #end(item: Item, outcome: Outcome, error?: unknown): void {
    answer(item, 'ack')
    this.#options.onEnded(item.delivery, outcome, error)
  }
}

function answer({ handover, index }: Item, result: DeliveryResult): void {
  handover.answer(index, result)
}
