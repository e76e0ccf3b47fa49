/** Runs work when it may; resolves and rejects as the work does. */
export type Permit = <Result>(work: () => Promise<Result>) => Promise<Result>

/**
 * How many transactions of all subscriptions of a process run at once, so that they never take every connection: relay, leases
 * and readers need some. Whoever waits is served in turns, a subscription each; and no subscription takes the last permit while
 * there are others, or one with slow handlers would stop them all.
 */
export class Permits {
  readonly #count: number
  readonly #waiting = new Map<string, (() => void)[]>()
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
    return async (work) => {
      if (!this.#mayRun(subscription)) {
        await new Promise<void>((resolve) => {
          const line = this.#waiting.get(subscription)
          if (line === undefined) this.#waiting.set(subscription, [resolve])
          else line.push(resolve)
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
      const next = line.shift()
      // To the end of the turn.
      this.#waiting.delete(subscription)
      if (line.length > 0) this.#waiting.set(subscription, line)
      this.#take(subscription)
      next?.()
      return
    }
  }
}
