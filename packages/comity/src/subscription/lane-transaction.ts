import { classifyError, describeError } from '../postgres/classify-error.ts'
import type { Database, Queryable } from '../postgres/database.ts'
import { TransactionIsOver } from '../postgres/errors.ts'
import { HandlerLostConnection, LaneTaken } from './errors.ts'
import type { Outcome } from './message.ts'
import type { Permit } from './permits.ts'

/*
 * Every transaction that consumes locks its lane's row first, in a statement of its own: what the next statement sees was
 * committed by whoever held the lane before. Without it an older upsert and a tombstone pass each other (measured).
 */
const LOCK_LANE = 'select 1 from comity.lanes where subscription = $1::text and lane = $2::int for update'

/*
 * The last statement of ours before COMMIT: in a transaction that an error has aborted it raises 25P02, so a handler that
 * caught a SQL error and returned can't have its message acknowledged with nothing committed.
 */
const COUNT = `
  insert into comity.counts as c (subscription, lane, minute, applied, duplicate, stale, waiting, discarded, last_time, failed, last_at)
  values ($1::text, $2::int, floor(extract(epoch from clock_timestamp()) / 60), $3::int, $4::int, $5::int, $6::int, $7::int, $8::text::timestamptz, $9::int,
    clock_timestamp())
  on conflict (subscription, lane, minute) do update set applied = c.applied + excluded.applied, duplicate = c.duplicate + excluded.duplicate,
    stale = c.stale + excluded.stale, waiting = c.waiting + excluded.waiting, discarded = c.discarded + excluded.discarded,
    failed = c.failed + excluded.failed, last_time = greatest(c.last_time, excluded.last_time), last_at = excluded.last_at`

export interface Lane<Tx> {
  readonly subscription: string
  readonly lane: number
  readonly database: Database<Tx>
  /** When a transaction may begin. */
  readonly permit: Permit
}

/** Of the messages that a transaction ends. */
interface Counting {
  /** When the newest of them was published. */
  readonly time?: string | undefined
  /** They stood in a line until now. */
  readonly waited?: boolean
  /** How many of them have failed for good. */
  readonly failed?: number
}

/** Runs `work` under the lane's lock and counts what it answers in the same transaction. */
export function inLane<Tx, Result extends readonly Outcome[]>(
  { database, permit, subscription, lane }: Lane<Tx>,
  { time, waited = false, failed = 0 }: Counting,
  work: (tx: Tx, sql: Queryable) => Promise<Result>,
): Promise<Result> {
  return permit(() =>
    database.transaction(async (tx) => {
      const sql = database.join(tx)
      await sql.query(LOCK_LANE, [subscription, lane]).catch((error: unknown) => {
        throw classifyError(error) === 'timeout' ? new LaneTaken({ subscription, lane }, { cause: error }) : error
      })
      const outcomes = await work(tx, sql).catch(async (error: unknown) => Promise.reject(await whoseFailure(error, sql)))
      const count = (outcome: Outcome): number => outcomes.reduce((sum, one) => sum + (one === outcome ? 1 : 0), 0)
      await sql.query(COUNT, [
        subscription,
        lane,
        count('applied'),
        count('duplicate'),
        count('stale'),
        count('waiting') - (waited ? outcomes.length : 0),
        count('discarded'),
        time ?? null,
        failed,
      ])
      return outcomes
    }),
  )
}

/** A handler may have connections of its own, to a third party say: that one of these was lost is its failure, and no outage. */
async function whoseFailure(error: unknown, sql: Queryable): Promise<unknown> {
  if (classifyError(error) !== 'connection') return error
  const lost = await sql.query('select 1 as answer').then(
    () => false,
    (other: unknown) => classifyError(other) === 'connection' || other instanceof TransactionIsOver,
  )
  return lost ? error : new HandlerLostConnection({ reason: describeError(error) }, { cause: error })
}
