import { existsSync, writeFileSync } from 'node:fs'

/**
 * Where a process stops itself dead (SIGKILL), asleep (SIGSTOP) or busy (`block`: its event loop stands still), at exactly the moment that a
 * scenario names:
 *
 *   before-send, mid-send (half of a batch is stored), after-send (stored, and the relay does not know)
 *   before-effect, after-effect (in the handler's transaction), before-commit (of a transaction with an effect; `library: 'pg'` only)
 *   before-acknowledge (committed, and the broker does not know)
 */
export type Moment = 'before-send' | 'mid-send' | 'after-send' | 'before-effect' | 'after-effect' | 'before-commit' | 'before-acknowledge'

export interface Failpoint {
  readonly moment: Moment
  /** At the n-th time that the moment comes, counted from 1. */
  readonly at: number
  readonly signal: 'SIGKILL' | 'SIGSTOP' | 'block'
  /** Of `block`, in milliseconds. */
  readonly ms?: number
  /** A file that says that it has happened; whoever finds it goes on. */
  readonly marker: string
}

/** Answers true after a SIGSTOP that was continued. */
export class Failpoints {
  readonly #points: readonly Failpoint[]
  readonly #seen = new Map<Moment, number>()

  constructor(points: readonly Failpoint[]) {
    this.#points = points
  }

  has(moment: Moment): boolean {
    return this.#points.some((point) => point.moment === moment)
  }

  /** Is the next passing of this moment the one? */
  isNext(moment: Moment): boolean {
    const times = (this.#seen.get(moment) ?? 0) + 1
    return this.#points.some((point) => point.moment === moment && point.at === times && !existsSync(point.marker))
  }

  pass(moment: Moment): void {
    const times = (this.#seen.get(moment) ?? 0) + 1
    this.#seen.set(moment, times)
    for (const { at, signal, marker, ms = 0, ...point } of this.#points) {
      if (point.moment !== moment || at !== times || existsSync(marker)) continue
      writeFileSync(marker, String(process.pid))
      if (signal === 'block') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
      else process.kill(process.pid, signal)
    }
  }
}
