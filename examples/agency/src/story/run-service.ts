import type { Team } from 'comity'

/** What the director sends. */
export interface Command {
  readonly id: number
  readonly command: string
  readonly given: unknown
}
/** What a team's process answers. `id: 0` means: it has started. */
export interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly error?: string
}

interface Service {
  /** Runs beside Comity until the signal aborts. */
  readonly work?: (signal: AbortSignal) => Promise<void>
  /** What the director may ask for. */
  readonly commands?: Readonly<Record<string, (given: never) => Promise<unknown>>>
}

/**
 * The process of one team: starts what Comity runs for it, and its own work, and ends both at SIGTERM, at Ctrl-C, and when the director's
 * process is gone.
 */
export async function runService<Tx>(team: Team<Tx>, { work, commands = {} }: Service = {}): Promise<void> {
  const stopping = new AbortController()
  const stopped = new Promise<void>((resolve) => stopping.signal.addEventListener('abort', () => resolve(), { once: true }))
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort())
  process.once('disconnect', () => process.exit(1))
  process.on('message', ({ id, command, given }: Command) => {
    Promise.resolve(commands[command]?.(given as never)).then(
      (result) => answer({ id, result }),
      (error: Error) => answer({ id, error: error.message }),
    )
  })
  await team.start()
  answer({ id: 0 })
  await Promise.all([work?.(stopping.signal), stopped])
  await team.stop()
  process.removeAllListeners('disconnect')
  process.disconnect?.()
}

function answer(message: Answer): void {
  process.send?.(message, () => undefined) // the director may be gone
}
