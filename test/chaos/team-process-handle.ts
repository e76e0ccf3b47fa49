import type { ChildProcess } from 'node:child_process'
import { spawnTypeScript } from '../support/typescript-process.ts'
import type { TeamProcessOptions } from './team-process.ts'

/** A team's process, as whoever kills it sees it. */
export class TeamProcess {
  readonly name: string
  readonly options: TeamProcessOptions
  /** Resolves when it runs; rejects if it ends before. */
  readonly ready: Promise<void>
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
  readonly #child: ChildProcess

  constructor(options: TeamProcessOptions) {
    this.name = options.name
    this.options = options
    this.#child = spawnTypeScript(new URL('team-process.ts', import.meta.url), [JSON.stringify(options)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.exited = new Promise((resolve) => this.#child.once('exit', (code, signal) => resolve({ code, signal })))
    this.ready = new Promise((resolve, reject) => {
      this.#child.once('message', () => resolve())
      void this.exited.then(({ code, signal }) =>
        reject(new Error(`${options.name} ended before it ran (${signal ?? code}); see its log in ${options.folder}`)),
      )
    })
    this.ready.catch(() => undefined)
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }
  get pid(): number {
    return this.#child.pid as number
  }

  signal(signal: NodeJS.Signals): boolean {
    return this.alive && this.#child.kill(signal)
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.exited
  }

  /** Runs a key's waiting line there; rejects if the process ends meanwhile. */
  retry(subscription: string, key: string): Promise<{ readonly ran: number; readonly error?: string }> {
    return new Promise((resolve, reject) => {
      this.#child.once('message', (answer) => resolve(answer as { ran: number; error?: string }))
      this.exited.then(() => reject(new Error(`${this.name} ended`)), reject)
      this.#child.send({ subscription, key })
    })
  }

  /** SIGTERM: it drains; answers its exit code and how long that took. */
  async stop(): Promise<{ readonly code: number | null; readonly ms: number }> {
    const started = performance.now()
    this.signal('SIGCONT')
    this.signal('SIGTERM')
    const { code } = await this.exited
    return { code, ms: performance.now() - started }
  }
}
