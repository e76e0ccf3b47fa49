import { backoff, type Clock } from '../../foundation/index.ts'
import { BucketWindow } from '../bucket-window.ts'
import { Deliveries } from '../deliveries.ts'
import { SubscriptionUnknown } from '../errors.ts'
import type { DeliveryHandler, ReceiveOptions } from '../transport.ts'
import type { Acknowledgements } from './acknowledgements.ts'
import { numberArray } from './binary-array.ts'
import type { BusConnection } from './bus-connection.ts'
import { isPassing } from './bus-errors.ts'

/** One bucket that the bus says is ours. */
export interface Lease {
  readonly bucket: number
  readonly term: number
  readonly position: number
}

export interface ReceiverContext {
  readonly bus: BusConnection
  readonly acknowledgements: Acknowledgements
  readonly clock: Clock
  readonly leaseMs: number
  /** Look at the leases again now. */
  readonly wakeUpkeep: () => void
  /** No renewal speaks for this receiver any more, not even one that is under way. */
  readonly endUpkeep: (receiver: Receiver) => Promise<void>
}

const FETCH_MESSAGES = 2000
const FETCH_BYTES = 8 * 1024 * 1024
/** No more is fetched while this much waits for the handler. */
const HELD_BYTES = 32 * 1024 * 1024
/** How long a last word to the bus may take, in milliseconds. */
const GOODBYE = 5000

/**
 * One call of `receive`: a consumer of its own, with leased buckets.
 *
 *   opened ──renewed──▶ receiving ⇄ (bus lost: what is here is delivered until the lease runs out, by this process's clock)
 *     receiving ──end──▶ leaving: no more calls, the last answers are acknowledged, leases given back ──▶ ended
 *     receiving ──fail (subscription removed, right withdrawn)──▶ leaving, and `ended` rejects
 *
 * Upkeep tells it what it holds ({@link held}) and that there is something new ({@link news}). A bucket with another term
 * starts over at the bus's position; a bucket that is not held any more is dropped with all that waits in it; buckets beyond
 * the fair share are given back once nothing of them is at the handler.
 */
export class Receiver {
  readonly subscription: number
  readonly subscriptionName: string
  readonly topic: string
  readonly holder: string
  readonly ended: Promise<void>
  /** The bus's numbers at the last look; a change means there is something to do. */
  epoch: string | undefined
  heads: string | undefined
  /** Holds fewer buckets than it should. */
  short = true
  readonly #context: ReceiverContext
  readonly #deliveries: Deliveries
  readonly #onTrouble: ((error: Error | undefined) => void) | undefined
  /** The term under which a bucket was given back last. */
  readonly #givenBack = new Map<number, number>()
  #validUntil = Number.NEGATIVE_INFINITY
  #news = false
  #fetching = false
  #fetchFailures = 0
  #retry: NodeJS.Timeout | undefined
  #inTrouble = false
  #ending: Promise<void> | undefined
  #settle: (error?: Error) => void = () => undefined

