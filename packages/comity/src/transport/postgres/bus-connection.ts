import { Socket } from 'node:net'
import { Pool, type PoolConfig } from 'pg'
import { type Logger, logEvent, silentLogger } from '../../foundation/index.ts'
import { surviveLostConnections } from '../../postgres/pg-handle.ts'
import { TransportClosed, TransportUnsupported } from '../errors.ts'
import { translateBusError } from './bus-errors.ts'

export interface BusConnectionOptions {
  readonly url: string
  readonly allowUnsafe: boolean
  /** A connection that leaves a statement unanswered for this long is given up as half-open, in milliseconds. */
  readonly answerTimeout: number
  readonly logger?: Logger
}

/** What `comity_bus.hello()` says. */
interface Hello {
  readonly migrations: number
  readonly fsync: string
  readonly server: number
  readonly recovering: boolean
}

/** The first migration that this code cannot do without. */
const MIGRATION_NEEDED = 1
/** One call of maintain() does something every two minutes at most, whoever makes it. */
const MAINTAIN_EVERY = 5 * 60_000

/**
 * At most three connections to the bus. Uses no session state and no named statements, so that a pooler in transaction
 * mode may stand in between. Every error is one of the transport layer's.
 */
export class BusConnection {
  readonly #options: BusConnectionOptions
  #pool: Pool
  readonly #sockets = new Set<Socket>()
  #ready: Promise<void> | undefined
  #maintained = Number.NEGATIVE_INFINITY
  #closed: Promise<void> | undefined

  constructor(options: BusConnectionOptions) {
    this.#options = options
    this.#pool = this.#open({ statement_timeout: Math.ceil(options.answerTimeout * 0.75) }) // the server gives up before the client does
  }

  /** Rows as arrays: what is fetched a thousand at a time. */
  async arrays(text: string, values: readonly unknown[]): Promise<unknown[][]> {
    await this.#check()
    return this.#run(async () => (await this.#pool.query<unknown[]>({ text, values: [...values], rowMode: 'array' })).rows)
  }

  async rows<Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    await this.#check()
    return this.#run(async () => (await this.#pool.query<Row>(text, [...values])).rows)
  }

  /** Before the schema is there: asks nothing of the bus first. */
  async bareRows<Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return this.#run(async () => (await this.#pool.query<Row>(text, [...values])).rows)
  }

  /** Frees all connections; one that does not answer is cut after a second. */
  close(): Promise<void> {
    this.#closed ??= this.#end()
    return this.#closed
  }

  async #end(): Promise<void> {
    const cut = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy()
    }, 1000)
    await this.#pool.end()
    clearTimeout(cut)
  }

  #open(session: PoolConfig): Pool {
    const pool = new Pool({
      connectionString: this.#options.url,
      max: 3,
      application_name: 'comity-bus',
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      connectionTimeoutMillis: Math.min(10_000, this.#options.answerTimeout),
      query_timeout: this.#options.answerTimeout,
      allowExitOnIdle: true,
      stream: () => this.#socket(),
      ...session,
    })
    // A connection that is lost while idle: the next statement opens another.
    pool.on('error', (error) => logEvent(this.#options.logger ?? silentLogger, 'comity.bus.connection_lost', { error }))
    surviveLostConnections(pool)
    return pool
  }

  /** Our own, so that those that are still connecting can be cut too. */
  #socket(): Socket {
    const socket = new Socket()
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    return socket
  }

  async #run<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#closed !== undefined) throw new TransportClosed({ transport: 'postgres' })
    try {
      return await work()
    } catch (error) {
      if (!/unsupported startup parameter/.test((error as Error).message)) throw translateBusError(error)
    }
    // A pooler that takes no session settings. Locks are bounded by the functions, and waits by this client.
    const refused = this.#pool
    this.#pool = this.#open({})
    void refused.end()
    try {
      return await work()
    } catch (error) {
      throw translateBusError(error)
    }
  }

  /** Looks at the server once, before the first use; again after a failure. */
  #check(): Promise<void> {
    const checked = this.#ready ?? this.#inspect()
    this.#ready = checked
    checked.then(
      () => this.#maintain(),
      () => {
        if (this.#ready === checked) this.#ready = undefined
      },
    )
    return checked
  }

  async #inspect(): Promise<void> {
    const [row] = (await this.bareRows<{ hello: Hello }>('select comity_bus.hello() as hello')) as [{ hello: Hello }]
    const { fsync, server, recovering, migrations } = row.hello
    const refuse = (reason: string, remedy: string): never => {
      throw new TransportUnsupported({ transport: 'postgres', reason, remedy })
    }
    if (server < 150_000) refuse(`it is Postgres ${Math.floor(server / 10_000)}`, 'use Postgres 15 or later')
    if (recovering) refuse('it is a standby, which takes no writes', 'give the URL of the primary')
    if (fsync !== 'on' && !this.#options.allowUnsafe) {
      refuse('fsync is off: a crash loses messages that were acknowledged', 'set fsync = on (only tests may pass allowUnsafe: true)')
    }
    if (migrations < MIGRATION_NEEDED)
      refuse(`its schema is at ${migrations}, and ${MIGRATION_NEEDED} is needed`, 'run `comity provision` as the operator')
  }

  /** The partitions of the days ahead, and retention. Any process of any team does it, in passing. */
  #maintain(): void {
    if (performance.now() - this.#maintained < MAINTAIN_EVERY) return
    this.#maintained = performance.now()
    this.bareRows('select comity_bus.maintain()').catch((error: Error) => {
      if (this.#closed === undefined) logEvent(this.#options.logger ?? silentLogger, 'comity.bus.upkeep_failed', { error })
    })
  }
}
