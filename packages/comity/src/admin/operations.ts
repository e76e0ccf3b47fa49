import { ComityError, type JsonValue } from '@comity/contract'
import type { Declaration } from '../catalog/declaration.ts'
import type { Environment } from '../catalog/environment.ts'
import type { Execution } from '../control/command-inbox.ts'
import { editDistance } from '../foundation/options.ts'
import { classifyError, describeError, type Queryable } from '../postgres/index.ts'
import { compile } from '../schema/index.ts'
import { OperationArguments, OperationFailed, OperationUnexplained, OperationUnknown } from './errors.ts'
import { requireInstalled } from './installation.ts'
import { audit } from './operations/audit.ts'
import { cancelBackfill, pauseBackfill, resumeBackfill, startBackfill } from './operations/backfill.ts'
import { cancelJob } from './operations/cancel-job.ts'
import { editMessage } from './operations/edit-message.ts'
import { erase } from './operations/erase.ts'
import { forgetTeam } from './operations/forget-team.ts'
import { acceptCopy, handOver } from './operations/hand-over.ts'
import { discard, retry, skip } from './operations/lines.ts'
import type { Operation } from './operations/operation.ts'
import { pause, resume } from './operations/pause.ts'
import { ping } from './operations/ping.ts'
import { purge } from './operations/purge.ts'
import { cancelRebuild, rebuildReplica, switchReplica } from './operations/rebuild-replica.ts'
import { rebuildTransport } from './operations/rebuild-transport.ts'
import { replay, skipToNow } from './operations/replay.ts'
import { dropReplica, narrowReplica } from './operations/replicas.ts'
import { seed } from './operations/seed.ts'
import { status } from './operations/status.ts'
import { removeSubscription, renameSubscription } from './operations/subscriptions.ts'
import { abandonMove, finishMove } from './operations/transport-move.ts'

/** Every operation there is, by its kind: to add one, write its file and name it here. */
const OPERATIONS: ReadonlyMap<string, Operation> = new Map(
  [
    ping,
    status,
    pause,
    resume,
    retry,
    skip,
    discard,
    cancelJob,
    purge,
    replay,
    skipToNow,
    editMessage,
    renameSubscription,
    removeSubscription,
    rebuildTransport,
    finishMove,
    abandonMove,
    audit,
    startBackfill,
    seed,
    pauseBackfill,
    resumeBackfill,
    cancelBackfill,
    erase,
    rebuildReplica,
    switchReplica,
    cancelRebuild,
    narrowReplica,
    dropReplica,
    forgetTeam,
    handOver,
    acceptCopy,
  ].map((operation) => [operation.kind, operation as Operation]),
)

export interface OperationRequest {
  /** A UUID given by who asks: asked again, it is not done again. */
  readonly id: string
  readonly kind: string
  readonly arguments: JsonValue
  readonly author: string
  readonly reason: string
  readonly origin: 'cli' | 'command' | 'breaker' | 'library'
}
/** What is recorded of one operation; times are ISO 8601. Exactly one of outcome and error is not null. */
export interface OperationRecord extends OperationRequest {
  readonly requestedAt: string
  readonly doneAt: string
  readonly outcome: JsonValue
  readonly error: { readonly code: string; readonly message: string } | null
}

const BEGIN = `
  insert into comity.operations (id, kind, arguments, author, reason, origin)
  values ($1::text::uuid, $2::text, $3::text::jsonb, $4::text, $5::text, $6::text) on conflict (id) do nothing returning id::text as id`
const END = `
  update comity.operations set done_at = clock_timestamp(), outcome = $2::text::jsonb, error = $3::text::jsonb where id = $1::text::uuid`
const COLUMNS = `
  id::text as id, kind, arguments::text as arguments, author, reason, origin, outcome::text as outcome, error::text as error,
  to_char(requested_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as requested_at,
  to_char(done_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as done_at`

interface OperationRow {
  readonly id: string
  readonly kind: string
  readonly arguments: string
  readonly author: string
  readonly reason: string
  readonly origin: OperationRequest['origin']
  readonly outcome: string | null
  readonly error: string | null
  readonly requested_at: string
  readonly done_at: string
}

