import { backoff, type Clock, type Logger, logEvent } from '../foundation/index.ts'
import { sqlStateOf } from '../postgres/classify-error.ts'
import type { Delivery, DeliveryResult } from '../transport/transport.ts'
import { CONTENDED, describeError, failureOf, recordOf } from './failure.ts'
import { FairQueue } from './fair-queue.ts'
import type { Handover } from './handover.ts'
import { LaneWork, type LaneWorkOptions, tenantOf } from './lane-work.ts'
import type { Message, Outcome } from './message.ts'
import { TRY_LASTS } from './probe.ts'
import type { Rate } from './rate.ts'
import { RestingKeys } from './resting-keys.ts'
import type { Resting, RetryPolicy } from './retry-policy.ts'

/**
 * One lane: the messages of the keys whose hash is this lane, at most one of a key at a time.
 *
 *   queued ──taken into a batch──▶ in transaction ──commit──▶ ended: ack
 *     ▲                                 └─fails─▶ again, who did it alone ──fails─┬─ transient, attempts left ─▶ key rests ─┐
 *     └──────────────── the rest is over ◀───────────────────────────│────────────────────────────────────────┘
 *                                                                    └─ else ─▶ line of its key: ack
 *   its tenant is paused, or has crowded out the others ▶ line of its key: ack
 *   at stop, or when the gate is closed: whatever has not begun ▶ later
 *
 * A resting key keeps its messages, and the lane goes on with other keys. A failing database is nobody's attempt.
 */
export interface LaneOptions<Tx> extends Omit<LaneWorkOptions<Tx>, 'lane'> {
  readonly lane: number
  readonly read: (delivery: Delivery) => Message
  readonly retry: RetryPolicy
  readonly clock: Clock
  readonly logger: Logger
  readonly rate?: Rate | undefined
  /** Told each outcome after it is durable. */
  readonly onEnded: (message: Delivery, outcome: Outcome, error?: unknown) => void
  /** Told each failed attempt that was the message's own. */
  readonly onFailed: (message: Delivery, attempt: number, error: unknown) => void
  /** An operator has closed the gate: nothing more may begin in this session. */
  readonly onClosed: () => void
}

interface Item {
  readonly key: string
  readonly tenant: string | undefined
  readonly delivery: Delivery
  readonly handover: Handover
  readonly index: number
  /** Failed attempts that were the message's own. */
  attempts: number
  /** Times that others were in the way: deadlocks and the like. */
  contended: number
  /** A batch has failed because of it, or may have. */
  alone: boolean
}

/** What a transaction of the lane has left to decide. */
interface FailedTurn {
  readonly items: readonly Item[]
  readonly error: unknown
  /** Which of them failed, where that is known. */
  readonly culprit: Item | undefined
}

export class LaneQueue<Tx> {
  readonly #options: LaneOptions<Tx>
  readonly #queue: FairQueue<Item>
  readonly #resting = new RestingKeys<Item>()
  readonly #work: LaneWork<Tx>
  /** In the transaction that runs now. */
  #taken = 0
  #draining: Promise<void> | undefined

  constructor(options: LaneOptions<Tx>) {
    this.#options = options
    this.#queue = new FairQueue(options.shares)
    // A turn has its permit before it takes anything.
    this.#work = new LaneWork({ ...options, permit: (work) => work() })
  }

  /** Messages that have not ended. */
  get size(): number {
    return this.#queue.size + this.#taken + this.#resting.size
  }

  get resting(): readonly Resting[] {
    return this.#resting.shown
  }

