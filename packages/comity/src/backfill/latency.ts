import type { Clock } from '../foundation/index.ts'

/**
 * How the owner's database is doing, by what small statements take: where that is above the bound, backfills rest, longer each time, until
 * it is below again.
 */
export class Latency {
  readonly #bound: number
  readonly #clock: Clock
  #average = 0
  #rest = 0

  /** @param bound milliseconds */
  constructor(bound: number, clock: Clock) {
    this.#bound = bound
    this.#clock = clock
  }

  get isAbove(): boolean {
    return this.#rest > 0
  }

  observe(milliseconds: number): void {
    this.#average = this.#average === 0 ? milliseconds : this.#average * 0.7 + milliseconds * 0.3
    this.#rest = this.#average <= this.#bound ? 0 : Math.min(LONGEST, Math.max(SHORTEST, this.#rest * 2))
  }

  /** Resolves at once while all is well. */
  async makeRoom(signal: AbortSignal): Promise<void> {
    if (this.#rest > 0) await this.#clock.sleep(this.#rest, signal)
  }
}

const SHORTEST = 50
/** So that it goes on, however slow: a stretch a second. */
const LONGEST = 1000
