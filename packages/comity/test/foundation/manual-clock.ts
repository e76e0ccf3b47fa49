import type { Clock } from '../../src/foundation/index.ts'

interface Sleeper {
  readonly ms: number
  readonly wake: () => void
}

/** Time that passes only when the test says so. */
export class ManualClock implements Clock {
  #time = 0
  #sleepers: (Sleeper & { readonly until: number })[] = []
  #watchers: (() => void)[] = []
  /** The lengths of all sleeps so far. */
  readonly slept: number[] = []

  now(): Date {
    return new Date(this.#time)
  }

  monotonic(): number {
    return this.#time
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.slept.push(ms)
    if (signal?.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const sleeper = { ms, until: this.#time + ms, wake: resolve }
      this.#sleepers.push(sleeper)
      signal?.addEventListener('abort', () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper)
        resolve()
      })
      for (const watcher of this.#watchers.splice(0)) watcher()
    })
  }

  /** Resolves when somebody sleeps; answers for how long. */
  async asleep(): Promise<number> {
    for (;;) {
      const [first] = this.#sleepers
      if (first !== undefined) return first.ms
      await new Promise<void>((resolve) => this.#watchers.push(resolve))
    }
  }

  pass(ms: number): void {
    this.#time += ms
    const awake = this.#sleepers.filter(({ until }) => until <= this.#time)
    this.#sleepers = this.#sleepers.filter(({ until }) => until > this.#time)
    for (const { wake } of awake) wake()
  }
}
