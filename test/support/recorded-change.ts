import type { Change, Operation, WriteEnd } from 'comity/testing'
import type { PostgresDatabase } from '../../packages/comity/src/postgres/index.ts'

/** One change of a captured row, as the history checker hears of it; without a version, it changed nothing. */
export interface RecordedChange {
  readonly begun: Operation
  readonly ended: WriteEnd
  readonly version: number | undefined
}

/** @param statement changes the row of the key ($1) so that it has the mark ($2), in a transaction of its own */
export async function recordedChange(
  database: PostgresDatabase,
  process: string,
  change: Change,
  mark: string,
  statement: string,
): Promise<RecordedChange> {
  const begun: Operation = { f: 'write', phase: 'invoke', process, time: performance.now(), op: mark, changes: [change] }
  const at = performance.now()
  const { version, committingAt } = await database.transaction(async (tx) => {
    const sql = database.join(tx)
    const { rows } = await sql.query<{ n: number }>(`with changed as (${statement} returning 1) select count(*)::int as n from changed`, [
      change.key,
      mark,
    ])
    // What its trigger has drawn.
    const drawn =
      rows[0]?.n === 0
        ? undefined
        : (await sql.query<{ version: string }>(`select currval('comity.outbox_id')::text as version`)).rows[0]?.version
    return { version: drawn === undefined ? undefined : Number(drawn), committingAt: performance.now() }
  })
  const outcome = version === undefined ? { at, undone: true } : { at, version }
  return {
    begun,
    version,
    ended: { f: 'write', phase: 'ok', process, time: performance.now(), op: mark, committingAt, outcomes: [outcome] },
  }
}
