import { SESSION_SETTINGS } from '../outbox/capture/index.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Database, Queryable } from '../postgres/database.ts'
import { copyStatements } from '../replica/copy-statements.ts'
import type { Permit } from '../subscription/permits.ts'
import { filledTables } from './filled-tables.ts'

/** A copy that has applied every chunk. */
export interface Settling {
  readonly id: string
  readonly replica: string
  readonly why: string
  readonly first: number
  readonly last: number
}

/* Everything of the topic up to the last version that was drawn has ended here: passed in each bucket, and in no line. */
const PASSED = `
  select (select count(*) > 0 and count(*) = max(m.buckets) from comity.marks m
      where m.subscription = $1::text and m.version >= $2::text::bigint) as passed,
    not exists (select from comity.waiting_keys k join comity.waiting w on w.subscription = k.subscription and w.key = k.key and w.seq > k.done
      where k.subscription = $1::text and coalesce((w.attributes::json ->> 'ce-comityversion')::bigint, 0) <= $2::text::bigint) as clear`
const LOCK_LANES = 'select 1 from comity.lanes where subscription = $1::text order by lane for update'
const END = `
  update comity.asked_backfills set removed = removed + $2::int, state = case when refused > 0 then 'incomplete' else 'ready' end,
    ended_at = clock_timestamp()
  where id = $1::text::uuid and state = 'settling' returning state`
const REMOVED = 'update comity.asked_backfills set removed = removed + $2::int where id = $1::text::uuid'

/**
 * Ends the backfill of a copy, if it may end: undefined = not yet. What is older than the first version of the backfill was in no chunk: its owner
 * does not have it. It is looked for only now, so that nothing of the live changes before it is still to come.
 *
 * `confirm` is asked last: the audit's verdict, once there is one. `swept` remembers meanwhile what is known to have nothing older any more: to look
 * means to read the whole table, beside an audit that reads it, too.
 */
export async function settle<Tx>(
  database: Database<Tx>,
  { id, replica, why, first, last }: Settling,
  permit: Permit,
  confirm: () => Promise<boolean> = async () => true,
  swept: Set<string> = new Set(),
): Promise<'ready' | 'incomplete' | undefined> {
  const { rows } = await database.query<{ passed: boolean; clear: boolean }>(PASSED, [replica, String(last)])
  if (rows[0]?.passed !== true || !rows[0].clear) return undefined
  for (let more = !swept.has(id); more; )
    more = (await permit(() => database.transaction((tx) => removeExtra(database.join(tx), { id, replica, why, first })))) > 0
  swept.add(id)
  if (!(await confirm())) return undefined
  const ended = await database.query<{ state: 'ready' | 'incomplete' }>(END, [id, 0])
  swept.delete(id)
  return ended.rows[0]?.state
}

/** Rows that their owner does not have, some at a time; each leaves a tombstone. Answers how many. */
async function removeExtra(sql: Queryable, { id, replica, why, first }: Omit<Settling, 'last'>): Promise<number> {
  for (const [name, value] of Object.entries(SESSION_SETTINGS))
    await sql.query('select set_config($1::text, $2::text, true) as setting', [name, value])
  const copy = await copyStatements().of(sql, replica)
  let removed = 0
  for (const table of filledTables(copy, why)) {
    const { rows } = await sql.query<{ keys: string }>(table.older, [String(first), replica, AT_ONCE])
    const keys = JSON.parse(rows[0]?.keys ?? '[]') as string[]
    if (keys.length === 0) continue
    await sql.query(LOCK_LANES, [replica])
    await sql.query(table.remove, [arrayLiteral(keys), arrayLiteral(keys.map(() => first)), replica])
    removed += keys.length
  }
  if (removed > 0) await sql.query(REMOVED, [id, removed])
  return removed
}

const AT_ONCE = 500
