import { backoff, type Clock } from '../foundation/index.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'
import type { IncomingMessage } from '../transport/transport.ts'
import type { Consumer } from './consumer.ts'
import { LinePaused, NothingWaits, NotYetError } from './errors.ts'
import { CONTENDED, type Decide, failureOf, recordOf } from './failure.ts'
import { inLane, type Lane } from './lane-transaction.ts'
import type { Message, Outcome } from './message.ts'
import { ADVANCE, RELEASE_EMPTY } from './waiting-line.ts'

/** What every run of lines needs. */
export interface LineRunner<Tx> {
  readonly lane: Lane<Tx>
  readonly consumer: Consumer<Tx>
  readonly read: (message: IncomingMessage) => Message
  /** Tries before a transient failure parks a line that runs by itself. */
  readonly attempts: number
  readonly decide?: Decide | undefined
  /** The newest generation, and until when its messages are repetitions. */
  readonly replayed?: { readonly generation: number; readonly until: string | undefined } | undefined
  readonly clock: Clock
  readonly signal: AbortSignal
}

export interface LineRun {
  /** Messages that ended, however. */
  readonly ran: number
  /** Of these, the ones whose effect did not happen because something newer is there. */
  readonly stale: number
  /** Why the head still waits; undefined when the line is empty and its key released. */
  readonly error?: unknown
}

interface WaitingRow {
  readonly key: string
  readonly seq: string
  readonly generation: number
  readonly attempts: number
  readonly message: string
  readonly attributes: string
  readonly data: string
  readonly sent_at: string
}
/* A line that its operator has paused stays; the breaker's pause is no reason not to try one. */
const CURSOR = `
  select k.done::text as done, (select p.reason from comity.pauses p
    where p.subscription in (k.subscription, '') and p.tenant in ('', k.tenant) and p.by = 'operator' limit 1) as paused
  from comity.waiting_keys k where k.subscription = $1::text and k.key = $2::text for update`
const HEAD = `
  select key, seq::text as seq, generation, attempts, message, attributes, data, appended_at::text as sent_at from comity.waiting w
  where subscription = $1::text and key = $2::text and seq > $3::text::bigint order by w.seq limit 1`
const RELEASE = 'delete from comity.waiting_keys where subscription = $1::text and key = $2::text'
/* Only of the line whose head it was ($12): what was erased meanwhile leaves nothing behind, and its error may have named somebody. */
/* $5: why it waits now, or 'transient': a line that runs by itself may try that as often as a message may be tried in place ($6). */
const RECORD_FAILURE = `
  with head as (
    select k.subscription, k.key, (select min(w.seq) from comity.waiting w where w.subscription = k.subscription and w.key = k.key and w.seq > k.done) as seq
    from comity.waiting_keys k where k.subscription = $1::text and k.key = $2::text and coalesce(k.message, $12::text) = $12::text
  ), failed as (
    update comity.waiting w set attempts = w.attempts + 1, error_code = $3::text, error = $4::text from head
    where w.subscription = head.subscription and w.key = head.key and w.seq = head.seq returning w.attempts, w.message
  )
  update comity.waiting_keys k set tried_at = clock_timestamp(), failed_at = clock_timestamp(), failures = k.failures + 1,
    message = coalesce((select message from failed), k.message), fingerprint = $7::text, error_name = $8::text, error_code = $3::text, error = $4::text,
    frame = $9::text, wants = $10::text, next_at = clock_timestamp() + $11::text::interval,
    reason = case
      when $5::text <> 'transient' then $5::text
      when k.reason <> 'parked' and (select attempts from failed) < $6::int then 'not-yet'
      else 'parked' end
  where k.subscription = $1::text and k.key = $2::text and coalesce(k.message, $12::text) = $12::text`

/** Runs a key's line in order, each message in a transaction of its own, until it is empty or its head fails. */
export async function runLine<Tx>(runner: LineRunner<Tx>, key: string): Promise<LineRun> {
  const { lane, consumer, clock, signal, decide } = runner
  const { subscription } = lane
  let ran = 0
  let stale = 0
  let contended = 0
  let attempt = 0
  let message = ''
  while (!signal.aborted) {
    try {
      const ended = await inLane(lane, { waited: true }, async (tx, sql): Promise<readonly Outcome[]> => {
        const cursor = (await sql.query<{ done: string; paused: string | null }>(CURSOR, [subscription, key])).rows[0]
        if (cursor === undefined) throw new NothingWaits({ subscription, key })
        if (cursor.paused !== null) throw new LinePaused({ subscription, key, reason: cursor.paused })
        const head = (await sql.query<WaitingRow>(HEAD, [subscription, key, cursor.done])).rows[0]
        if (head === undefined) {
          await sql.query(RELEASE, [subscription, key])
          return []
        }
        attempt = head.attempts + 1
        message = head.message
        const { generation, attempts } = head
        const outcomes = await consumer.consume({
          ...{ messages: [runner.read(incoming(head))], subscription, generation, attempt: attempts, tx, sql, signal },
          replayedUntil: replayedUntil(runner, generation),
        })
        await sql.query(ADVANCE, [subscription, key, head.seq])
        return outcomes
      })
      if (ended.length === 0) return { ran, stale }
      contended = 0
      ran++
      if (ended[0] === 'stale') stale++
    } catch (error) {
      if (error instanceof NothingWaits || error instanceof LinePaused) throw error
      if (signal.aborted) break
      const failure = failureOf(error, decide, attempt)
      if (failure === 'contended' && contended++ < CONTENDED) {
        await clock.sleep(backoff(contended, { min: 20, max: 2000 }), signal)
        continue
      }
      if (failure !== 'outage' && failure !== 'contended') await recordFailure(runner, { key, message }, failure, error, attempt)
      return { ran, stale, error }
    }
  }
  return { ran, stale }
}

