import { bucketOf, fromAttributes } from '@comity/contract'
import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'
import type { IncomingMessage } from '../transport/transport.ts'
import type { Wanted } from './errors.ts'
import type { FailureRecord } from './failure.ts'
import type { Outcome } from './message.ts'

/**
 * Everything that waits at the consumer waits here: one line per key, in order.
 *
 *   no line ──append──▶ waiting(head, followers…) ──run: the head succeeds──▶ the next is head … ──empty──▶ no line
 *                             └──run: the head fails──▶ stays, with its error
 *
 * Why its head waits decides who runs a line: `parked` an operator (it is a dead letter), `not-yet` time or what it waits for,
 * `paused` the end of the pause, `overflow` whenever there is room. A key waits as a whole. Appending, running and releasing hold
 * the lane's lock and the key's row, so a message is never appended beside a release. A crash between two messages of a run leaves
 * the cursor where it was.
 */
export type WaitingReason = 'parked' | 'paused' | 'overflow' | 'not-yet'

/** Why the head of a new line waits. */
export interface Standing {
  readonly subscription: string
  readonly lanes: number
  readonly generation: number
  readonly reason: WaitingReason
  /** Failed attempts of its head. */
  readonly attempts?: number
  readonly failure?: FailureRecord | undefined
  readonly wants?: Wanted | undefined
}

/* A new line begins behind what an earlier line of the key has left in the table. */
const LOCK_KEYS = `
  insert into comity.waiting_keys as w (subscription, key, tenant, reason, lane, message, wants, failures, fingerprint, error_name, error_code, error,
    frame, failed_at, done)
  select $1::text, m.key, m.tenant, $2::text, m.lane, m.message, $7::text, $8::int, $9::text, $10::text, $11::text, $12::text, $13::text,
    case when $9::text is not null then clock_timestamp() end,
    coalesce((select max(e.seq) from comity.waiting e where e.subscription = $1::text and e.key = m.key), 0)
  from unnest($3::text::text[], $4::text::text[], $5::text::text[], $6::text::int[]) m(key, tenant, message, lane)
  on conflict (subscription, key) do update set reason = w.reason`
/* In the leaf of the message's own time, so that a repetition meets it; or in the oldest leaf that is left. */
const APPEND = `
  insert into comity.waiting (subscription, generation, key, reason, message, time, tenant, attributes, data, attempts, error_code, error)
  select $1::text, $2::int, m.key, $3::text, m.message, greatest(m.time, comity.waiting_floor()), m.tenant, m.attributes, m.data,
    $10::int, $11::text, $12::text
  from unnest($4::text::text[], $5::text::text[], $6::text::timestamptz[], $7::text::text[], $8::text::text[], $9::text::text[])
    with ordinality m(key, message, time, tenant, attributes, data, n)
  where not exists (select from comity.waiting_keys k join comity.waiting w on w.subscription = k.subscription and w.key = k.key and w.seq > k.done
    where k.subscription = $1::text and k.key = m.key and w.generation = $2::int and w.message = m.message)
  order by m.n
  on conflict do nothing returning message`
/** The cursor of a line moves past $3, and what was known of its head is over. */
export const ADVANCE = `
  update comity.waiting_keys k set done = $3::text::bigint, failures = 0, fingerprint = null, error_name = null, error_code = null, error = null,
    frame = null, failed_at = null, wants = null,
    message = (select w.message from comity.waiting w where w.subscription = k.subscription and w.key = k.key and w.seq > $3::text::bigint order by w.seq limit 1)
  where subscription = $1::text and key = $2::text`
/** Releases those of the keys ($2) whose lines are empty. */
export const RELEASE_EMPTY = `
  delete from comity.waiting_keys k where k.subscription = $1::text and k.key = any ($2::text::text[])
    and not exists (select from comity.waiting w where w.subscription = k.subscription and w.key = k.key and w.seq > k.done)`

/** Appends messages to the lines of their keys, in order. One that stands there already, or has stood there, is a `duplicate`. */
export async function append(sql: Queryable, messages: readonly IncomingMessage[], standing: Standing): Promise<readonly Outcome[]> {
  const { subscription, lanes, generation, reason, attempts = 0, failure, wants } = standing
  const details = messages.map(tenantAndTime)
  const heads = new Map<string, number>()
  for (const [i, { key }] of messages.entries()) if (!heads.has(key)) heads.set(key, i)
  // In one order everywhere: those who append to several lines at once never wait for each other in a circle.
  const keys = [...heads.keys()].sort()
  const headOf = (key: string): number => heads.get(key) as number
  await sql.query(LOCK_KEYS, [
    subscription,
    reason,
    arrayLiteral(keys),
    arrayLiteral(keys.map((key) => details[headOf(key)]?.tenant)),
    arrayLiteral(keys.map((key) => messages[headOf(key)]?.id)),
    arrayLiteral(keys.map((key) => bucketOf(key, lanes))),
    wants === undefined ? null : JSON.stringify({ topic: wants.topic, key: wants.key, version: wants.version ?? 0 }),
    failure === undefined ? 0 : 1,
    failure?.fingerprint ?? null,
    failure?.name ?? null,
    failure?.code ?? null,
    failure?.message ?? null,
    failure?.frame ?? null,
  ])
  const { rows } = await sql.query<{ message: string }>(APPEND, [
    subscription,
    generation,
    reason,
    arrayLiteral(messages.map(({ key }) => key)),
    arrayLiteral(messages.map(({ id }) => id)),
    arrayLiteral(details.map(({ time }) => time)),
    arrayLiteral(details.map(({ tenant }) => tenant)),
    arrayLiteral(messages.map(({ attributes }) => JSON.stringify(attributes))),
    arrayLiteral(messages.map(({ data }) => data)),
    attempts,
    failure?.code ?? null,
    failure?.message ?? null,
  ])
  const appended = new Set(rows.map((row) => row.message))
  if (appended.size < messages.length) await sql.query(RELEASE_EMPTY, [subscription, arrayLiteral(keys)])
  // A message that came twice in one call was appended once.
  return messages.map(({ id }) => (appended.delete(id) ? 'waiting' : 'duplicate'))
}

/** A message that can't be read waits too: at the time the broker stored it. */
function tenantAndTime(message: IncomingMessage): { readonly tenant: string | null; readonly time: string } {
  try {
    const envelope = fromAttributes(message.attributes)
    return { tenant: envelope.tenant ?? null, time: envelope.time }
  } catch {
    return { tenant: null, time: message.sentAt.toISOString() }
  }
}
