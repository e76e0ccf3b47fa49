import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'
import { NothingWaits, NotTheHead } from './errors.ts'
import { inLane, type Lane } from './lane-transaction.ts'
import type { Outcome } from './message.ts'
import { ADVANCE, RELEASE_EMPTY } from './waiting-line.ts'

/** Who ends messages without their effect, and why: it is recorded with each of them. */
export interface Discarding {
  readonly author: string
  readonly reason: string
  /** The job that does it. */
  readonly job?: string
}

const CURSOR = 'select done::text as done from comity.waiting_keys where subscription = $1::text and key = $2::text for update'
/* In the inbox as well: its acknowledgement may be on its way yet, and a repetition must not have the effect after all. */
const END = `
  with ended as (
    select w.seq, w.message, w.key, w.time, w.tenant, w.generation from comity.waiting w
    where w.subscription = $1::text and w.key = $2::text and w.seq > $3::text::bigint order by w.seq limit $4::text::bigint
  ), recorded as (
    insert into comity.discarded (subscription, message, key, time, reason, tenant, author, job)
    select $1::text, message, key, time, $5::text, tenant, $6::text, $7::text from ended
  ), done as (
    insert into comity.inbox (subscription, generation, message, time)
    select $1::text, generation, message, time from ended where time >= comity.inbox_floor() on conflict do nothing
  )
  select count(*)::int as count, max(seq)::text as last from ended`

/**
 * Ends the head of a key's line without its effect (`skip`), or the whole line (`discard`), by name. Throws COMITY_NOTHING_WAITS.
 * @returns how many messages were ended
 */
export async function endWithoutEffect<Tx>(lane: Lane<Tx>, key: string, what: 'head' | 'line', why: Discarding): Promise<number> {
  const { subscription } = lane
  const outcomes = await inLane(lane, { waited: true }, async (_tx, sql): Promise<readonly Outcome[]> => {
    const cursor = (await sql.query<{ done: string }>(CURSOR, [subscription, key])).rows[0]
    if (cursor === undefined) throw new NothingWaits({ subscription, key })
    const most = what === 'head' ? '1' : null
    const values = [subscription, key, cursor.done, most, why.reason, why.author, why.job ?? null]
    const ended = (await sql.query<{ count: number; last: string | null }>(END, values)).rows[0]
    if (ended?.last != null) await sql.query(ADVANCE, [subscription, key, ended.last])
    await sql.query(RELEASE_EMPTY, [subscription, arrayLiteral([key])])
    return Array.from({ length: ended?.count ?? 0 }, () => 'discarded' as const)
  })
  return outcomes.length
}

const HEAD = `
  select w.seq::text as seq, w.generation, w.message, w.time::text as time, w.attributes, w.data from comity.waiting_keys k
  join comity.waiting w on w.subscription = k.subscription and w.key = k.key and w.seq > k.done
  where k.subscription = $1::text and k.key = $2::text order by w.seq limit 1`
const LOCK = 'select from comity.waiting_keys where subscription = $1::text and key = $2::text for update'
const KEEP = `
  insert into comity.edited (subscription, message, key, attributes, data, replaced_by, author, reason)
  values ($1::text, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text, $8::text)`
const REPLACE = `
  update comity.waiting set message = $4::text, attributes = $5::text, data = $6::text, edited_from = $3::text, attempts = 0
  where subscription = $1::text and key = $2::text and seq = $7::text::bigint`
const POINT = 'update comity.waiting_keys set message = $3::text where subscription = $1::text and key = $2::text'
/* The original has had its effect, as far as a repetition of it is concerned. */
const DONE = `
  insert into comity.inbox (subscription, generation, message, time) values ($1::text, $2::int, $3::text, $4::text::timestamptz) on conflict do nothing`

/**
 * Puts other data in the place of the head of a key's line, under a new id that names the old one; the original is kept in
 * `comity.edited`. It is not run yet. Throws COMITY_NOTHING_WAITS, and COMITY_NOT_THE_HEAD if another message stands there.
 * @param sql a transaction that holds the lane's lock
 * @returns the new id
 */
export async function editHead(
  sql: Queryable,
  edit: {
    readonly subscription: string
    readonly key: string
    readonly message: string
    readonly data: string
    readonly author: string
    readonly reason: string
  },
): Promise<string> {
  const { subscription, key, message } = edit
  await sql.query(LOCK, [subscription, key])
  interface Row {
    readonly seq: string
    readonly generation: number
    readonly message: string
    readonly time: string
    readonly attributes: string
    readonly data: string
  }
  const head = (await sql.query<Row>(HEAD, [subscription, key])).rows[0]
  if (head === undefined) throw new NothingWaits({ subscription, key })
  if (head.message !== message) throw new NotTheHead({ subscription, key, message })
  const id = nextId(message)
  const attributes = JSON.stringify({ ...(JSON.parse(head.attributes) as object), 'ce-id': id })
  await sql.query(KEEP, [subscription, message, key, head.attributes, head.data, id, edit.author, edit.reason])
  await sql.query(DONE, [subscription, head.generation, message, head.time])
  await sql.query(REPLACE, [subscription, key, message, id, attributes, edit.data, head.seq])
  await sql.query(POINT, [subscription, key, id])
  return id
}

/** `marketing-17` → `marketing-17~1` → `marketing-17~2` */
function nextId(message: string): string {
  const [, original, n] = /^(.*?)(?:~(\d+))?$/.exec(message) as unknown as [string, string, string | undefined]
  return `${original}~${Number(n ?? 0) + 1}`
}
