import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'
import { copyStatements } from '../replica/copy-statements.ts'
import type { Removed } from './contracts.ts'

/** What is erased of one key. */
export interface ErasedKey {
  /** Of the erasure at the owner. */
  readonly id: string
  readonly topic: string
  readonly key: string
  readonly version: number
}

const KNOWN = 'select removed::text as removed from comity.erased where erasure = $1::text::uuid'
/* Every transaction that consumes holds the row of its lane: whoever is at work has ended, and whoever comes finds the key erased. */
const LOCK_LANES = `
  select 1 from comity.lanes l join comity.subscriptions s on s.name = l.subscription where s.topic = $1::text
  order by l.subscription, l.lane for update of l`
const COPIES = 'select name from comity.replicas where topic = $1::text order by name'
const MESSAGES = 'select comity.erase_messages($1::text, $2::text, $3::text::bigint, $4::text)::text as removed'
const TURN_AWAY = `
  insert into comity.erased (topic, key, version, erasure, removed) values ($1::text, $2::text, $3::text::bigint, $4::text::uuid, $5::text::jsonb)
  on conflict do nothing`

/**
 * Removes a key, up to a version, from everything where this team's database keeps what it was sent: rows of copies, which leave a tombstone; lines;
 * what operators have edited. From its commit on, what is older is turned away. Once: the same erasure again answers what was removed then.
 * @param sql a transaction
 */
export async function eraseHere(sql: Queryable, { id, topic, key, version }: ErasedKey, author: string): Promise<readonly Removed[]> {
  await sql.query(LOCK_LANES, [topic])
  const known = (await sql.query<{ removed: string }>(KNOWN, [id])).rows[0]
  if (known !== undefined) return JSON.parse(known.removed)
  const rows = new Map<string, number>()
  const statements = copyStatements()
  const versions = String(version)
  for (const { name } of (await sql.query<{ name: string }>(COPIES, [topic])).rows) {
    const copy = await statements.of(sql, name)
    const found = (await sql.query<{ found: boolean }>(copy.has, [key, versions])).rows[0]?.found
    for (const table of [copy, ...(copy.rebuilt ? [copy.rebuilt] : [])])
      await sql.query(table.remove, [arrayLiteral([key]), arrayLiteral([version]), name])
    rows.set(name, found ? 1 : 0)
  }
  const answer = await sql.query<{ removed: string }>(MESSAGES, [topic, key, versions, author])
  const messages: Omit<Removed, 'rows'>[] = JSON.parse(answer.rows[0]?.removed ?? '[]')
  const removed = messages.map((one): Removed => ({ ...one, rows: rows.get(one.subscription) ?? 0 }))
  await sql.query(TURN_AWAY, [topic, key, versions, id, JSON.stringify(removed)])
  return removed
}
