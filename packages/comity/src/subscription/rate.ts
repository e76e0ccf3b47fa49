import type { Clock } from '../foundation/index.ts'

/** A token bucket: so many a second on average, a second's worth at once. */
export class Rate {
  #perSecond: number
  readonly #clock: Clock
  #tokens: number
  #at: number

  constructor(perSecond: number, clock: Clock) {
    this.#perSecond = perSecond
    this.#clock = clock
    this.#tokens = Math.max(1, perSecond)
    this.#at = clock.monotonic()
  }

  /** From now on: where several processes share a limit, each has its part. */
  set perSecond(perSecond: number) {
    this.#perSecond = perSecond
  }

  /** Takes up to `most`; may answer 0. */
  take(most: number): number {
    const now = this.#clock.monotonic()
    this.#tokens = Math.min(Math.max(1, this.#perSecond), this.#tokens + ((now - this.#at) / 1000) * this.#perSecond)
    this.#at = now
    const taken = Math.min(most, Math.floor(this.#tokens))
    this.#tokens -= taken
    return taken
  }

  /** Waits until there is one, and takes up to `most`; 0 when the signal aborts first. */
  async acquire(most: number, signal: AbortSignal): Promise<number> {
    for (;;) {
      const taken = this.take(most)
      if (taken > 0 || signal.aborted) return taken
      await this.#clock.sleep(((1 - this.#tokens) / this.#perSecond) * 1000 + 1, signal)
    }
  }

  /** Gives back what was not used. */
  give(count: number): void {
    this.#tokens += count
  }
}
