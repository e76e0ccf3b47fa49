import { CommitUnknown, DatabaseUnreachable } from './errors.ts'

/**
 * What an SQL error means for the one who ran the transaction, whatever library reports it:
 *
 * - `connection`: the connection or the server is gone. Not the work's fault; at COMMIT the outcome is unknown.
 * - `retryable`: rolled back for a reason outside the work (deadlock, serialization, lock, no space, standby). Repeat as it is.
 * - `timeout`: the server ended work that took too long. It is counted as a failure: work that is always too slow would repeat for ever.
 * - `aborted-transaction`: an earlier statement had failed and its error was caught.
 * - `other`: the work or its data.
 */
export type ErrorKind = 'connection' | 'retryable' | 'timeout' | 'aborted-transaction' | 'other'

/** By SQLSTATE, else by its class (first two characters). Source: PostgreSQL documentation, appendix A. */
const kindOfState: Readonly<Record<string, ErrorKind>> = {
  '08': 'connection',
  '40003': 'connection', // statement completion unknown
  '53300': 'connection', // too many connections
  '57P01': 'connection', // administrator shutdown
  '57P02': 'connection', // crash shutdown
  '57P03': 'connection', // starting up or shutting down
  '57P04': 'connection', // database dropped
  '57P05': 'connection', // idle session timeout
  '25006': 'retryable', // read-only: this is a standby, as after a failover
  '40': 'retryable', // serialization failure, deadlock
  '53': 'retryable', // disk full, out of memory
  '55P03': 'retryable', // lock not available
  '58': 'retryable', // input or output error
  '25P03': 'timeout', // idle in transaction
  '25P04': 'timeout', // transaction timeout
  '57014': 'timeout', // statement timeout, or cancelled
  '25P02': 'aborted-transaction',
}

/** Errors without SQLSTATE: Node's sockets, postgres.js, Prisma (https://www.prisma.io/docs/orm/reference/error-reference). */
const kindOfCode: Readonly<Record<string, ErrorKind>> = {
  ECONNREFUSED: 'connection',
  ECONNRESET: 'connection',
  ECONNABORTED: 'connection',
  EPIPE: 'connection',
  ETIMEDOUT: 'connection',
  ENOTFOUND: 'connection',
  EAI_AGAIN: 'connection',
  EHOSTUNREACH: 'connection',
  ENETUNREACH: 'connection',
  ENOENT: 'connection', // a socket file
  CONNECTION_CLOSED: 'connection',
  CONNECTION_ENDED: 'connection',
  CONNECTION_DESTROYED: 'connection',
  CONNECT_TIMEOUT: 'connection',
  P1001: 'connection',
  P1002: 'connection',
  P1008: 'connection',
  P1017: 'connection',
  P2024: 'connection', // no connection free in Prisma's pool
  P2034: 'retryable', // write conflict or deadlock
}

/** Errors that have neither: Knex, TypeORM and Sequelize name theirs. */
const kindOfName: Readonly<Record<string, ErrorKind>> = {
  KnexTimeoutError: 'connection', // no connection free in its pool
  QueryRunnerAlreadyReleasedError: 'connection', // TypeORM releases it when its connection is lost
  SequelizeConnectionError: 'connection',
  SequelizeConnectionAcquireTimeoutError: 'connection',
  SequelizeConnectionRefusedError: 'connection',
  SequelizeConnectionTimedOutError: 'connection',
  SequelizeHostNotFoundError: 'connection',
  SequelizeHostNotReachableError: 'connection',
}

/** pg reports a lost connection by words only; Knex puts the statement in front of them. */
const lostInWords =
  /^(?:[\s\S]* - )?(Connection terminated|Client has encountered a connection error|Client was closed|Query read timeout|timeout exceeded when trying to connect|Server has closed the connection)/

export function classifyError(error: unknown): ErrorKind {
  const state = sqlStateOf(error)
  if (state !== undefined) return kindOfState[state] ?? kindOfState[state.slice(0, 2)] ?? 'other'
  for (const link of chain(error)) {
    if (link instanceof CommitUnknown || link instanceof DatabaseUnreachable) return 'connection'
    const kind = kindOfCode[String(link.code)] ?? kindOfName[String(link.name)]
    if (kind !== undefined) return kind
    if (typeof link.message === 'string' && lostInWords.test(link.message)) return 'connection'
  }
  return 'other'
}

/** The SQLSTATE inside an error of pg or of a library over it; undefined if the server sent none. */
export function sqlStateOf(error: unknown): string | undefined {
  return sqlErrorOf(error)?.state
}

/**
 * An error in words that may be logged: SQLSTATE and the server's message. Never DETAIL, never parameters (Drizzle, Knex and
 * MikroORM write them into their messages), never the values that messages of class 22 quote: these hold what belongs to somebody.
 */
export function describeError(error: unknown): string {
  const sql = sqlErrorOf(error)
  if (sql === undefined) return error instanceof Error ? error.message : String(error)
  const words = sql.message.replace(statementBefore, '')
  const message = sql.state.startsWith('22') ? words.replace(/: ".*"/s, ': (value hidden)') : words
  return `${message} (SQLSTATE ${sql.state})`
}

/** Knex puts the statement with all its values in front of the server's message; up to the last dash, because a value may hold one. */
const statementBefore = /^\s*(?:with|select|insert|update|delete|merge|truncate|call|copy|do|create|alter|drop)\b[\s\S]* - /i

interface Link {
  readonly code?: unknown
  readonly name?: unknown
  readonly message?: unknown
  readonly originalCode?: unknown
  readonly originalMessage?: unknown
  readonly severity?: unknown
  readonly cause?: unknown
  readonly original?: unknown
  readonly meta?: { readonly driverAdapterError?: unknown }
  readonly errors?: unknown
}

function sqlErrorOf(error: unknown): { readonly state: string; readonly message: string } | undefined {
  for (const link of chain(error)) {
    // Prisma's driver adapters keep the server's code in originalCode; pg and postgres.js name a severity beside it,
    // which tells a SQLSTATE from a five-letter code of Node such as EPIPE.
    if (typeof link.originalCode === 'string') return { state: link.originalCode, message: String(link.originalMessage) }
    if (typeof link.code === 'string' && typeof link.severity === 'string') return { state: link.code, message: String(link.message) }
  }
  return undefined
}

/** The error and what it wraps, outermost first. Bounded, because a cause may point back. */
function* chain(error: unknown): Generator<Link> {
  const open = [error]
  for (let seen = 0; seen < 20 && open.length > 0; seen++) {
    const next = open.shift()
    if (typeof next !== 'object' || next === null) continue
    const link = next as Link
    yield link
    open.push(link.cause, link.original, link.meta?.driverAdapterError, ...(Array.isArray(link.errors) ? link.errors : []))
  }
}
