import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Go, Loaded } from './messages.ts'

/** How long a team may take to end what is under way before a restart ends it, in milliseconds. */
const GRACE = 5000

export interface ConfigProcessOptions {
  readonly config: string
  /** Of the bus. */
  readonly transport: string
  /** Creates it where it is missing. */
  readonly databaseUrl: (team: string) => Promise<string>
  readonly onLoaded: (teams: Readonly<Record<string, string>>) => void
  /** It ended by itself: its configuration is wrong, or its code crashed. */
  readonly onEnded: (reason: string) => void
}

/**
 * The process that runs one configuration.
 *
 *   none ──restart──▶ loading ──says its teams──▶ running ──restart, stop──▶ stopping ──▶ none
 *                        │ └─ its library was given another team's database ─▶ loading, with the right one
 *                        └──ends by itself──▶ none (until the next restart: a change of its sources)
 */
export class ConfigProcess {
  readonly #options: ConfigProcessOptions
  #child: ChildProcess | undefined
  /** In COMITY_DATABASE_URL, for a configuration whose library opens its own database: known once it was loaded. */
  #ownUrl: string | undefined
  /** Restarts and stops, one after the other. */
  #turn: Promise<void> = Promise.resolve()

  constructor(options: ConfigProcessOptions) {
    this.#options = options
  }

  get config(): string {
    return this.#options.config
  }

  restart(): Promise<void> {
    return this.#next(async () => {
      await this.#end()
      this.#begin()
    })
  }

  stop(): Promise<void> {
    return this.#next(() => this.#end())
  }

  #next(work: () => Promise<void>): Promise<void> {
    this.#turn = this.#turn.then(work)
    return this.#turn
  }

  #begin(): void {
    const { config, transport, onEnded } = this.#options
    const file = fileURLToPath(new URL(`./team-process${extname(import.meta.url)}`, import.meta.url))
    const env = {
      ...process.env,
      COMITY_TRANSPORT: transport,
      ...(this.#ownUrl === undefined ? {} : { COMITY_DATABASE_URL: this.#ownUrl }),
    }
    const child = fork(file, [config], { env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#child = child
    child.once('message', (loaded) => void this.#assign(child, loaded as Loaded))
    child.once('exit', (code, signal) => {
      if (this.#child !== child) return
      this.#child = undefined
      onEnded(signal ?? `code ${code}`)
    })
  }

  async #assign(child: ChildProcess, { teams }: Loaded): Promise<void> {
    const databases: Record<string, string> = {}
    for (const { name } of teams) databases[name] = await this.#options.databaseUrl(name)
    const own = teams.find(({ ownHandle }) => ownHandle)
    const url = own === undefined ? undefined : databases[own.name]
    if (url !== this.#ownUrl && url !== undefined) {
      this.#ownUrl = url
      if (this.#child === child) void this.restart()
      return
    }
    this.#options.onLoaded(databases)
    if (child.connected) child.send({ databases, transport: this.#options.transport } satisfies Go)
  }

  async #end(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const late = setTimeout(() => child.kill('SIGKILL'), GRACE)
    child.kill('SIGTERM')
    await once(child, 'exit')
    clearTimeout(late)
  }
}
