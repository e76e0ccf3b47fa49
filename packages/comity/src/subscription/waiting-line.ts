import { fromAttributes } from '@comity/contract'
import { backoff, type Clock } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import type { IncomingMessage } from '../transport/transport.ts'
import type { Consumer } from './consumer.ts'
import { NothingWaits } from './errors.ts'
import { CONTENDED, describeError, failureOf } from './failure.ts'
import { inLane, type Lane } from './lane-transaction.ts'
import type { Message, Outcome } from './message.ts'

/**
 * Everything that waits at the consumer waits here: one line per key, in order.
 *
 *   no line ──append──▶ waiting(head, followers…) ──run: the head succeeds──▶ the next is head … ──empty──▶ no line
 *                             └──run: the head fails──▶ stays, with its error
 *
 * A key waits as a whole. Appending, running and releasing hold the lane's lock and the key's row, so a message is never
 * appended beside a release. A crash between two messages of a run leaves the cursor where it was.
 */
export type WaitingReason = 'parked' | 'paused' | 'overflow' | 'not-yet'

export interface Waiting {
  readonly message: IncomingMessage
  readonly reason: WaitingReason
  readonly generation: number
  readonly attempts: number
  readonly error?: unknown
}

/* A new line begins behind what an earlier line of the key has left in the table. */
const LOCK_KEY = `
  insert into comity.waiting_keys as w (subscription, key, tenant, reason, done) values ($1::text, $2::text, $3::text, $4::text,
    coalesce((select max(e.seq) from comity.waiting e where e.subscription = $1::text and e.key = $2::text), 0))
  on conflict (subscription, key) do update set reason = w.reason`
/* In the leaf of the message's own time, so that a repetition meets it; or in the oldest leaf that is left. */
const APPEND = `
  insert into comity.waiting (subscription, generation, key, reason, message, time, tenant, attributes, data, attempts, error_code, error)
  select $1::text, $2::int, $3::text, $4::text, $5::text, greatest($6::text::timestamptz, comity.waiting_floor()), $7::text, $8::text, $9::text,
    $10::int, $11::text, $12::text
  where not exists (select from comity.waiting_keys k join comity.waiting w on w.subscription = k.subscription and w.key = k.key and w.seq > k.done
    where k.subscription = $1::text and k.key = $3::text and w.generation = $2::int and w.message = $5::text)
  on conflict do nothing returning seq::text as seq`
const RELEASE_EMPTY = `
  delete from comity.waiting_keys k where k.subscription = $1::text and k.key = $2::text
    and not exists (select from comity.waiting w where w.subscription = k.subscription and w.key = k.key and w.seq > k.done)`

/** Appends one message to its key's line. Answers `duplicate` if it stands there already. */
export async function append(sql: Queryable, subscription: string, waiting: Waiting): Promise<Outcome> {
  const { message, reason } = waiting
  const { tenant, time } = tenantAndTime(message)
  await sql.query(LOCK_KEY, [subscription, message.key, tenant, reason])
  const error = waiting.error === undefined ? undefined : describeError(waiting.error)
  const { rows } = await sql.query(APPEND, [
    subscription,
    waiting.generation,
    message.key,
    reason,
    message.id,
    time,
    tenant,
    JSON.stringify(message.attributes),
    message.data,
    waiting.attempts,
    error?.code ?? null,
    error?.message ?? null,
  ])
  if (rows.length > 0) return 'waiting'
  await sql.query(RELEASE_EMPTY, [subscription, message.key])
  return 'duplicate'
}

/** A message that can't be read waits too: at the time the broker stored it. */
function tenantAndTime(message: IncomingMessage): { tenant: string | null; time: string } {
  try {
    const envelope = fromAttributes(message.attributes)
    return { tenant: envelope.tenant ?? null, time: envelope.time }
  } catch {
    return { tenant: null, time: message.sentAt.toISOString() }
  }
}

