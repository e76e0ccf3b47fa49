/**
 * Runs work when it may; resolves and rejects as the work does. Of those of one subscription that wait, the one with the lowest `turn`
 * is next, which is asked when there is room; without one it is as if it were 0. Equals go in the order in which they came.
 */
export type Permit = <Result>(work: () => Promise<Result>, turn?: () => number) => Promise<Result>

interface Waiting {
  readonly turn: (() => number) | undefined
  readonly resolve: () => void
}

/**
 * How many transactions of all subscriptions of a process run at once, so that they never take every connection: relay, leases
 * and readers need some. Whoever waits is served in turns, a subscription each; and no subscription takes the last permit while
 * there are others, or one with slow handlers would stop them all.
 */
export class Permits {
  readonly #count: number
  readonly #waiting = new Map<string, Waiting[]>()
  readonly #taken = new Map<string, number>()
  readonly #most = new Map<string, number>()
  #running = 0

  constructor(count: number) {
    this.#count = count
  }

  /** @param most of this subscription at once, where it is to be fewer than there are */
  of(subscription: string, most: number = this.#count): Permit {
    this.#most.set(subscription, most)
    if (!this.#taken.has(subscription)) this.#taken.set(subscription, 0)
    return async (work, turn) => {
      if (!this.#mayRun(subscription)) {
        await new Promise<void>((resolve) => {
          const line = this.#waiting.get(subscription)
          if (line === undefined) this.#waiting.set(subscription, [{ turn, resolve }])
          else line.push({ turn, resolve })
        })
      } else this.#take(subscription)
      try {
        return await work()
      } finally {
        this.#running--
        this.#taken.set(subscription, this.#takenBy(subscription) - 1)
        this.#serve()
      }
    }
  }

  #takenBy(subscription: string): number {
    return this.#taken.get(subscription) ?? 0
  }

  #mayRun(subscription: string): boolean {
    const fair = this.#taken.size > 1 ? Math.max(1, this.#count - 1) : this.#count
    const most = Math.min(fair, this.#most.get(subscription) ?? fair)
    return this.#running < this.#count && this.#takenBy(subscription) < most
  }

  #take(subscription: string): void {
    this.#running++
    this.#taken.set(subscription, this.#takenBy(subscription) + 1)
  }

  #serve(): void {
    for (const [subscription, line] of this.#waiting) {
      if (!this.#mayRun(subscription)) continue
      const [next] = line.splice(firstOf(line), 1)
      // To the end of the turn.
      this.#waiting.delete(subscription)
      if (line.length > 0) this.#waiting.set(subscription, line)
      this.#take(subscription)
      next?.resolve()
      return
    }
  }
}

/** The index of the lowest turn. */
function firstOf(line: readonly Waiting[]): number {
  let first = 0
  let lowest = Number.POSITIVE_INFINITY
  for (const [i, { turn }] of line.entries()) {
    const own = turn?.() ?? 0
    if (own >= lowest) continue
    lowest = own
    first = i
  }
  return first
}
