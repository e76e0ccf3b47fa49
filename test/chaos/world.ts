import { randomUUID } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Job, jobOf, operate } from 'comity/admin'
import { historyChecker, type Judgement, type Observations } from 'comity/testing'
import type { Transport } from 'comity/transport'
import { Client, Pool } from 'pg'
import type { Bus } from '../support/buses/bus.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { SHOP_TABLES } from './contracts.ts'
import type { Failpoint, Moment } from './failpoint.ts'
import { Load } from './load.ts'
import { isSettled, observe, WATCH_CHECKPOINTS, WATCH_REPLICAS } from './observations.ts'
import { Observer } from './observer.ts'
import { Random } from './random.ts'
import { monotonic, Recorder, readHistory } from './recorder.ts'
import type { TeamProcessOptions } from './team-process.ts'
import { TeamProcess } from './team-process-handle.ts'
import { type AnyTeam, chaosTeam, EFFECTS, HANDLED, KEPT, type TeamName } from './teams.ts'
import { TokenReader } from './token-reader.ts'
import { unacknowledged } from './unacknowledged.ts'
import { until } from './until.ts'
import { type Mix, Writer } from './writer.ts'

export interface WorldOptions {
  readonly seed: number
  /** For histories and logs; emptied first. */
  readonly folder: string
  /** Of a superuser; empty databases. */
  readonly urls: Readonly<Record<TeamName, string>>
  /** Empty too; it ends with the world. */
  readonly bus: Bus
  /** What every process of a team is given, unless it is told otherwise. */
  readonly defaults?: Partial<TeamProcessOptions>
}

/**
 * Three teams and a bus, whose processes can be killed: the shop (owner), mail (handlers) and stock (replicas). Writers and
 * the observer of the bus live in this process, which nobody kills.
 */
export class World {
  readonly seed: number
  readonly folder: string
  readonly urls: Readonly<Record<TeamName, string>>
  readonly bus: Bus
  readonly pools: Readonly<Record<TeamName, Pool>>
  readonly recorder: Recorder
  readonly processes: TeamProcess[] = []
  readonly #teams: Readonly<Record<TeamName, AnyTeam>>
  readonly #transport: Transport
  readonly #proxies: TcpProxy[] = []
  readonly #loads: Load[] = []
  readonly #tokenReader: TokenReader
  readonly #observer: Observer
  readonly #defaults: Partial<TeamProcessOptions>
  #names = 0
  faultsScheduled = 0
  faultsHappened = 0
  restored = false

