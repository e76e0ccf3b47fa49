import type { BucketWindow, WindowEntry } from './bucket-window.ts'
import type { DeliveryHandler, DeliveryResult } from './transport.ts'

export interface DeliveriesOptions {
  readonly handler: DeliveryHandler
  /** Most messages at the handler at once. */
  readonly prefetch: number
  /** Most bytes of them. Default 64 MiB. */
  readonly prefetchBytes?: number | undefined
  /** Whether the leases are known to hold now; asked before every call of the handler. */
  readonly mayDeliver: () => boolean
  /** The window's position moved: acknowledge it to the broker. */
  readonly onMoved: (window: BucketWindow) => void
  /** There is room for more messages. */
  readonly onRoom: () => void
}

/** The windows of one receiver and the calls of its handler: at most `prefetch` messages out, buckets in turn. */
export class Deliveries {
  readonly windows: Map<number, BucketWindow> = new Map()
  readonly #options: DeliveriesOptions
  readonly #mostBytes: number
  readonly #pauses = new Map<BucketWindow, NodeJS.Timeout>()
  readonly #calls = new Set<Promise<void>>()
  #out = 0
  #bytesOut = 0
  #stopped = false

  constructor(options: DeliveriesOptions) {
    this.#options = options
    this.#mostBytes = options.prefetchBytes ?? 64 * 1024 * 1024
  }

  /** How many more messages should be fetched: as many wait here as may be at the handler. */
  get room(): number {
    let held = 0
    for (const window of this.windows.values()) held += window.held
    return Math.max(0, this.#options.prefetch - held)
  }
  get heldBytes(): number {
    let bytes = 0
    for (const window of this.windows.values()) bytes += window.heldBytes
    return bytes
  }
  /** A window that cannot move on keeps what was acknowledged behind its first message; that must not grow for ever. */
  mayGrow(window: BucketWindow): boolean {
    return !window.closing && window.length < 4 * Math.max(1000, this.#options.prefetch)
  }

  open(window: BucketWindow): void {
    this.close(window.bucket)
    this.windows.set(window.bucket, window)
  }

  /** The bucket is no longer ours: what waits here is dropped, and answers that still come are ignored. */
  close(bucket: number): void {
    const window = this.windows.get(bucket)
    if (window === undefined) return
    window.closing = true
    clearTimeout(this.#pauses.get(window))
    this.#pauses.delete(window)
    this.windows.delete(bucket)
  }

  /**
   * Hands out what may be handed out, one bucket after the other. A call gets a full share even of little room: were the room of
   * each call that ends divided among the buckets again, calls would become smaller and smaller, down to one message each.
   */
  pump(): void {
    while (!this.#stopped && this.#out < this.#options.prefetch && this.#bytesOut < this.#mostBytes && this.#options.mayDeliver()) {
      const window = this.#nextReady()
      if (window === undefined) break
      const share = Math.max(1, Math.ceil(this.#options.prefetch / this.windows.size))
      const most = Math.min(share, this.#options.prefetch - this.#out)
      const entries = window.take(most, this.#mostBytes - this.#bytesOut, this.#bytesOut === 0)
      // What is next is larger than the room: it goes when something has ended.
      if (entries.length === 0) break
      this.#call(window, entries)
    }
    if (!this.#stopped && this.room > 0) this.#options.onRoom()
  }

  /** The next window in turn that has something to hand out; it goes to the end of the turn. */
  #nextReady(): BucketWindow | undefined {
    for (const [bucket, window] of this.windows) {
      if (!window.ready) continue
      this.windows.delete(bucket)
      this.windows.set(bucket, window)
      return window
    }
    return undefined
  }

  /** No further call of the handler. Resolves when the last one has ended. */
  async stop(): Promise<void> {
    this.#stopped = true
    for (const pause of this.#pauses.values()) clearTimeout(pause)
    this.#pauses.clear()
    await Promise.all(this.#calls)
  }

  #call(window: BucketWindow, entries: readonly WindowEntry[]): void {
    const bytes = entries.reduce((sum, entry) => sum + entry.size, 0)
    this.#out += entries.length
    this.#bytesOut += bytes
    // Not called from here: a handler may end its own receive, and that has to wait for this call.
    const call = Promise.resolve()
      .then(() => this.#answer(entries))
      .then((results) => {
        this.#calls.delete(call)
        this.#out -= entries.length
        this.#bytesOut -= bytes
        const { moved, pause } = window.settle(entries, results)
        if (this.windows.get(window.bucket) === window) {
          if (moved) this.#options.onMoved(window)
          if (pause !== undefined && !this.#stopped) this.#rest(window, pause)
        }
        this.pump()
      })
    this.#calls.add(call)
  }

  async #answer(entries: readonly WindowEntry[]): Promise<readonly DeliveryResult[]> {
    if (this.#stopped) return []
    try {
      return await this.#options.handler(entries.map((entry) => entry.delivery))
    } catch {
      return [] // no answer: every message comes again. The engine reports its own errors.
    }
  }

  #rest(window: BucketWindow, pause: number): void {
    const end = (): void => {
      this.#pauses.delete(window)
      window.resume()
      this.pump()
    }
    this.#pauses.set(window, setTimeout(end, pause))
  }
}
