import { checkTeamName } from '@comity/contract'
import { asDatabase, type DatabaseOption } from '../adapters/as-database.ts'
import { AUDIT_SCHEDULE, type AuditSchedule } from '../audit/schedule.ts'
import { brokerNameOf } from '../catalog/broker-name.ts'
import { inNamespace } from '../catalog/declaration.ts'
import type { Brokers } from '../control/brokers.ts'
import { transportMoves } from '../control/transport-moves.ts'
import {
  BadOption,
  boundLogger,
  checkOptions,
  type Duration,
  type Frequency,
  type Logger,
  parseDuration,
  parseFrequency,
  silentLogger,
} from '../foundation/index.ts'
import type { Database } from '../postgres/database.ts'
import { movingTransport, openTransport, type Transport } from '../transport/index.ts'
import type { AboutOptions, RelationOptions } from './declared-options.ts'
import { NoDatabase, NoTransport, SameBroker } from './errors.ts'

/** How a team reaches its database and its broker. Code > environment > default. */
export interface TeamOptions<Tx> extends RelationOptions, AboutOptions {
  /** URL, `pg` pool, or an adapter (`fromDrizzle(db)`, …). Environment: COMITY_DATABASE_URL. */
  readonly database?: DatabaseOption<Tx> | undefined
  /** URL, or a transport value. Environment: COMITY_TRANSPORT. */
  readonly transport?: string | Transport | undefined
  /**
   * Where the team moves to: a second URL, or transport value, beside `transport`. Everything is published to both, and each subscription
   * switches when nothing is left for it at the old one ("comity transport move"). Environment: COMITY_TRANSPORT_TO. Default: it does not move.
   */
  readonly transportTo?: string | Transport | undefined
  readonly moving?: MovingOptions
  /** How much other teams' copies may ask of this team's database when they are filled. */
  readonly backfill?: BackfillOptions
  /** How often each copy is compared with its owner by itself. */
  readonly audit?: AuditOptions
  /** Prefix of every broker object: one per environment. Environment: COMITY_NAMESPACE. Default: none. */
  readonly namespace?: string | undefined
  /** Whether this process may relay the team's outbox. Default true. */
  readonly relay?: boolean
  /** Whether this process may run the team's subscriptions. Default true. */
  readonly subscriptions?: boolean
  /**
   * Transactions of subscriptions that run at once in this process. Default 3; with the two connections that relay, leases and readers
   * share that makes 5. A pool of your own needs as many.
   */
  readonly concurrency?: number
  /** How long the team's other processes wait before one of them relays instead of one that died. Default '15s'. */
  readonly lease?: Duration
  /** Migrate and provision at start: for development and the embedded default. Default false. */
  readonly autoMigrate?: boolean
  /** Start on a server that can lose committed work (fsync off): tests only. Default false. */
  readonly allowUnsafe?: boolean
  /** Let operators put other data in the place of a dead letter's; the original is kept. Default false. */
  readonly allowEdit?: boolean
  /** Default: silence. */
  readonly logger?: Logger
}

export interface MovingOptions {
  /** What the brokers are called in the records of a move. Default: scheme, host and path of the URL; of a value, its name. */
  readonly from?: string
  readonly to?: string
  /** How far the clocks of the two brokers can be apart, and how old what they say of a backlog can be. Default '60s'. */
  readonly margin?: Duration
}

export interface BackfillOptions {
  /** Rows a second of all backfills together, whatever they ask for. Default: no limit but `latency`. */
  readonly rate?: Frequency
  /** Rows that are read at once. Default 4000. */
  readonly batch?: number
  /** What a small statement may take; while it takes longer, backfills make room. Default '100ms'. */
  readonly latency?: Duration
}

export interface AuditOptions {
  /** Every declared field. Default '24h'; false = only when asked for. */
  readonly full?: Duration | false
  /** Only which rows there are. Default '1h'; false = only when asked for. */
  readonly keys?: Duration | false
}

/** The options as they hold, resolved lazily: a team that only publishes opens nothing. */
export class Settings<Tx> {
  readonly team: string
  readonly namespace: string
  readonly relay: boolean
  readonly subscriptions: boolean
  readonly concurrency: number
  readonly lease: Duration
  readonly autoMigrate: boolean
  readonly allowUnsafe: boolean
  readonly allowEdit: boolean
  readonly logger: Logger
  readonly audit: AuditSchedule
  /** Rows a second, and milliseconds. */
  readonly backfill: { readonly rate?: number; readonly batch?: number; readonly latency: number }
  readonly options: TeamOptions<Tx>
  #database: Database<Tx> | undefined
  #transport: Transport | undefined
  /** What was opened from a URL here. */
  #opened: Transport[] = []

  readonly #longestHandler: () => number
  readonly #controlled: () => readonly string[]