  constructor(
    opened: { readonly subscription: number; readonly name: string; readonly topic: string; readonly holder: string },
    handler: DeliveryHandler,
    options: ReceiveOptions,
    context: ReceiverContext,
  ) {
    this.subscription = opened.subscription
    this.subscriptionName = opened.name
    this.topic = opened.topic
    this.holder = opened.holder
    this.#context = context
    this.#onTrouble = options.onTrouble
    this.ended = new Promise((resolve, reject) => {
      this.#settle = (error) => (error ? reject(error) : resolve())
    })
    this.#deliveries = new Deliveries({
      handler,
      prefetch: options.prefetch ?? 1000,
      prefetchBytes: options.prefetchBytes,
      mayDeliver: () => this.#leased,
      onMoved: (window) => this.#acknowledge(window),
      onRoom: () => void this.#fetch(),
    })
  }

  /** The answer of a renewal that was asked for at a moment from which leases last until `validUntil`. */
  held(leases: readonly Lease[], share: number, validUntil: number): void {
    if (this.#ending !== undefined) return
    this.#validUntil = validUntil
    const windows = this.#deliveries.windows
    for (const bucket of [...windows.keys()]) {
      if (!leases.some((lease) => lease.bucket === bucket)) this.#deliveries.close(bucket)
    }
    for (const { bucket, term, position } of leases) {
      // A renewal may have been answered before the release that it was sent beside.
      if (windows.get(bucket)?.term === term || this.#givenBack.get(bucket) === term) continue
      this.#deliveries.open(new BucketWindow(bucket, term, position))
      this.#news = true
    }
    this.short = leases.length < share
    for (const window of [...windows.values()].filter((each) => !each.closing).slice(share)) void this.#giveBack(window)
    this.#deliveries.pump()
  }

  news(): void {
    this.#news = true
    void this.#fetch()
  }

  /** The bus cannot be reached, or is back. */
  trouble(error: Error | undefined): void {
    if ((error === undefined) === !this.#inTrouble) return
    if (error === undefined && this.#fetchFailures > 0) return
    this.#inTrouble = error !== undefined
    this.#onTrouble?.(error)
  }

  end(): Promise<void> {
    this.#ending ??= this.#leave().then(() => this.#settle())
    return this.#ending
  }

  fail(error: Error): void {
    this.#ending ??= this.#leave().then(() => this.#settle(error))
  }

  removed(): void {
    this.fail(new SubscriptionUnknown({ subscription: this.subscriptionName }))
  }

  get #leased(): boolean {
    return this.#context.clock.monotonic() < this.#validUntil
  }

  async #fetch(): Promise<void> {
    if (this.#fetching || this.#retry || !this.#news || this.#ending !== undefined || !this.#leased) return
    const room = Math.min(FETCH_MESSAGES, this.#deliveries.room)
    if (room === 0 || this.#deliveries.heldBytes > HELD_BYTES) return
    const windows = [...this.#deliveries.windows.values()].filter((window) => this.#deliveries.mayGrow(window))
    if (windows.length === 0) return
    this.#fetching = true
    this.#news = false
    try {
      const rows = await this.#context.bus.arrays(
        'select * from comity_bus.fetch($1::integer, $2::text, $3::integer[], $4::bigint[], $5::bigint[], $6::integer, $7::bigint)',
        [
          this.subscription,
          this.holder,
          numberArray(windows.map((window) => window.bucket)),
          numberArray(windows.map((window) => window.term)),
          numberArray(windows.map((window) => window.fetchedTo)),
          room,
          FETCH_BYTES,
        ],
      )
      if (this.#fetchFailures > 0) {
        this.#fetchFailures = 0
        this.trouble(undefined)
      }
      this.#add(rows, windows)
    } catch (error) {
      this.#news = true
      if (isPassing(error)) this.#retryLater(error as Error)
      else this.fail(error as Error)
    } finally {
      this.#fetching = false
    }
    this.#deliveries.pump()
  }

  #add(rows: readonly unknown[][], windows: readonly BucketWindow[]): void {
    const more = new Set<number>()
    const open = new Map(
      windows.filter((window) => this.#deliveries.windows.get(window.bucket) === window).map((window) => [window.bucket, window]),
    )
    for (const row of rows) {
      const [bucket, offset, head, sentAt, size, id, key, attributes, data] = row as [
        number,
        string,
        string,
        number,
        number,
        string,
        string,
        string,
        string,
      ]
      const window = open.get(bucket)
      if (window === undefined) continue
      window.add(Number(offset), size, { id, key, attributes: JSON.parse(attributes), data, sentAt: new Date(sentAt) })
      // The last row of each bucket decides whether there is more.
      if (offset !== head) more.add(bucket)
      else more.delete(bucket)
    }
    if (more.size > 0) this.#news = true
  }

  #retryLater(error: Error): void {
    this.#fetchFailures++
    this.trouble(error)
    this.#context.wakeUpkeep()
    this.#retry = setTimeout(
      () => {
        this.#retry = undefined
        void this.#fetch()
      },
      backoff(this.#fetchFailures, { min: 50, max: 5000 }),
    )
  }

  #acknowledge(window: BucketWindow): void {
    this.#context.acknowledgements.note({
      subscription: this.subscription,
      holder: this.holder,
      bucket: window.bucket,
      term: window.term,
      position: window.position,
      sentAt: window.positionSentAt,
      onRefused: () => {
        if (this.#deliveries.windows.get(window.bucket) !== window) return
        this.#deliveries.close(window.bucket)
        this.short = true
        this.epoch = undefined
        this.#context.wakeUpkeep()
      },
    })
  }

  async #giveBack(window: BucketWindow): Promise<void> {
    window.closing = true
    await window.drained()
    await this.#context.acknowledgements.flush()
    if (this.#deliveries.windows.get(window.bucket) !== window || this.#ending !== undefined) return
    this.#givenBack.set(window.bucket, window.term)
    try {
      await this.#release([window.bucket], false)
    } catch {
      this.#givenBack.delete(window.bucket) // if we still hold it, the next renewal says so, and it is given back then
    }
    if (this.#deliveries.windows.get(window.bucket) === window) this.#deliveries.close(window.bucket)
  }

  async #leave(): Promise<void> {
    clearTimeout(this.#retry)
    await this.#deliveries.stop()
    // If the bus cannot be told, the leases run out by themselves: a lost network must not hold up a shutdown.
    const enough = new AbortController()
    await Promise.race([this.#sayGoodbye().catch(() => undefined), this.#context.clock.sleep(GOODBYE, enough.signal)])
    enough.abort()
    void this.#context.endUpkeep(this)
  }

  async #sayGoodbye(): Promise<void> {
    await this.#context.acknowledgements.flush()
    await this.#context.endUpkeep(this)
    await this.#release([], true)
  }

  async #release(buckets: readonly number[], leave: boolean): Promise<void> {
    await this.#context.bus.rows('select comity_bus.release($1::integer, $2::text, $3::integer[], $4::boolean)', [
      this.subscription,
      this.holder,
      numberArray(buckets),
      leave,
    ])
  }
}