  /** Takes the delivery at `index` of a handover, and answers it when it has ended. */
  push(handover: Handover, index: number): void {
    if (this.#options.signal.aborted) {
      handover.answer(index, 'later')
      return
    }
    const delivery = handover.deliveries[index] as Delivery
    const { key } = delivery.message
    // A copy is fast: its tenants need not take turns.
    const tenant = this.#options.consumer.kind === 'replica' ? undefined : tenantOf(delivery.message)
    this.#options.shares.entered(tenant)
    const item = { key, tenant, delivery, handover, index, attempts: 0, contended: 0, alone: false }
    if (!this.#resting.join(item)) this.#queue.push(item)
    this.#drain()
  }

  /** At stop: what has not begun is answered `later`; resolves when nothing of this lane is in a transaction any more. */
  async close(): Promise<void> {
    for (const items of [this.#queue.takeAll(), this.#resting.takeAll()]) this.#later(items)
    await this.#draining
  }

  readonly #read = (item: Item): Message => this.#options.read(item.delivery)

  #drain(): void {
    // A microtask later, so that what is pushed together is taken together.
    this.#draining ??= Promise.resolve()
      .then(() => this.#run())
      .finally(() => {
        this.#draining = undefined
        if (this.#queue.size > 0 && !this.#options.signal.aborted) this.#drain()
      })
  }

  async #run(): Promise<void> {
    const { signal, rate, pace, permit } = this.#options
    while (this.#queue.size > 0 && !signal.aborted) {
      const most = pace.batch
      const granted = rate === undefined ? most : await rate.acquire(Math.min(most, Math.max(1, this.#queue.size)), signal)
      const failed = await permit(
        () => this.#turn(granted),
        () => (this.#crowding === undefined ? this.#queue.turn : FIRST),
      )
      if (failed === undefined) continue
      const { items, error, culprit } = failed
      if (items.length === 1) await this.#failed(items[0] as Item, error)
      else if (signal.aborted) this.#later(items)
      else {
        for (const item of items) item.alone ||= culprit === undefined || item === culprit
        this.#queue.unshift(items)
      }
    }
  }

  /** One transaction. What is next is decided only now: while it waited for its permit, somebody else may have come. */
  async #turn(granted: number): Promise<FailedTurn | undefined> {
    const { rate, shares } = this.#options
    const crowding = this.#crowding
    if (crowding !== undefined) {
      rate?.give(granted)
      await shares.makeRoom(() => this.#makeRoom(crowding))
      return undefined
    }
    const items = this.#queue.take(granted)
    rate?.give(granted - items.length)
    if (items.length === 0) return undefined
    this.#taken = items.length
    let begun: Message | undefined
    try {
      const messages = items.map(this.#read)
      const outcomes = await this.#work.handle(messages, items[0]?.attempts ?? 0, (message) => {
        begun = message
      })
      if (outcomes === undefined) this.#close(items)
      else for (const [i, item] of items.entries()) this.#end(item, outcomes[i] as Outcome)
      return undefined
    } catch (error) {
      // In a transaction that is aborted already, it was not the one that noticed.
      const known = sqlStateOf(error) === IN_FAILED_TRANSACTION ? undefined : begun?.incoming
      return { items, error, culprit: items.find(({ delivery }) => delivery.message === known) }
    } finally {
      this.#taken = 0
    }
  }

  /** Who has to make room, and has something here. */
  get #crowding(): string | undefined {
    const tenant = this.#options.shares.crowding
    return tenant !== undefined && this.#queue.has(tenant) ? tenant : undefined
  }

  /** The messages of a tenant that has crowded out the others go to their lines: the broker's queue moves on. */
  async #makeRoom(tenant: string): Promise<void> {
    const { clock, signal, logger, subscription } = this.#options
    const items = this.#queue.takeTenant(tenant, MOST_ASIDE)
    if (items.length === 0) return
    try {
      const outcomes = await this.#work.putAside(items.map(this.#read))
      if (outcomes === undefined) this.#close(items)
      else for (const [i, item] of items.entries()) this.#end(item, outcomes[i] as Outcome)
    } catch (error) {
      // One that can't be read, or a database that fails: they go on as the others do.
      if (signal.aborted) return this.#later(items)
      logEvent(logger, 'comity.message.not_put_aside', { subscription, error: describeError(error) })
      this.#queue.unshift(items)
      await clock.sleep(100, signal)
    }
  }

  /** Decides what a failure means, and either rests the key, parks the message, or waits for the database. */
  async #failed(item: Item, error: unknown): Promise<void> {
    const { retry, clock, logger, signal, subscription, probing } = this.#options
    const { key } = item
    if (signal.aborted) return this.#later([item])
    const failure = failureOf(error, retry.decide, item.attempts + 1)
    if (failure === 'outage' || (failure === 'contended' && item.contended < CONTENDED)) {
      item.contended++
      logEvent(logger, 'comity.message.database_failed', { subscription, reason: failure, error: describeError(error) })
      await clock.sleep(backoff(item.contended, { min: 20, max: 2000 }) + 5, signal)
      if (signal.aborted) return this.#later([item])
      this.#queue.unshift([item])
      return
    }
    item.attempts++
    this.#options.onFailed(item.delivery, item.attempts, error)
    // It may have ended the session.
    if (signal.aborted) return this.#later([item])
    // Whether it says something of all messages or only of itself, the others of this try will show. It comes again after the try.
    if (probing) return this.#rest(item, new Date(clock.now().getTime() + TRY_LASTS), recordOf(error).code)
    if (failure === 'permanent' || item.attempts >= retry.attempts)
      return this.#park(item, failure === 'not-yet' ? 'not-yet' : 'parked', error)
    const wait = backoff(item.attempts, retry.wait)
    this.#rest(item, new Date(clock.now().getTime() + wait), recordOf(error).code)
    void clock.sleep(wait, signal).then(() => this.#wakeKey(key))
  }

  /** Everything of its key that is queued rests behind it, in order. */
  #rest(item: Item, at: Date, code: string): void {
    this.#resting.rest([item, ...this.#queue.takeKey(item.key)], at, code)
  }

  #wakeKey(key: string): void {
    const items = this.#resting.wake(key)
    if (items.length === 0) return
    this.#queue.unshift(items)
    this.#drain()
  }

  /** Into the line, under the lane's lock; its followers find the line and join it. */
  async #park(item: Item, reason: 'parked' | 'not-yet', error: unknown): Promise<void> {
    const { subscription, logger, signal, clock, permit } = this.#options
    const message = this.#readable(item)
    const { id } = message.incoming
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        const outcomes = await permit(() => this.#work.park(message, reason, error, item.attempts))
        if (outcomes === undefined) return this.#close([item])
        const [outcome] = outcomes as readonly [Outcome]
        if (outcome === 'waiting')
          logEvent(logger, 'comity.message.waiting', {
            subscription,
            message: id,
            attempt: item.attempts,
            reason,
            error: describeError(error),
          })
        this.#end(item, outcome, error)
        return
      } catch (problem) {
        logEvent(logger, 'comity.message.not_parked', { subscription, message: id, error: describeError(problem) })
        await clock.sleep(backoff(failures, { min: 50, max: 5000 }) + 10, signal)
      }
    }
    this.#later([item])
  }

  #readable(item: Item): Message | Pick<Message, 'incoming'> {
    try {
      return this.#read(item)
    } catch {
      return { incoming: item.delivery.message }
    }
  }

  /** Nothing more begins in this session; what has not ended comes again in the next. */
  #close(items: readonly Item[]): void {
    this.#later(items)
    this.#options.onClosed()
  }

  #later(items: readonly Item[]): void {
    for (const item of items) this.#answer(item, 'later')
  }

  #end(item: Item, outcome: Outcome, error?: unknown): void {
    this.#answer(item, 'ack')
    this.#options.onEnded(item.delivery, outcome, error)
  }

  #answer({ handover, index, tenant }: Item, result: DeliveryResult): void {
    this.#options.shares.left(tenant)
    handover.answer(index, result)
  }
}

/** Messages of one tenant that go to their lines in one transaction. */
const MOST_ASIDE = 200
/** Before every turn: to make room is short, and others wait for it. */
const FIRST = -1
const IN_FAILED_TRANSACTION = '25P02'
