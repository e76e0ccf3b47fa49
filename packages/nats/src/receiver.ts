import {
  BucketWindow,
  backoff,
  type Clock,
  Deliveries,
  type DeliveryHandler,
  type Logger,
  logEvent,
  type ReceiveOptions,
  SubscriptionUnknown,
} from 'comity/transport'
import { type Connection, isPassing } from './connection.ts'
import { type Acknowledged, type LeaseTable, released, restarted, shareOf } from './lease-table.ts'
import { Readers } from './readers.ts'
import type { Subscription } from './subscriptions.ts'
import { topicStream } from './topic-stream.ts'
import type { Turnstile } from './turnstile.ts'

export interface ReceiverContext {
  readonly connection: Connection
  readonly clock: Clock
  readonly logger: Logger
  readonly making: Turnstile
  readonly inboxPrefix: string
  readonly stallAfter: number
  /** Look at the leases again now. */
  readonly wakeUpkeep: () => void
  /** No turn of the upkeep speaks for this receiver any more, not even one that is under way. */
  readonly endUpkeep: (receiver: Receiver) => Promise<void>
}

/** Acknowledgements are written down after this many milliseconds, one write at a time for all buckets of the receiver. */
const GATHER = 10
/** Messages that come so close to each other, in milliseconds, go to the handler together: sixteen buckets would make many small calls of it. */
const TOGETHER = 10
/** How long a last word to the server may take, in milliseconds. */
const GOODBYE = 5000

/**
 * One call of `receive`: a holder of its own at the subscription's lease table.
 *
 *   opened ──leased──▶ receiving ⇄ (server lost: what is here is delivered until the lease runs out, by this process's clock)
 *     receiving ──end──▶ leaving: no more calls, positions go into the table together with the leases ──▶ ended
 *     receiving ──fail (subscription removed, right withdrawn)──▶ leaving, and `ended` rejects
 *
 * Upkeep tells it what it holds ({@link held}). A bucket under another term starts over at the table's position; a bucket that is not held any
 * more is dropped with all that waits in it; buckets beyond the fair share are given back once nothing of them is at the handler.
 */
export class Receiver {
  readonly subscription: Subscription
  /** Of the table that was opened: one of another id is another subscription. */
  readonly id: string
  readonly topic: string
  readonly stream: string
  readonly holder: string
  readonly ended: Promise<void>
  /** Holds fewer buckets than it should. */
  short = true
  /** Its leases last until then, by the monotonic clock; {@link Upkeep} moves it. */
  validUntil: number = Number.NEGATIVE_INFINITY
  /** When its table is to be looked at next. */
  lookAt: number = Number.NEGATIVE_INFINITY
  readonly #context: ReceiverContext
  readonly #deliveries: Deliveries
  readonly #readers: Readers
  readonly #onTrouble: ((error: Error | undefined) => void) | undefined
  /** The term under which a bucket was given back last. */
  readonly #givenBack = new Map<number, number>()
  /** Buckets that are being given back, with their positions. */
  readonly #parting = new Set<Acknowledged[number]>()
  #noted = false
  #writing: Promise<void> | undefined
  #failures = 0
  #pumping = false
  #pumpedAt: number = Number.NEGATIVE_INFINITY
  #inTrouble = false
  #ending: Promise<void> | undefined
  #settle: (error?: Error) => void = () => undefined

