import { setTimeout as delay } from 'node:timers/promises'

/** Time, injected so that tests decide what it says. */
export interface Clock {
  /** The wall clock: for showing, never for deciding. */
  now(): Date
  /** Milliseconds that only grow: for leases and waits. */
  monotonic(): number
  /** Resolves after `ms`, or at once when the signal aborts (it never rejects). Keeps the process alive: what runs, runs until it is stopped. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => new Date(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) => delay(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined),
}