  private constructor(options: WorldOptions, transport: Transport, observing: Transport) {
    this.seed = options.seed
    this.folder = options.folder
    this.urls = options.urls
    this.bus = options.bus
    this.#defaults = options.defaults ?? {}
    rmSync(this.folder, { recursive: true, force: true })
    mkdirSync(this.folder, { recursive: true })
    this.recorder = new Recorder(this.folder, 'main')
    const pool = (name: TeamName): Pool => {
      const made = new Pool({ connectionString: options.urls[name], max: 4, connectionTimeoutMillis: 10_000 })
      made.on('error', () => undefined).on('connect', (client) => client.on('error', () => undefined))
      return made
    }
    this.pools = { shop: pool('shop'), mail: pool('mail'), stock: pool('stock') }
    this.#transport = transport
    this.#observer = new Observer(observing, this.recorder)
    const team = (name: TeamName): AnyTeam =>
      chaosTeam(name, { database: options.urls[name], transport: this.#transport, allowUnsafe: true, allowEdit: true })
    this.#teams = { shop: team('shop'), mail: team('mail'), stock: team('stock') }
    this.#tokenReader = new TokenReader({ team: this.#teams.stock, pool: this.pools.stock, recorder: this.recorder })
  }

  static async create(options: WorldOptions): Promise<World> {
    const connect = (): Promise<Transport> => options.bus.connect({ answerTimeout: 10_000 })
    const world = new World(options, await connect(), await connect())
    const { shop, mail, stock } = world.pools
    for (const pool of [shop, mail, stock]) {
      const { rows } = await pool.query<{ name: string }>('select current_database() as name')
      // Writers in each other's way are found soon; a transaction of ours that was forgotten does not end a run.
      await pool.query(`alter database "${rows[0]?.name}" set deadlock_timeout = '50ms'`)
    }
    await shop.query(SHOP_TABLES)
    await mail.query(EFFECTS)
    await world.#observer.start()
    for (const team of Object.values(world.#teams)) {
      await team.migrate()
      await team.provision()
    }
    await shop.query(WATCH_CHECKPOINTS)
    await stock.query(WATCH_REPLICAS)
    return world
  }

  /** The team's value in this process, for `status()` and `retry()`; it is not started. */
  team(name: TeamName): AnyTeam {
    return this.#teams[name]
  }

  /** A proxy to one of the databases, or to the bus; it ends with the world. */
  async proxy(to: TeamName | 'bus'): Promise<TcpProxy> {
    const proxy = await (to === 'bus' ? this.bus.proxy() : TcpProxy.start(this.urls[to]))
    this.#proxies.push(proxy)
    return proxy
  }

  /** Starts a process and waits until it runs. */
  async spawn(team: TeamName, options: Partial<TeamProcessOptions> = {}): Promise<TeamProcess> {
    const process = this.launch(team, options)
    await process.ready
    return process
  }

  launch(team: TeamName, options: Partial<TeamProcessOptions> = {}): TeamProcess {
    const process = new TeamProcess({
      team,
      name: `${team}-${++this.#names}`,
      folder: this.folder,
      database: this.urls[team],
      bus: this.bus.address,
      relay: team === 'shop',
      subscriptions: team !== 'shop',
      lease: '1500ms',
      bucketLease: 1500,
      concurrency: 3,
      sessionTimeout: '4000ms',
      failpoints: [],
      handling: {},
      slowness: 0,
      poison: undefined,
      deploy: undefined,
      swallowing: 0,
      library: 'url',
      adversary: undefined,
      answerTimeout: 20_000,
      ...this.#defaults,
      ...options,
    })
    this.processes.push(process)
    return process
  }

  /** A process stops itself at this moment, once. */
  failpoint(moment: Moment, signal: Failpoint['signal'], at = 1, ms = 0): Failpoint {
    this.faultsScheduled++
    return { moment, at, signal, ms, marker: join(this.folder, `failpoint-${moment}-${at}-${++this.#names}`) }
  }

  /** Whether it lies stopped (SIGSTOP), by its state in /proc. */
  isStopped({ pid }: TeamProcess): boolean {
    return /^\S+ \(.*\) T/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  }

  /** Injects a fault, and writes down whether it really happened. */
  async fault(name: string, inject: () => Promise<unknown> | unknown): Promise<void> {
    this.faultsScheduled++
    this.recorder.record({ f: 'fault', phase: 'invoke', time: monotonic(), name })
    const happened = await inject()
    this.happened(name, happened !== false)
  }

  /** A fault that a process inflicted on itself was seen from outside. */
  happened(name: string, really = true): void {
    if (really) this.faultsHappened++
    this.recorder.record({ f: 'fault', phase: really ? 'ok' : 'fail', time: monotonic(), name })
  }

  /** What the adversaries of all processes say that they have done, added up. */
  misdeeds(): Readonly<Record<string, number>> {
    const sum: Record<string, number> = {}
    for (const name of readdirSync(this.folder)) {
      if (!name.endsWith('.misdeeds.json')) continue
      const one = JSON.parse(readFileSync(join(this.folder, name), 'utf8')) as Record<string, number>
      for (const [misdeed, count] of Object.entries(one)) sum[misdeed] = (sum[misdeed] ?? 0) + count
    }
    return sum
  }

  /** Writes with several connections at once until so many changes are committed. Answers how many were. */
  async write(options: {
    readonly changes: number
    readonly connections?: number
    readonly mix?: Partial<Mix>
    readonly signal?: AbortSignal
    onProgress?(changes: number): void
    readonly url?: string
    readonly clone?: boolean
  }): Promise<number> {
    let committed = 0
    const writers = Array.from({ length: options.connections ?? 8 }, async (_, i) => {
      const number = ++this.#names
      const random = new Random(this.seed * 1000 + i)
      const writer = new Writer({
        name: `w${number}`,
        random,
        recorder: this.recorder,
        ...(options.mix ? { mix: options.mix } : {}),
        ...(options.clone ? { clone: true } : { onToken: (token) => this.#tokenReader.read(token) }),
      })
      let client: Client | undefined
      while (committed < options.changes && !options.signal?.aborted) {
        try {
          client ??= await connected(options.url ?? this.urls.shop, `w${number}`)
          const changes = await writer.transact(client)
          committed += changes
          options.onProgress?.(committed)
        } catch {
          // The server or the connection is gone: its unknown outcome is written down already.
          client?.end().catch(() => undefined)
          client = undefined
          await new Promise((resolve) => setTimeout(resolve, 50))
        }
      }
      await client?.end().catch(() => undefined)
    })
    await Promise.all(writers)
    return committed
  }

  /** One writer whose transactions the scenario runs itself. */
  writer(mix: Partial<Mix> = {}): Writer {
    return new Writer({ name: `w${++this.#names}`, random: new Random(this.seed + this.#names), recorder: this.recorder, mix: { ...mix } })
  }

  /** Publishes at steady rates; see {@link Load}. */
  async load(): Promise<Load> {
    const load = await Load.start({ name: `l${++this.#names}`, url: this.urls.shop, recorder: this.recorder })
    this.#loads.push(load)
    return load
  }

  /** Has a team do what an operator asks for, and answers the outcome; throws what is recorded as its error. */
  async operate<Outcome = Record<string, unknown>>(
    team: TeamName,
    kind: string,
    args: Readonly<Record<string, unknown>>,
  ): Promise<Outcome> {
    const { environment, declaration } = this.#teams[team]
    const { outcome, error } = await operate(environment, declaration, {
      ...{ id: randomUUID(), kind, arguments: args as never, author: 'an operator', reason: 'a scenario', origin: 'library' },
    })
    if (error !== null) throw Object.assign(new Error(error.message), { code: error.code })
    return outcome as Outcome
  }

  /** Tokens are no longer waited for: what a copy has shown may be taken back. */
  endReads(): Promise<void> {
    return this.#tokenReader.end()
  }

  /** A job that a team was asked for, as it stands. */
  job(team: TeamName, id: string): Promise<Job> {
    return jobOf(this.#teams[team].environment, id)
  }

  /** The process of a team that works on this job, if one does. */
  async workerOf(team: TeamName, id: string): Promise<TeamProcess | undefined> {
    const { holder } = await this.job(team, id)
    return this.processes.find((process) => process.alive && holder?.split(':').at(-2) === String(process.pid))
  }

  /** Everything committed is settled, everything sent has ended. Ends what was prepared and forgotten. */
  async drain(timeout = 60_000): Promise<boolean> {
    try {
      await until('everything is settled and has ended', () => this.isDrained().catch(() => false), timeout)
      return true
    } catch {
      return false
    }
  }

  /** Messages at the bus that some subscription has not ended. */
  async backlog(): Promise<number> {
    const names = [...Object.keys(HANDLED), ...Object.keys(KEPT), ...Observer.subscriptions]
    const stats = await this.#transport.stats?.(names)
    return stats ? stats.reduce((sum, { backlog }) => sum + backlog, 0) : unacknowledged(this.pools.shop, this.folder)
  }

  /** Different messages that the bus has given out, repetitions not counted. */
  get publishedCount(): number {
    return this.#observer.published
  }

  /** Everything committed is sent, everything sent has ended. Ends what was prepared and forgotten. */
  async isDrained(): Promise<boolean> {
    const { shop } = this.pools
    const prepared = await shop.query<{ gid: string }>('select gid from pg_prepared_xacts where database = current_database()')
    for (const { gid } of prepared.rows) await shop.query(`commit prepared '${gid}'`)
    return (await isSettled(shop)) && (await this.backlog()) === 0
  }

  /** Drains, looks, and judges. */
  async judge(
    options: { readonly timeout?: number; readonly maxLag?: number } & Pick<Observations, 'bounds' | 'troubles'> = {},
  ): Promise<Judgement> {
    const drained = await this.drain(options.timeout)
    await this.#tokenReader.end()
    const observations = await observe(
      { shop: this.pools.shop, mail: this.pools.mail, stock: this.pools.stock, transport: this.#transport, teams: this.#teams },
      {
        faultsScheduled: this.faultsScheduled,
        drained,
        restored: this.restored,
        ...(options.maxLag === undefined ? {} : { maxLag: options.maxLag }),
      },
    )
    const checker = historyChecker()
    for await (const operation of readHistory(this.folder)) checker.add(operation)
    const troubles = [...(observations.troubles ?? []), ...(options.troubles ?? [])]
    return checker.judge({ ...observations, troubles, bounds: options.bounds ?? [] })
  }

  async close(): Promise<void> {
    await Promise.all(this.processes.map((process) => process.kill()))
    await Promise.all(this.#loads.map((load) => load.close()))
    await Promise.all(this.#proxies.map((proxy) => proxy.close()))
    await this.#observer.stop()
    await this.#tokenReader.end()
    await Promise.all(Object.values(this.#teams).map((team) => team.stop()))
    await this.#transport.close()
    await Promise.all(Object.values(this.pools).map((pool) => pool.end()))
    await this.bus[Symbol.asyncDispose]()
    this.recorder.close()
  }
}

/** A writer that comes back ends what it had prepared before its connection was lost: else everybody would wait for these locks. */
async function connected(url: string, writer: string): Promise<Client> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5000, application_name: 'chaos writer' })
  client.on('error', () => undefined)
  await client.connect()
  const { rows } = await client.query<{ gid: string }>(
    'select gid from pg_prepared_xacts where database = current_database() and starts_with(gid, $1::text)',
    [`${writer}.`],
  )
  for (const { gid } of rows) await client.query(`commit prepared '${gid}'`)
  return client
}
