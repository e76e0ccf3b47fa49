import type { Clock } from '../foundation/index.ts'

export interface BreakerPolicy {
  /** It opens when more than this share of what ended failed for good … */
  readonly share: number
  /** … of at least so many messages … */
  readonly atLeast: number
  /** … within the last so many milliseconds. Never by an absolute count: a few bad messages are no bad deploy. */
  readonly window: number
}
export const BREAKER: BreakerPolicy = { share: 0.2, atLeast: 100, window: 30_000 }

/** What a subscription's counts were, over all of its processes. */
export interface Sample {
  /** Ended, by effect or for good. */
  readonly ended: number
  readonly failed: number
}

/** Looks at the counts of a subscription every now and then, and says when too much of the recent ones failed. */
export class Breaker {
  readonly #policy: BreakerPolicy
  readonly #clock: Clock
  #samples: (Sample & { readonly at: number })[] = []

  constructor(policy: BreakerPolicy, clock: Clock) {
    this.#policy = policy
    this.#clock = clock
  }

  /** Why the subscription should pause; undefined while it should not. */
  observe(sample: Sample): string | undefined {
    const { window, share, atLeast } = this.#policy
    const at = this.#clock.monotonic()
    this.#samples.push({ ...sample, at })
    // One before the window stays: what ended within it is the difference to that one.
    while ((this.#samples[1]?.at ?? at) < at - window) this.#samples.shift()
    const oldest = this.#samples[0] as Sample
    const ended = sample.ended - oldest.ended
    const failed = sample.failed - oldest.failed
    if (ended < atLeast || failed <= ended * share) return undefined
    return `${failed} of the last ${ended} messages failed for good within ${Math.round(window / 1000)} s`
  }

  /** After it has paused: what was before does not count again. */
  reset(): void {
    this.#samples = []
  }
}