async function recordFailure<Tx>(
  { lane, attempts }: LineRunner<Tx>,
  { key, message }: { readonly key: string; readonly message: string },
  failure: 'permanent' | 'not-yet' | 'transient',
  error: unknown,
  attempt: number,
): Promise<void> {
  const record = recordOf(error)
  const wants = error instanceof NotYetError ? error.until : undefined
  await lane.database.query(RECORD_FAILURE, [
    lane.subscription,
    key,
    record.code,
    record.message,
    failure === 'permanent' ? 'parked' : failure,
    attempts,
    record.fingerprint,
    record.name,
    record.frame,
    wants === undefined ? null : JSON.stringify({ topic: wants.topic, key: wants.key, version: wants.version ?? 0 }),
    `${Math.round(1000 + backoff(attempt, NOT_YET_WAIT))} ms`,
    message,
  ])
}

/** Between two tries of what waits for something that nobody can look up, in milliseconds. */
const NOT_YET_WAIT = { min: 1000, max: 60_000 }

/* Heads of several lines of one lane, whole prefixes of each, the lines that have waited longest first. */
const HELD_KEYS = `
  select key, done::text as done from comity.waiting_keys k
  where subscription = $1::text and lane = $2::int and tenant is not distinct from $3::text and reason in ('paused', 'overflow')
    and not exists (select from comity.pauses p where p.subscription in (k.subscription, '') and p.tenant in ('', k.tenant))
  order by since limit $4::int for update`
const HELD = `
  select w.key, w.seq::text as seq, w.generation, w.attempts, w.message, w.attributes, w.data, w.appended_at::text as sent_at
  from unnest($2::text::text[], $3::text::bigint[]) with ordinality k(key, done, n)
  cross join lateral (select * from comity.waiting w where w.subscription = $1::text and w.key = k.key and w.seq > k.done order by w.seq limit $4::int) w
  order by k.n, w.seq limit $4::int`
const ADVANCE_ALL = `
  update comity.waiting_keys k set done = m.seq, tried_at = clock_timestamp(),
    message = (select w.message from comity.waiting w where w.subscription = k.subscription and w.key = k.key and w.seq > m.seq order by w.seq limit 1)
  from unnest($2::text::text[], $3::text::bigint[]) m(key, seq) where k.subscription = $1::text and k.key = m.key`

/**
 * Goes on with lines of one lane and tenant that wait for nothing any more (the end of a pause, or room): up to `most` messages in
 * one transaction. If one of them fails, the lines go on one by one, and it stays at the head of its own.
 * @returns messages that ended
 */
export async function runHeld<Tx>(runner: LineRunner<Tx>, tenant: string | null, most: number): Promise<number> {
  const { lane, signal } = runner
  const { subscription } = lane
  let keys: readonly string[] = []
  try {
    const outcomes = await inLane(lane, { waited: true }, async (tx, sql): Promise<readonly Outcome[]> => {
      const lines = await sql.query<{ key: string; done: string }>(HELD_KEYS, [subscription, lane.lane, tenant, most])
      keys = lines.rows.map((row) => row.key)
      if (keys.length === 0) return []
      const rows = await heldRows(sql, subscription, lines.rows, most)
      const outcomes = await consumeRows(runner, rows, tx, sql)
      const last = new Map(rows.map((row) => [row.key, row.seq]))
      await sql.query(ADVANCE_ALL, [subscription, arrayLiteral([...last.keys()]), arrayLiteral([...last.values()])])
      await sql.query(RELEASE_EMPTY, [subscription, arrayLiteral(keys)])
      return outcomes
    })
    return outcomes.length
  } catch (error) {
    if (signal.aborted || failureOf(error) === 'outage') return 0
  }
  let ran = 0
  for (const key of keys) ran += await runOne(runner, key)
  return ran
}

async function runOne<Tx>(runner: LineRunner<Tx>, key: string): Promise<number> {
  try {
    return (await runLine(runner, key)).ran
  } catch (error) {
    // Another process was faster, or an operator.
    if (error instanceof NothingWaits || error instanceof LinePaused) return 0
    throw error
  }
}

async function heldRows(sql: Queryable, subscription: string, lines: readonly { key: string; done: string }[], most: number) {
  const { rows } = await sql.query<WaitingRow>(HELD, [
    subscription,
    arrayLiteral(lines.map(({ key }) => key)),
    arrayLiteral(lines.map(({ done }) => done)),
    most,
  ])
  // One generation in a transaction, the inbox is asked for it: of each line what comes before another one.
  const ended = new Set<string>()
  return rows.filter(({ key, generation }) => {
    if (generation !== rows[0]?.generation) ended.add(key)
    return !ended.has(key)
  })
}

async function consumeRows<Tx>(runner: LineRunner<Tx>, rows: readonly WaitingRow[], tx: Tx, sql: Queryable): Promise<readonly Outcome[]> {
  const first = rows[0]
  if (first === undefined) return []
  const { lane, consumer, read, signal } = runner
  const messages = rows.map((row) => read(incoming(row)))
  const { generation, attempts } = first
  const { subscription } = lane
  return consumer.consume({
    ...{ messages, subscription, generation, attempt: attempts, tx, sql, signal, replayedUntil: replayedUntil(runner, generation) },
  })
}

function replayedUntil<Tx>({ replayed }: LineRunner<Tx>, generation: number): string | undefined {
  return replayed?.generation === generation ? replayed.until : undefined
}

function incoming(row: WaitingRow): IncomingMessage {
  const { message: id, key, attributes, data, sent_at } = row
  return { id, key, attributes: JSON.parse(attributes), data, sentAt: new Date(sent_at) }
}
