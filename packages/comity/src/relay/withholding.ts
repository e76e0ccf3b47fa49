import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'
import type { OutgoingMessage } from '../transport/transport.ts'
import type { OutboxRow } from './outbox-reader.ts'

/** Why a row can't be published. `follows` is the withheld event of the same key that it must not overtake. */
export interface WithholdReason {
  readonly code: string
  readonly path?: string
  readonly reason: string
  readonly follows?: number
}
export interface WithheldRow extends WithholdReason {
  readonly row: OutboxRow
}

/** Versions of a key that are withheld: the first, and the last. */
interface Span {
  readonly first: number
  readonly last: number
}

const RECORD = `
  insert into comity.withheld (id, topic, key, kind, tenant, payload, headers, time, code, path, reason, follows)
  select id, topic, key, kind, tenant, payload, headers, time, code, coalesce(path, ''), reason, follows
  from unnest($1::text::bigint[], $2::text::text[], $3::text::text[], $4::text::text[], $5::text::text[], $6::text::text[], $7::text::text[],
              $8::text::timestamptz[], $9::text::text[], $10::text::text[], $11::text::text[], $12::text::bigint[])
    as w(id, topic, key, kind, tenant, payload, headers, time, code, path, reason, follows)
  on conflict (id) do update set code = excluded.code, path = excluded.path, reason = excluded.reason, follows = excluded.follows
    where withheld.resolved_at is null and excluded.follows is distinct from withheld.id`

/* What is read again from the checkpoint on may be sent this time: by then its contract may have changed. */
const SUPERSEDE = `
  update comity.withheld w set resolution = case when w.id = s.id then 'sent' else 'superseded by ' || s.id end, resolved_at = clock_timestamp()
  from unnest($1::text::text[], $2::text::text[], $3::text::bigint[]) s(topic, key, id)
  where w.topic = s.topic and w.key = s.key and w.id <= s.id and w.kind <> 'event' and w.resolved_at is null`

/* The whole of a key, in order: its later events wait for the first. */
const RETRIED = `
  select w.id::text as id, w.topic, w.key, w.kind, w.tenant, w.payload, w.headers, false as checked,
         to_char(w.time at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as time
  from comity.withheld w
  where w.resolved_at is null and (w.topic, w.key) in (
    select r.topic, r.key from comity.withheld r where r.retry_at is not null and r.resolved_at is null)
  order by w.id limit $1::int`

const IS_RETRY_ASKED = 'select exists (select from comity.withheld where retry_at is not null and resolved_at is null) as asked'

const GIVE_UP = `
  update comity.withheld w set retry_at = null from unnest($1::text::text[], $2::text::text[]) f(topic, key)
  where w.topic = f.topic and w.key = f.key and w.retry_at is not null`

const RESOLVE = `
  with erased as (
    update comity.withheld set resolution = 'erased', resolved_at = clock_timestamp()
    where id = any ($1::text::bigint[]) and resolved_at is null and kind = 'erased'
  )
  update comity.withheld set resolution = 'sent', resolved_at = clock_timestamp()
  where id = any ($1::text::bigint[]) and resolved_at is null and kind <> 'erased'`

/**
 * The ledger of what could not be published. An entity's next valid state supersedes what is withheld of its key; an event
 * holds back the later events of its key, which follow it here.
 */
export class Withholding {
  readonly #database: Queryable
  /** By topic and key. */
  readonly #events = new Map<string, Span>()
  readonly #entities = new Map<string, Span>()

  constructor(database: Queryable) {
    this.#database = database
  }

  async load(): Promise<void> {
    this.#events.clear()
    this.#entities.clear()
    const { rows } = await this.#database.query<{ first: string; last: string; topic: string; key: string; kind: string }>(
      `select min(id)::text as first, max(id)::text as last, topic, key, min(kind) as kind
       from comity.withheld where resolved_at is null group by topic, key`,
    )
    for (const row of rows) this.#open(row.kind).set(nameOf(row), { first: Number(row.first), last: Number(row.last) })
  }

  /** The withheld event that this row must not overtake: itself, where it is read again and was withheld before. */
  heldBy(row: OutboxRow): number | undefined {
    const first = row.kind === 'event' ? this.#events.get(nameOf(row))?.first : undefined
    return first !== undefined && first <= row.id ? first : undefined
  }

  /** Durable when it resolves: the checkpoint may pass these rows. */
  async record(withheld: readonly WithheldRow[]): Promise<void> {
    if (withheld.length === 0) return
    const column = (value: (row: WithheldRow) => string | number | null | undefined): string => arrayLiteral(withheld.map(value))
    await this.#database.query(RECORD, [
      column((w) => w.row.id),
      column((w) => w.row.topic),
      column((w) => w.row.key),
      column((w) => w.row.kind),
      column((w) => w.row.tenant),
      column((w) => w.row.payload),
      column((w) => w.row.headers),
      column((w) => w.row.time),
      column((w) => w.code),
      column((w) => w.path),
      column((w) => w.reason),
      column((w) => w.follows),
    ])
    for (const { row } of withheld) {
      const open = this.#open(row.kind)
      const { first, last } = open.get(nameOf(row)) ?? { first: row.id, last: row.id }
      open.set(nameOf(row), { first: Math.min(first, row.id), last: Math.max(last, row.id) })
    }
  }

  /** These states were stored by the broker: what was withheld of their keys up to them is over. */
  async supersede(sent: readonly OutboxRow[]): Promise<void> {
    if (this.#entities.size === 0) return
    const over = sent.filter(
      (row) => row.kind !== 'event' && (this.#entities.get(nameOf(row))?.first ?? Number.POSITIVE_INFINITY) <= row.id,
    )
    if (over.length === 0) return
    await this.#database.query(SUPERSEDE, [
      arrayLiteral(over.map((row) => row.topic)),
      arrayLiteral(over.map((row) => row.key)),
      arrayLiteral(over.map((row) => row.id)),
    ])
    for (const row of over) if ((this.#entities.get(nameOf(row))?.last ?? 0) <= row.id) this.#entities.delete(nameOf(row))
  }

  /** Whether somebody wants something to be tried again (`comity withheld retry`). */
  async isRetryAsked(): Promise<boolean> {
    return (await this.#database.query<{ asked: boolean }>(IS_RETRY_ASKED)).rows[0]?.asked === true
  }

  /** The keys in question, from their first withheld row on. */
  async retried(limit: number): Promise<readonly OutboxRow[]> {
    const { rows } = await this.#database.query<Omit<OutboxRow, 'id'> & { id: string }>(RETRIED, [limit])
    return rows.map((row) => ({ ...row, id: Number(row.id) }))
  }

  /** Of these rows the broker has stored some; the keys of the others wait until they are asked for again. */
  async retriedWith(rows: readonly OutboxRow[], stored: readonly OutboxRow[]): Promise<void> {
    const gone = new Set(stored)
    const failed = rows.filter((row) => !gone.has(row))
    await this.#database.query(RESOLVE, [arrayLiteral(stored.map((row) => row.id))])
    await this.#database.query(GIVE_UP, [arrayLiteral(failed.map((row) => row.topic)), arrayLiteral(failed.map((row) => row.key))])
    await this.load()
  }

  #open(kind: string): Map<string, Span> {
    return kind === 'event' ? this.#events : this.#entities
  }
}

/** A row with the message that it becomes. */
export interface Prepared {
  readonly row: OutboxRow
  readonly message: OutgoingMessage
}

export function nameOf(row: { readonly topic: string; readonly key: string }): string {
  return `${row.topic} ${row.key}`
}
