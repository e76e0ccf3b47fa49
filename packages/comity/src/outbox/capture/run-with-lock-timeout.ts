import { backoff } from '../../foundation/backoff.ts'
import { type Clock, systemClock } from '../../foundation/clock.ts'
import { classifyError } from '../../postgres/classify-error.ts'
import type { Database, Queryable } from '../../postgres/database.ts'
import { TableBusy } from './errors.ts'

export interface LockTimeoutOptions {
  /** How long one statement waits for a lock before everything is rolled back and tried again: whoever queues behind it waits as long. */
  readonly lockTimeout?: number
  /** How long to go on trying, in milliseconds. */
  readonly patience?: number
  readonly clock?: Clock
}

/**
 * Runs DDL on tables that business writes touch: one transaction, a small lock_timeout, repeated with jitter.
 * Throws COMITY_TABLE_BUSY with the pids that were in the way.
 */
export async function runWithLockTimeout<Tx>(
  db: Database<Tx>,
  statements: readonly string[],
  options: LockTimeoutOptions = {},
): Promise<void> {
  const { lockTimeout = 100, patience = 30_000, clock = systemClock } = options
  const end = clock.monotonic() + patience
  let blockers = new Set<string>()
  for (let attempt = 0; ; attempt++) {
    const done = new AbortController()
    let watch: Promise<Set<string>> = Promise.resolve(new Set())
    try {
      await db.transaction(async (tx) => {
        const joined = db.join(tx)
        const { rows } = await joined.query<{ pid: number }>(`select pg_backend_pid() as pid, set_config('lock_timeout', $1::text, true)`, [
          `${lockTimeout}ms`,
        ])
        watch = watchBlockers(db, rows[0]?.pid ?? 0, clock, lockTimeout / 2, done.signal)
        for (const statement of statements) await joined.query(statement)
      })
      return
    } catch (error) {
      if (classifyError(error) !== 'retryable') throw error
      done.abort()
      const found = await watch
      if (found.size > 0) blockers = found
      if (clock.monotonic() >= end) throw new TableBusy({ patience, blockers: named(blockers) }, { cause: error })
    } finally {
      done.abort()
    }
    await clock.sleep(backoff(attempt, { min: 50, max: 1000 }))
  }
}

/** Looks, from another connection, at whom this one waits for; after the timeout nobody could say any more. */
async function watchBlockers(db: Queryable, pid: number, clock: Clock, every: number, done: AbortSignal): Promise<Set<string>> {
  const found = new Set<string>()
  while (!done.aborted) {
    await clock.sleep(every, done)
    if (done.aborted) break
    const { rows } = await db
      .query<{ pid: number; state: string | null }>(
        'select b.pid, a.state from unnest(pg_blocking_pids($1::int)) b(pid) left join pg_stat_activity a on a.pid = b.pid',
        [pid],
      )
      .catch(() => ({ rows: [] }))
    for (const row of rows) found.add(row.state === null ? String(row.pid) : `${row.pid} (${row.state})`)
  }
  return found
}

function named(blockers: ReadonlySet<string>): string {
  return blockers.size === 0 ? 'another session' : `pid ${[...blockers].join(', pid ')}`
}
