import { Stopped } from './errors.ts'

/**
 * One anatomy for every background service.
 *
 *   idle ──start──▶ running ──stop──▶ stopping ──▶ stopped
 *     └────────────────stop───────────────────────────▲
 *
 * Start twice = the same start; stop twice = the same stop; stop before start ends it for good;
 * start after stop is refused (COMITY_STOPPED). `run` gets a signal that aborts at stop, and stop waits for it to end.
 */
export interface Service extends AsyncDisposable {
  readonly name: string
  readonly state: ServiceState
  start(): Promise<void>
  stop(): Promise<void>
}
export type ServiceState = 'idle' | 'running' | 'stopping' | 'stopped'

export function service(options: {
  readonly name: string
  /** Prepares; a failure here is start's failure, and leaves the service idle. */
  readonly prepare?: () => Promise<void>
  /** The work, until the signal aborts. */
  readonly run: (signal: AbortSignal) => Promise<void>
}): Service {
  let state: ServiceState = 'idle'
  let started: Promise<void> | undefined
  let stopped: Promise<void> | undefined
  let running: Promise<void> = Promise.resolve()
  const abort = new AbortController()

  async function start(): Promise<void> {
    try {
      await options.prepare?.()
    } catch (error) {
      started = undefined
      throw error
    }
    if (state !== 'idle') return
    state = 'running'
    running = options.run(abort.signal)
    running.catch(() => undefined)
  }
  async function stop(): Promise<void> {
    state = 'stopping'
    abort.abort()
    await started?.catch(() => undefined)
    await running.catch(() => undefined)
    state = 'stopped'
  }

  return {
    name: options.name,
    get state() {
      return state
    },
    start() {
      if (stopped !== undefined) return Promise.reject(new Stopped({ service: options.name }))
      started ??= start()
      return started
    },
    stop() {
      stopped ??= stop()
      return stopped
    },
    async [Symbol.asyncDispose]() {
      await this.stop()
    },
  }
}