/**
 * Does one operation, once: the row with its id, the work and the outcome are one transaction. Of two processes that are asked at once,
 * one waits for the other and answers what that recorded. An operation that fails is rolled back and recorded with its error; that
 * too is once and for all: to try again, ask with a new id.
 *
 * Throws COMITY_OPERATION_UNEXPLAINED without author or reason, and what says that the database can't be reached: then nothing is recorded.
 */
export async function operate<Tx>(
  environment: Environment<Tx>,
  declaration: Declaration,
  request: OperationRequest,
): Promise<OperationRecord> {
  const missing = (['author', 'reason'] as const).filter((name) => request[name].trim() === '')
  if (missing.length > 0) throw new OperationUnexplained({ kind: request.kind, missing: missing.join(' and ') })
  const { database } = environment
  try {
    return await database.transaction(async (tx) => {
      const sql = database.join(tx)
      if (!(await begin(sql, request))) return recorded(sql, request.id)
      const { id, author, reason } = request
      const operation = operationFor(request)
      const outcome = await operation.run(
        sql,
        { declaration, environment: environment as Environment, id, author, reason },
        request.arguments as never,
      )
      await sql.query(END, [id, JSON.stringify(outcome), null])
      return recorded(sql, id)
    })
  } catch (error) {
    // It may have committed, or can be done when the database is back: nothing is decided.
    if (['connection', 'retryable'].includes(classifyError(error))) throw error
    return database.transaction((tx) => recordFailure(database.join(tx), request, error))
  }
}

async function begin(sql: Queryable, { id, kind, arguments: args, author, reason, origin }: OperationRequest): Promise<boolean> {
  const { rows } = await sql.query(BEGIN, [id, kind, JSON.stringify(args), author, reason, origin])
  return rows.length > 0
}

async function recordFailure(sql: Queryable, request: OperationRequest, error: unknown): Promise<OperationRecord> {
  if (await begin(sql, request)) {
    const code = error instanceof ComityError ? error.code : OperationFailed.code
    const { message } = error instanceof ComityError ? error : new OperationFailed({ kind: request.kind, reason: describeError(error) })
    await sql.query(END, [request.id, null, JSON.stringify({ code, message })])
  }
  return recorded(sql, request.id)
}

async function recorded(sql: Queryable, id: string): Promise<OperationRecord> {
  const { rows } = await sql.query<OperationRow>(`select ${COLUMNS} from comity.operations where id = $1::text::uuid`, [id])
  return recordOf(rows[0] as OperationRow)
}

function recordOf({ requested_at, done_at, ...row }: OperationRow): OperationRecord {
  return {
    ...row,
    arguments: JSON.parse(row.arguments),
    outcome: row.outcome === null ? null : JSON.parse(row.outcome),
    error: row.error === null ? null : JSON.parse(row.error),
    requestedAt: requested_at,
    doneAt: done_at,
  }
}

function operationFor({ kind, arguments: args }: OperationRequest): Operation {
  const operation = OPERATIONS.get(kind)
  if (operation === undefined) {
    const kinds = [...OPERATIONS.keys()]
    const nearest = kinds.find((other) => editDistance(kind, other) <= 2)
    throw new OperationUnknown({ kind, hint: nearest === undefined ? `there are: ${kinds.join(', ')}` : `did you mean "${nearest}"?` })
  }
  const problem = compile(operation.arguments).validate(args)
  if (problem !== undefined) throw new OperationArguments({ kind, problem: `${problem.path} ${problem.message}` }, { path: problem.path })
  return operation
}

/** What is answered to whoever commanded it. */
export function executionOf({ outcome, error, doneAt }: OperationRecord): Execution {
  return { doneAt, ...(error === null ? { outcome } : { error }) }
}

/** What was done to this team, the newest first. @param limit 100 if not given */
export async function listOperations(
  environment: Environment,
  { limit = 100, kind }: { readonly limit?: number; readonly kind?: string } = {},
): Promise<readonly OperationRecord[]> {
  await requireInstalled(environment)
  const { rows } = await environment.database.query<OperationRow>(
    `select ${COLUMNS} from comity.operations where $1::text is null or kind = $1::text order by requested_at desc, id limit $2::int`,
    [kind ?? null, limit],
  )
  return rows.map(recordOf)
}
