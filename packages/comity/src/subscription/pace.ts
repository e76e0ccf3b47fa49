import type { Clock } from '../foundation/index.ts'

/**
 * How many messages go into one transaction. A batch spares round trips, which is little where the handler itself takes long; and
 * whoever comes while it runs waits for all of it. So a batch is to last a limited time, by what messages took lately.
 */
export class Pace {
  readonly #options: PaceOptions
  /** Milliseconds of the consumer's own work for a message, on average; the last batches count most. */
  #each = 0

  constructor(options: PaceOptions) {
    this.#options = options
  }

  get batch(): number {
    const { most, lasts } = this.#options
    return Math.max(1, Math.min(most, Math.floor(lasts / Math.max(this.#each, Number.EPSILON))))
  }

  /** Does the work for so many messages, and takes its time. What fails does not count: it may have ended early. */
  async measure<Result>(messages: number, work: () => Promise<Result>): Promise<Result> {
    const { clock } = this.#options
    const began = clock.monotonic()
    const result = await work()
    if (messages > 0) this.#each += WEIGHT * ((clock.monotonic() - began) / messages - this.#each)
    return result
  }
}

export interface PaceOptions {
  /** Messages in one transaction, whatever they take. */
  readonly most: number
  /** Milliseconds that a batch is to last. */
  readonly lasts: number
  readonly clock: Clock
}

/** Of the newest batch. */
const WEIGHT = 0.3
