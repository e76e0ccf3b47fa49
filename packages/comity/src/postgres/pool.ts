import pg from 'pg'
import { type Duration, parseDuration } from '../foundation/duration.ts'
import { checkOptions } from '../foundation/options.ts'
import { describeError } from './classify-error.ts'
import { copyIn } from './copy-in.ts'
import type { Database, Queryable, QueryResult } from './database.ts'
import { DatabaseUnreachable, NotATransaction, PoolerRefusesSettings, TransactionIsOver } from './errors.ts'
import { type PgClient, type PgPool, surviveLostConnections, transact, withClient } from './pg-handle.ts'
import { refuseTransactionControl } from './transaction-control.ts'

/** Settings of one connection as `pg` takes them. Values in a connection string win over the others. */
export interface PgConfig {
  readonly connectionString?: string
  readonly host?: string
  readonly port?: number
  readonly database?: string
  readonly user?: string
  readonly password?: string | (() => string | Promise<string>)
  readonly ssl?: boolean | object
}

export interface ConnectOptions {
  /** Connections at most. Default 5. */
  readonly max?: number
  /** Shown in pg_stat_activity. Default `comity`. */
  readonly applicationName?: string
  /**
   * The server ends a statement, and a transaction left idle, after this time. Keep it below the leases: a stopped
   * process otherwise holds its locks against its successor without end. Default '15s'.
   */
  readonly sessionTimeout?: Duration
  /** For opening a connection, and for waiting until one is free. Default '10s'. */
  readonly connectionTimeout?: Duration
  /** Told of idle connections that were lost. The next query opens a new one. */
  readonly onTrouble?: (error: Error) => void
}

/** A database through a pool of our own. `int8` and `numeric` arrive as strings; see database.ts for what else holds. */
export interface PostgresDatabase extends Database<Queryable> {
  /**
   * Runs `work` on one connection outside a transaction, for what must not be inside one. The connection is closed
   * afterwards, and with it whatever was SET, locked or left open on it.
   */
  session<Result>(work: (session: Queryable) => Promise<Result>): Promise<Result>
}

const begin = 'BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE'

/**
 * Opens nothing yet: connections come with the first query, and idle ones do not keep the process alive.
 *
 * Several queries of one transaction may be fired without awaiting each: they are pipelined, and run in order.
 * A pg.Pool that is given stays the caller's: its own settings hold, and `close()` leaves it open.
 */
export function connect(config: string | PgConfig | PgPool, options: ConnectOptions = {}): PostgresDatabase {
  checkOptions(options, ['max', 'applicationName', 'sessionTimeout', 'connectionTimeout', 'onTrouble'], 'connect')
  const given = typeof config === 'object' && 'connect' in config
  const pool: PgPool = given ? config : ownPool(typeof config === 'string' ? { connectionString: config } : config, options)
  if (!given) pool.on('error', (error) => options.onTrouble?.(error))
  surviveLostConnections(pool)
  const target = given ? 'the database of the given pool' : nameOf(config)
  const lend = <Result>(work: (client: PgClient, abandon: () => void) => Promise<Result>): Promise<Result> =>
    withClient(() => pool.connect().catch((error: unknown) => Promise.reject(unreachable(error, target))), work)
  let closed: Promise<void> | undefined

  const database: PostgresDatabase = {
    query: <Row>(text: string, values?: readonly unknown[]) => lend((client) => run<Row>(client, text, values)),
    transaction: (work) =>
      lend(async (client, abandon) => {
        let over = false
        const tx: Queryable = {
          async query<Row>(text: string, values?: readonly unknown[]) {
            if (over) throw new TransactionIsOver({})
            refuseTransactionControl(text)
            return run<Row>(client, text, values)
          },
          // A pool of the user's may be of another `pg`, whose queries are not ours.
          ...(given
            ? {}
            : {
                async copyIn(statement: string, data: string, meanwhile?: () => void) {
                  if (over) throw new TransactionIsOver({})
                  await copyIn(client, statement, data, meanwhile)
                },
              }),
        }
        return transact(client, abandon, begin, () =>
          work(tx).finally(() => {
            over = true
          }),
        )
      }),
    session: (work) =>
      lend((client, abandon) => {
        abandon()
        return work({ query: (text, values) => run(client, text, values) })
      }),
    join(tx) {
      if ('transaction' in tx) throw new NotATransaction({ given: 'the database itself' })
      return tx
    },
    close() {
      closed ??= given ? Promise.resolve() : pool.end()
      return closed
    },
    [Symbol.asyncDispose]: () => database.close(),
  }
  return database
}

function run<Row>(client: PgClient, text: string, values: readonly unknown[] | undefined): Promise<QueryResult<Row>> {
  return client.query(text, values as unknown[] | undefined) as Promise<{ rows: Row[]; command: string }>
}

function ownPool(config: PgConfig, options: ConnectOptions): PgPool {
  const timeout = parseDuration(options.sessionTimeout ?? '15s', 'connect.sessionTimeout')
  return new pg.Pool({
    max: options.max ?? 5,
    application_name: options.applicationName ?? 'comity',
    statement_timeout: timeout,
    idle_in_transaction_session_timeout: timeout,
    // The server's answer comes before this, or not at all: then the connection is half open, and is given up.
    query_timeout: timeout + 5_000,
    connectionTimeoutMillis: parseDuration(options.connectionTimeout ?? '10s', 'connect.connectionTimeout'),
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    idleTimeoutMillis: 30_000,
    allowExitOnIdle: true,
    pipeline: true,
    ...config,
  })
}

function unreachable(error: unknown, database: string): Error {
  const reason = describeError(error)
  if (reason.includes('unsupported startup parameter')) return new PoolerRefusesSettings({ database, reason }, { cause: error })
  return new DatabaseUnreachable({ database, reason }, { cause: error })
}

/** Host and database without user and password. */
function nameOf(config: string | PgConfig): string {
  const text = typeof config === 'string' ? config : config.connectionString
  if (text === undefined) return `${(config as PgConfig).host ?? 'localhost'}/${(config as PgConfig).database ?? ''}`
  return URL.canParse(text) ? `${new URL(text).host}${new URL(text).pathname}` : 'the database'
}