  /** @param longestHandler milliseconds of the longest time limit that a handler was declared with */
  constructor(team: string, options: TeamOptions<Tx>, longestHandler: () => number, controlled: () => readonly string[]) {
    this.#longestHandler = longestHandler
    this.#controlled = controlled
    checkTeamName(team)
    checkOptions(
      options,
      [
        ...[
          'database',
          'transport',
          'transportTo',
          'moving',
          'backfill',
          'audit',
          'namespace',
          'relay',
          'subscriptions',
          'concurrency',
          'lease',
          'autoMigrate',
          'allowUnsafe',
          'allowEdit',
          'logger',
        ],
        // Of the declaration: `with` passes over them.
        ...['operates', 'operators', 'version', 'contact'],
      ],
      'team',
    )
    this.team = team
    this.options = options
    this.namespace = options.namespace ?? process.env.COMITY_NAMESPACE ?? ''
    if (this.namespace !== '') checkTeamName(this.namespace)
    this.relay = options.relay ?? true
    this.subscriptions = options.subscriptions ?? true
    this.concurrency = options.concurrency ?? 3
    if (!(Number.isSafeInteger(this.concurrency) && this.concurrency >= 1))
      throw new BadOption({ option: 'team.concurrency', expected: 'a whole number from 1' }, { path: 'team.concurrency' })
    this.lease = options.lease ?? '15s'
    if (parseDuration(this.lease, 'team.lease') < 500)
      throw new BadOption({ option: 'team.lease', expected: "at least '500ms'" }, { path: 'team.lease' })
    checkOptions(options.audit ?? {}, ['full', 'keys'], 'team.audit')
    const every = (name: 'full' | 'keys'): number | undefined => {
      const given = options.audit?.[name]
      return given === false ? undefined : given === undefined ? AUDIT_SCHEDULE[name] : parseDuration(given, `team.audit.${name}`)
    }
    this.audit = { full: every('full'), keys: every('keys') }
    const { rate, batch, latency = '100ms' } = options.backfill ?? {}
    checkOptions(options.backfill ?? {}, ['rate', 'batch', 'latency'], 'team.backfill')
    if (batch !== undefined && !(Number.isSafeInteger(batch) && batch >= 1 && batch <= 10_000))
      throw new BadOption({ option: 'team.backfill.batch', expected: 'a whole number from 1 to 10000' }, { path: 'team.backfill.batch' })
    this.backfill = {
      latency: parseDuration(latency, 'team.backfill.latency'),
      ...(batch === undefined ? {} : { batch }),
      ...(rate === undefined ? {} : { rate: parseFrequency(rate, 'team.backfill.rate') }),
    }
    this.autoMigrate = options.autoMigrate ?? false
    this.allowUnsafe = options.allowUnsafe ?? false
    this.allowEdit = options.allowEdit ?? false
    this.logger = boundLogger(options.logger ?? silentLogger, { team })
  }

  /** Throws COMITY_NO_DATABASE. */
  get database(): Database<Tx> {
    if (this.#database !== undefined) return this.#database
    const given = this.options.database ?? (process.env.COMITY_DATABASE_URL as DatabaseOption<Tx> | undefined)
    if (given === undefined) throw new NoDatabase({ team: this.team })
    const database = asDatabase(given, {
      max: this.concurrency + 2,
      sessionTimeout: `${Math.max(15_000, this.#longestHandler() + 5_000)}ms`,
    })
    this.#database = database
    return database
  }

  /** Throws COMITY_NO_TRANSPORT. Of a team that moves: both brokers as one. */
  get transport(): Transport {
    this.#transport ??= this.#assemble()
    return this.#transport
  }

  /** What they are called where a move is recorded. */
  get brokers(): Brokers {
    const { from = brokerNameOf(this.#from) } = this.options.moving ?? {}
    if (this.#to === undefined) return { from }
    const { to = brokerNameOf(this.#to) } = this.options.moving ?? {}
    if (from === to) throw new SameBroker({ team: this.team, name: from })
    return { from, to }
  }

  /** Milliseconds. */
  get moveMargin(): number {
    return parseDuration(this.options.moving?.margin ?? '60s', 'team.moving.margin')
  }

  get #from(): string | Transport {
    const given = this.options.transport ?? process.env.COMITY_TRANSPORT
    if (given === undefined) throw new NoTransport({ team: this.team })
    return given
  }
  get #to(): string | Transport | undefined {
    return this.options.transportTo ?? (process.env.COMITY_TRANSPORT_TO || undefined)
  }

  #assemble(): Transport {
    if (this.#to === undefined) return this.#open(this.#from)
    const { brokers, namespace, database, logger } = this
    const controlled = new Set(this.#controlled().map((name) => inNamespace(namespace, name)))
    return movingTransport({
      from: this.#open(this.#from),
      to: this.#open(this.#to),
      records: transportMoves({ team: this.team, database, brokers, namespace }),
      margin: this.moveMargin,
      isReadAtBoth: (subscription) => controlled.has(subscription),
      logger,
    })
  }

  #open(given: string | Transport): Transport {
    const transport = openTransport(given, { allowUnsafe: this.allowUnsafe, logger: this.logger })
    if (transport !== given) this.#opened.push(transport)
    return transport
  }

  /** Closes what was opened from a URL here; values that were given stay open. */
  async close(): Promise<void> {
    await Promise.all(this.#opened.map((transport) => transport.close()))
    if (this.#database !== undefined && (this.#database as unknown) !== this.options.database) await this.#database.close()
    this.#opened = []
    this.#transport = undefined
    this.#database = undefined
  }
}
