import type { BucketWindow, Clock, Deliveries } from 'comity/transport'
import type { Connection } from './connection.ts'
import { readerOf } from './names.ts'
import { TopicReader } from './topic-reader.ts'
import type { Turnstile } from './turnstile.ts'

export interface ReadersContext {
  readonly connection: Connection
  readonly clock: Clock
  readonly making: Turnstile
  readonly inboxPrefix: string
  readonly stream: string
  readonly topic: string
  readonly subscription: string
  readonly deliveries: Deliveries
  readonly prefetch: number
  readonly onMessage: () => void
  readonly onTrouble: (error: Error) => void
  readonly onFailed: (error: Error) => void
  readonly onAhead: (window: BucketWindow) => void
  readonly onRemoved: () => void
}

/** No more is fetched while this much waits for the handler. */
const HELD_BYTES = 32 * 1024 * 1024
/** With fewer buckets than that, the server passes over little. */
const FEWEST_TOGETHER = 4
/** Buckets further apart than that (in messages of the topic) are not read together: what lies between would come a second time. */
const FURTHEST = 20_000
/** How long buckets are read one by one after one of them was in the way of the others, in milliseconds. */
const APART = 10_000

/**
 * Reads the buckets that a receiver holds.
 *
 *   one by one: a consumer for each bucket. The server passes over the messages of all other buckets for each of them.
 *     │   ▲
 *     │   └─ not all buckets are held any more; one is given back; one is in the way of the others (see `#isInTheWay`)
 *     ▼
 *   together: one consumer for all buckets, at twice the speed. Only while all are held and are close to each other.
 */
export class Readers {
  readonly #context: ReadersContext
  readonly #readers = new Set<TopicReader>()
  #buckets = Number.POSITIVE_INFINITY
  #apartUntil = Number.NEGATIVE_INFINITY

  constructor(context: ReadersContext) {
    this.#context = context
  }

  /**
   * To be called after windows were opened, closed or are closing, and now and then.
   *
   * @param buckets as many as the topic has.
   */
  arrange(buckets: number = this.#buckets): void {
    this.#buckets = buckets
    for (const reader of this.#readers) reader.moveOn()
    const windows = [...this.#context.deliveries.windows.values()]
    const groups = this.#areTogether(windows) ? [windows] : windows.map((window) => [window])
    for (const reader of this.#readers) {
      if (groups.some((group) => reader.reads(group))) continue
      reader.stop()
      this.#readers.delete(reader)
    }
    const reading = [...this.#readers]
    for (const group of groups) if (!reading.some((reader) => reader.reads(group))) this.#start(group)
  }

  /** Asks for more, if there is room. */
  fill(): void {
    if (this.#isTogether && [...this.#context.deliveries.windows.values()].some((window) => this.#isInTheWay(window))) this.arrange()
    for (const reader of this.#readers) reader.fill()
  }

  /** All that is under way is thrown away and asked for again. */
  restart(): void {
    for (const reader of this.#readers) reader.restart()
  }

  restartReaderOf(window: BucketWindow): void {
    for (const reader of this.#readers) if (reader.has(window)) reader.restart()
  }

  /** Whether something waited at the broker and did not come for so many milliseconds: it is read anew. */
  async checkStalls(after: number): Promise<boolean> {
    return (await Promise.all([...this.#readers].map((reader) => reader.checkStall(after)))).includes(true)
  }

  stop(): void {
    for (const reader of this.#readers) reader.stop()
  }

  get #isTogether(): boolean {
    return this.#readers.size === 1 && this.#context.deliveries.windows.size > 1
  }

  #areTogether(windows: readonly BucketWindow[]): boolean {
    const { clock, prefetch } = this.#context
    if (windows.length < Math.max(this.#buckets, FEWEST_TOGETHER) || windows.some((window) => window.closing)) return false
    // Where so little may wait, one bucket would take the room of the others; and the handler is what is slow.
    if (prefetch < 4 * windows.length) return false
    if (windows.some((window) => this.#isInTheWay(window))) {
      this.#apartUntil = clock.monotonic() + APART
      return false
    }
    if (this.#isTogether) return true
    if (clock.monotonic() < this.#apartUntil) return false
    const reached = windows.map((window) => window.fetchedTo)
    return Math.max(...reached) - Math.min(...reached) <= FURTHEST
  }

  /** Read together, a window that takes nothing more stops all of them, and one that is not emptied leaves no room for the others. */
  #isInTheWay(window: BucketWindow): boolean {
    const { deliveries, prefetch } = this.#context
    const most = window.ready ? 1 / 2 : 1 / 4
    return !deliveries.mayGrow(window) || window.held > most * 2 * prefetch || window.heldBytes > most * HELD_BYTES
  }

  /** As many wait here as may be at the handler, and no bucket is starved by the others. */
  #roomOf(windows: readonly BucketWindow[]): number {
    const { deliveries, prefetch } = this.#context
    if (!windows.every((window) => deliveries.mayGrow(window)) || deliveries.heldBytes > HELD_BYTES) return 0
    const held = windows.reduce((sum, window) => sum + window.held, 0)
    return Math.max(0, Math.ceil((2 * prefetch) / this.#readers.size) - held)
  }

  #start(windows: readonly BucketWindow[]): void {
    const { deliveries: _, prefetch: __, onAhead, ...shared } = this.#context
    const [first] = windows as [BucketWindow]
    const reader = new TopicReader(windows, {
      ...shared,
      name: readerOf(this.#context.subscription, windows.length === 1 ? first.bucket : 'all'),
      room: () => this.#roomOf(windows),
      pullBytes: () => Math.max(256 * 1024, Math.floor(HELD_BYTES / Math.max(2, this.#readers.size))),
      onAhead: () => onAhead(first),
    })
    this.#readers.add(reader)
    reader.restart()
  }
}
