import { backoff } from './backoff.ts'
import { type Clock, systemClock } from './clock.ts'
import { logEvent } from './log/log-event.ts'
import { type Logger, silentLogger } from './logger.ts'
import { type Service, service } from './service.ts'

/**
 * A service that repeats `runOnce`. Waits `min` after a turn that did something and doubles up to `max` while
 * nothing happens (adaptive polling); `wake()` ends a wait at once. A turn that throws is reported and repeated with backoff.
 */
export interface Loop extends Service {
  /** Runs the next turn now, and polls eagerly again from there. Wakes are not counted: one turn answers all of them. */
  wake(): void
  /** For probes: what becomes of its turns. */
  readonly turn: Turn
}

/** Progress of a loop; times are the clock's monotonic milliseconds. */
export interface Turn {
  /** When the turn that runs now began; undefined between two turns. */
  readonly since: number | undefined
  /** Turns in a row that threw, and what the last of them threw. */
  readonly failures: number
  readonly error: unknown
}

export interface LoopOptions {
  readonly name: string
  readonly prepare?: () => Promise<void>
  /**
   * One turn; says whether it found something to do, or in how many milliseconds there will be something (no wait is longer; it may be
   * shorter, as after an idle turn). Tests drive this directly.
   */
  readonly runOnce: (signal: AbortSignal) => Promise<'busy' | 'idle' | number>
  /** Wait after a busy turn and longest wait between idle turns, in milliseconds. `min` 0 repeats at once while busy. */
  readonly poll: { readonly min: number; readonly max: number }
  /** Called with each turn's error, and with undefined at the first good turn after one. */
  readonly onTrouble?: (error: unknown) => void
  readonly clock?: Clock
  readonly logger?: Logger
}

export function loop(options: LoopOptions): Loop {
  const { clock = systemClock, logger = silentLogger, poll } = options
  let woken = false
  let idleFor = options.poll.min
  let endWait: (() => void) | undefined
  let since: number | undefined
  let failures = 0
  let trouble: unknown

  async function wait(ms: number, signal: AbortSignal): Promise<void> {
    if (woken || signal.aborted) return
    const waiting = new AbortController()
    const end = (): void => waiting.abort()
    endWait = end
    signal.addEventListener('abort', end, { once: true })
    await clock.sleep(ms, waiting.signal)
    signal.removeEventListener('abort', end)
    endWait = undefined
  }

  async function run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      woken = false
      try {
        since = clock.monotonic()
        const found = await options.runOnce(signal)
        since = undefined
        if (failures > 0) options.onTrouble?.(undefined)
        failures = 0
        trouble = undefined
        idleFor = found === 'busy' ? poll.min : Math.min(poll.max, Math.max(1, idleFor * 2))
        if (found === 'busy' && poll.min === 0) continue
        await wait(typeof found === 'number' ? Math.min(found, idleFor) : idleFor, signal)
      } catch (error) {
        since = undefined
        if (signal.aborted) return
        failures++
        trouble = error
        options.onTrouble?.(error)
        logEvent(logger, 'comity.service.failed', { service: options.name, failures, error })
        await wait(backoff(failures, { min: 50, max: 5000 }) + 10, signal)
      }
    }
  }

  const base = service({ name: options.name, run, ...(options.prepare ? { prepare: options.prepare } : {}) })
  return Object.defineProperties(base, {
    turn: { get: (): Turn => ({ since, failures, error: trouble }) },
    wake: {
      value() {
        woken = true
        idleFor = poll.min
        endWait?.()
      },
    },
  }) as Loop
}
