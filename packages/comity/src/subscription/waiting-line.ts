import { fromAttributes } from '@comity/contract'
import type { Database, Queryable } from '../postgres/database.ts'
import type { IncomingMessage } from '../transport/transport.ts'
import type { Consumer } from './consumer.ts'
import { NothingWaits } from './errors.ts'
import { describeError, failureOf } from './failure.ts'
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

const LOCK_KEY = `
  insert into comity.waiting_keys as w (subscription, key, tenant, reason) values ($1::text, $2::text, $3::text, $4::text)
  on conflict (subscription, key) do update set reason = w.reason`
const APPEND = `
  insert into comity.waiting (subscription, generation, key, reason, message, time, tenant, attributes, data, attempts, error_code, error)
  values ($1::text, $2::int, $3::text, $4::text, $5::text, $6::text::timestamptz, $7::text, $8::text, $9::text, $10::int, $11::text, $12::text)
  on conflict do nothing returning seq::text as seq`

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
  return rows.length === 0 ? 'duplicate' : 'waiting'
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
  readonly message: string
  readonly attributes: string
  readonly data: string
  readonly sent_at: string
}
const CURSOR = 'select done::text as done from comity.waiting_keys where subscription = $1::text and key = $2::text for update'
const HEAD = `
  select seq::text as seq, generation, message, attributes, data, appended_at::text as sent_at from comity.waiting w
  where subscription = $1::text and key = $2::text and seq > $3::text::bigint order by w.seq limit 1`
const ADVANCE = 'update comity.waiting_keys set done = $3::text::bigint where subscription = $1::text and key = $2::text'
const RELEASE = 'delete from comity.waiting_keys where subscription = $1::text and key = $2::text'
const RECORD_FAILURE = `
  with line as (
    update comity.waiting_keys set reason = $5::text where subscription = $1::text and key = $2::text returning subscription, key, done
  )
  update comity.waiting w set attempts = attempts + 1, error_code = $3::text, error = $4::text from line
  where w.subscription = line.subscription and w.key = line.key
    and w.seq = (select min(h.seq) from comity.waiting h where h.subscription = line.subscription and h.key = line.key and h.seq > line.done)`

export interface LineRun {
  readonly ran: number
  /** Why the head still waits; undefined when the line is empty and its key released. */
  readonly error?: unknown
}

/** Runs a key's line in order, each message in a transaction of its own, until it is empty or its head fails. */
export async function runLine<Tx>(options: {
  readonly database: Database<Tx>
  readonly lane: Lane
  readonly key: string
  readonly consumer: Consumer<Tx>
  readonly read: (message: IncomingMessage) => Message
  readonly signal: AbortSignal
}): Promise<LineRun> {
  const { database, lane, key, consumer } = options
  const { subscription } = lane
  let ran = 0
  for (let empty = false; !empty && !options.signal.aborted; ) {
    try {
      await inLane(database, lane, undefined, async (tx, sql): Promise<readonly Outcome[]> => {
        const cursor = (await sql.query<{ done: string }>(CURSOR, [subscription, key])).rows[0]
        if (cursor === undefined) throw new NothingWaits({ subscription, key })
        const head = (await sql.query<WaitingRow>(HEAD, [subscription, key, cursor.done])).rows[0]
        if (head === undefined) {
          await sql.query(RELEASE, [subscription, key])
          empty = true
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
          attempt: 0,
          tx,
          sql,
          signal: options.signal,
        })
        await sql.query(ADVANCE, [subscription, key, head.seq])
        return outcomes
      })
      if (!empty) ran++
    } catch (error) {
      if (error instanceof NothingWaits) throw error
      const failure = failureOf(error)
      if (failure !== 'outage' && failure !== 'contended') {
        const { code, message } = describeError(error)
        await database.query(RECORD_FAILURE, [subscription, key, code, message, failure === 'not-yet' ? 'not-yet' : 'parked'])
      }
      return { ran, error }
    }
  }
  return { ran }
}