interface WaitingRow {
  readonly seq: string
  readonly generation: number
  readonly attempts: number
  readonly message: string
  readonly attributes: string
  readonly data: string
  readonly sent_at: string
}
const CURSOR = 'select done::text as done from comity.waiting_keys where subscription = $1::text and key = $2::text for update'
const HEAD = `
  select seq::text as seq, generation, attempts, message, attributes, data, appended_at::text as sent_at from comity.waiting w
  where subscription = $1::text and key = $2::text and seq > $3::text::bigint order by w.seq limit 1`
const ADVANCE = 'update comity.waiting_keys set done = $3::text::bigint where subscription = $1::text and key = $2::text'
const RELEASE = 'delete from comity.waiting_keys where subscription = $1::text and key = $2::text'
/* $5: why it waits now, or 'transient': a line that runs by itself may try that as often as a message may be tried in place ($6). */
const RECORD_FAILURE = `
  with head as (
    select k.subscription, k.key, (select min(w.seq) from comity.waiting w where w.subscription = k.subscription and w.key = k.key and w.seq > k.done) as seq
    from comity.waiting_keys k where k.subscription = $1::text and k.key = $2::text
  ), failed as (
    update comity.waiting w set attempts = w.attempts + 1, error_code = $3::text, error = $4::text from head
    where w.subscription = head.subscription and w.key = head.key and w.seq = head.seq returning w.attempts
  )
  update comity.waiting_keys k set tried_at = clock_timestamp(), reason = case
      when $5::text <> 'transient' then $5::text
      when k.reason = 'not-yet' and (select attempts from failed) < $6::int then 'not-yet'
      else 'parked' end
  where k.subscription = $1::text and k.key = $2::text`

export interface LineRun {
  readonly ran: number
  /** Why the head still waits; undefined when the line is empty and its key released. */
  readonly error?: unknown
}

/** Runs a key's line in order, each message in a transaction of its own, until it is empty or its head fails. */
export async function runLine<Tx>(options: {
  readonly lane: Lane<Tx>
  readonly key: string
  readonly consumer: Consumer<Tx>
  readonly read: (message: IncomingMessage) => Message
  /** Tries before a transient failure parks a line that runs by itself. */
  readonly attempts: number
  readonly clock: Clock
  readonly signal: AbortSignal
}): Promise<LineRun> {
  const { lane, key, consumer, clock, signal } = options
  const { subscription, database } = lane
  let ran = 0
  let contended = 0
  while (!signal.aborted) {
    try {
      const ended = await inLane(lane, { waited: true }, async (tx, sql): Promise<readonly Outcome[]> => {
        const cursor = (await sql.query<{ done: string }>(CURSOR, [subscription, key])).rows[0]
        if (cursor === undefined) throw new NothingWaits({ subscription, key })
        const head = (await sql.query<WaitingRow>(HEAD, [subscription, key, cursor.done])).rows[0]
        if (head === undefined) {
          await sql.query(RELEASE, [subscription, key])
          return []
        }
        const message = options.read({
          id: head.message,
          key,
          attributes: JSON.parse(head.attributes),
          data: head.data,
          sentAt: new Date(head.sent_at),
        })
        const outcomes = await consumer.consume({
          messages: [message],
          subscription,
          generation: head.generation,
          attempt: head.attempts,
          tx,
          sql,
          signal,
        })
        await sql.query(ADVANCE, [subscription, key, head.seq])
        return outcomes
      })
      if (ended.length === 0) return { ran }
      contended = 0
      ran++
    } catch (error) {
      if (error instanceof NothingWaits) throw error
      const failure = failureOf(error)
      if (failure === 'contended' && contended++ < CONTENDED) {
        await clock.sleep(backoff(contended, { min: 20, max: 2000 }), signal)
        continue
      }
      if (failure !== 'outage' && failure !== 'contended') {
        const { code, message } = describeError(error)
        const reason = failure === 'permanent' ? 'parked' : failure
        await database.query(RECORD_FAILURE, [subscription, key, code, message, reason, options.attempts])
      }
      return { ran, error }
    }
  }
  return { ran }
}