  constructor(
    opened: {
      readonly subscription: Subscription
      readonly id: string
      readonly topic: string
      readonly stream: string
      readonly holder: string
    },
    handler: DeliveryHandler,
    options: ReceiveOptions,
    context: ReceiverContext,
  ) {
    this.subscription = opened.subscription
    this.id = opened.id
    this.topic = opened.topic
    this.stream = opened.stream
    this.holder = opened.holder
    this.#context = context
    this.#onTrouble = options.onTrouble
    const prefetch = options.prefetch ?? 1000
    this.ended = new Promise((resolve, reject) => {
      this.#settle = (error) => (error ? reject(error) : resolve())
    })
    this.#deliveries = new Deliveries({
      handler,
      prefetch,
      prefetchBytes: options.prefetchBytes,
      mayDeliver: () => this.#context.clock.monotonic() < this.validUntil,
      onMoved: () => {
        this.#note(GATHER)
        this.#pumpSoon()
      },
      onRoom: () => this.#readers.fill(),
    })
    const { connection, clock, making, inboxPrefix } = context
    this.#readers = new Readers({
      ...{ connection, clock, making, inboxPrefix, prefetch, stream: opened.stream, topic: opened.topic },
      subscription: opened.subscription.name,
      deliveries: this.#deliveries,
      onMessage: () => this.#pumpSoon(),
      onTrouble: (error) => this.trouble(error),
      onFailed: (error) => this.fail(error),
      onAhead: (window) => void this.#startOver(window),
      onRemoved: () => this.removed(),
    })
  }

  get isEnding(): boolean {
    return this.#ending !== undefined
  }

  /** What was acknowledged of the buckets that it holds. */
  get acknowledged(): Acknowledged {
    const held = [...this.#deliveries.windows.values()].map(({ bucket, term, position }) => [bucket, term, position] as const)
    return [...held, ...this.#parting]
  }

  /** What the table says, read after a heartbeat that makes it valid until `validUntil`. */
  held(table: LeaseTable, validUntil: number): void {
    if (this.isEnding) return
    this.validUntil = validUntil
    const windows = this.#deliveries.windows
    const share = shareOf(table, this.holder)
    let held = 0
    for (const [bucket, lease] of table.leases.entries()) {
      const isOurs = lease.holder === this.holder
      if (isOurs) held++
      const window = windows.get(bucket)
      // A table may have been read before the release that it was read beside.
      if (isOurs && (window?.term === lease.term || this.#givenBack.get(bucket) === lease.term)) continue
      if (window) this.#deliveries.close(bucket)
      if (isOurs) this.#deliveries.open(new BucketWindow(bucket, lease.term, lease.position))
    }
    this.short = held < share
    for (const window of [...windows.values()].filter((each) => !each.closing).slice(share)) void this.#giveBack(window)
    this.#readers.arrange(table.leases.length)
    this.#pumpSoon()
  }

  /** The leases ran out: what waits here is dropped, for another may have it already. */
  dropAll(): void {
    for (const bucket of [...this.#deliveries.windows.keys()]) this.#deliveries.close(bucket)
    this.#readers.arrange()
  }

  trouble(error: Error | undefined): void {
    if ((error === undefined) === !this.#inTrouble) return
    this.#inTrouble = error !== undefined
    this.#onTrouble?.(error)
  }

  /** The connection is there again: nobody knows what was lost on the way. */
  restart(): void {
    this.#readers.restart()
  }

  async checkStalls(): Promise<void> {
    if (!(await this.#readers.checkStalls(this.#context.stallAfter))) return
    const reason = `messages waited at the broker for ${this.#context.stallAfter} ms and none came: reading was started anew`
    logEvent(this.#context.logger, 'comity.transport.stalled', { subscription: this.subscription.name, reason })
  }

  end(): Promise<void> {
    this.#ending ??= this.#leave().then(() => this.#settle())
    return this.#ending
  }

  fail(error: Error): void {
    this.#ending ??= this.#leave().then(() => this.#settle(error))
  }

  removed(): void {
    this.fail(new SubscriptionUnknown({ subscription: this.subscription.name }))
  }

  /**
   * At once where little comes; where much does, what several reads of the socket brought goes to the handler together. More is asked for even where
   * one bucket that rests holds so much that {@link Deliveries} see no room: the others have room of their own.
   */
  #pumpSoon(): void {
    if (this.#pumping) return
    this.#pumping = true
    const { clock } = this.#context
    const pump = (): void => {
      this.#pumping = false
      if (this.isEnding) return
      this.#pumpedAt = clock.monotonic()
      this.#deliveries.pump()
      this.#readers.fill()
    }
    if (clock.monotonic() - this.#pumpedAt > TOGETHER) setImmediate(pump)
    else setTimeout(pump, TOGETHER).unref()
  }

  #note(wait: number): void {
    if (this.#noted || this.isEnding) return
    this.#noted = true
    const timer = setTimeout(() => void this.#write(), wait)
    timer.unref()
  }

  async #write(): Promise<void> {
    await this.#writing
    this.#noted = false
    if (this.isEnding) return
    this.#writing = this.subscription.acknowledge(this.holder, this.acknowledged).then(
      () => {
        this.#failures = 0
      },
      (error: Error) => {
        if (!isPassing(error)) this.fail(error)
        else this.#note(20 + backoff(this.#failures++, { min: 50, max: 5000 }))
      },
    )
  }

  /** Positions mean nothing any more, and sequences that were acknowledged come again for other messages: everything retained is delivered. */
  async #startOver(window: BucketWindow): Promise<void> {
    try {
      const stream = await topicStream(this.#context.connection, this.topic)
      await this.subscription.change((table) =>
        table.leases[window.bucket]?.term === window.term ? restarted(table, stream.created, stream.buckets) : table,
      )
      this.#context.wakeUpkeep()
    } catch (error) {
      if (isPassing(error)) this.#readers.restartReaderOf(window)
      else this.fail(error as Error)
    }
  }

  async #giveBack(window: BucketWindow): Promise<void> {
    window.closing = true
    await window.drained()
    if (this.#deliveries.windows.get(window.bucket) !== window || this.isEnding) return
    const { bucket, term, position } = window
    const parting = [bucket, term, position] as const
    this.#givenBack.set(bucket, term)
    this.#parting.add(parting)
    this.#deliveries.close(bucket)
    this.#readers.arrange()
    try {
      await this.subscription.change((table) =>
        table.leases[bucket]?.term === term
          ? released(table, this.holder, { buckets: [bucket], positions: [parting], leave: false })
          : table,
      )
    } catch {
      this.#givenBack.delete(bucket) // if we still hold it, the next look says so, and it is given back then
    } finally {
      this.#parting.delete(parting)
    }
  }

  async #leave(): Promise<void> {
    await this.#deliveries.stop()
    this.#readers.stop()
    // If the server cannot be told, the leases run out by themselves: a lost network must not hold up a shutdown.
    const enough = new AbortController()
    await Promise.race([this.#sayGoodbye().catch(() => undefined), this.#context.clock.sleep(GOODBYE, enough.signal)])
    enough.abort()
    void this.#context.endUpkeep(this)
  }

  async #sayGoodbye(): Promise<void> {
    await this.#writing
    await this.#context.endUpkeep(this)
    const positions = this.acknowledged
    await this.subscription.change((table) =>
      table.holders.includes(this.holder) ? released(table, this.holder, { buckets: 'all', positions, leave: true }) : table,
    )
    await this.subscription.forget(this.holder)
  }
}
