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

const RECORD = `
  insert into comity.withheld (id, topic, key, kind, tenant, payload, headers, time, code, path, reason, follows)
  select id, topic, key, kind, tenant, payload, headers, time, code, coalesce(path, ''), reason, follows
  from unnest($1::text::bigint[], $2::text::text[], $3::text::text[], $4::text::text[], $5::text::text[], $6::text::text[], $7::text::text[],
              $8::text::timestamptz[], $9::text::text[], $10::text::text[], $11::text::text[], $12::text::bigint[])
    as w(id, topic, key, kind, tenant, payload, headers, time, code, path, reason, follows)
  on conflict (id) do nothing`

const SUPERSEDE = `
  update comity.withheld w set resolution = 'superseded by ' || s.id, resolved_at = clock_timestamp()
  from unnest($1::text::text[], $2::text::text[], $3::text::bigint[]) s(topic, key, id)
  where w.topic = s.topic and w.key = s.key and w.id < s.id and w.kind <> 'event' and w.resolved_at is null`

/**
 * The ledger of what could not be published. An entity's next valid state supersedes what is withheld of its key; an event
 * holds back the later events of its key, which follow it here.
 */
export class Withholding {
  readonly #database: Queryable
  /** topic and key → the newest withheld version. */
  readonly #events = new Map<string, number>()
  readonly #entities = new Map<string, number>()

  constructor(database: Queryable) {
    this.#database = database
  }

  async load(): Promise<void> {
    this.#events.clear()
    this.#entities.clear()
    const { rows } = await this.#database.query<{ id: string; topic: string; key: string; kind: string }>(
      'select max(id)::text as id, topic, key, min(kind) as kind from comity.withheld where resolved_at is null group by topic, key',
    )
    for (const row of rows) this.#open(row.kind)?.set(name(row), Number(row.id))
  }

  /** The withheld event that this row must not overtake. */
  heldBy(row: OutboxRow): number | undefined {
    return row.kind === 'event' ? this.#events.get(name(row)) : undefined
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
    for (const { row } of withheld) this.#open(row.kind)?.set(name(row), row.id)
  }

  /** These states were stored by the broker: what was withheld of their keys before is over. */
  async supersede(sent: readonly OutboxRow[]): Promise<void> {
    if (this.#entities.size === 0) return
    const over = sent.filter((row) => row.kind !== 'event' && (this.#entities.get(name(row)) ?? Number.POSITIVE_INFINITY) < row.id)
    if (over.length === 0) return
    await this.#database.query(SUPERSEDE, [
      arrayLiteral(over.map((row) => row.topic)),
      arrayLiteral(over.map((row) => row.key)),
      arrayLiteral(over.map((row) => row.id)),
    ])
    for (const row of over) this.#entities.delete(name(row))
  }

  #open(kind: string): Map<string, number> {
    return kind === 'event' ? this.#events : this.#entities
  }
}

/** A row with the message that it becomes. */
export interface Prepared {
  readonly row: OutboxRow
  readonly message: OutgoingMessage
}

function name(row: { readonly topic: string; readonly key: string }): string {
  return `${row.topic} ${row.key}`
}
