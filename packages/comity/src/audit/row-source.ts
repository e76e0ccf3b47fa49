import { captureNames } from '../outbox/capture/capture-names.ts'
import { columnFromWire, wireFromColumn } from '../outbox/capture/index.ts'
import { quoteIdentifier, quoteLiteral } from '../postgres/quote.ts'
import type { ReplicaColumn, ReplicaShape } from '../replica/replica-columns.ts'
import { VERSION_COLUMN } from '../replica/replica-sql.ts'
import { type AuditedField, inNameOrder } from './canonical-kind.ts'
import { canonicalOfMember, canonicalOfReplica, canonicalOfView } from './canonical-sql.ts'

/** Where one side has its rows, as SQL; both sides' rows are alike from here on. */
export interface RowSource {
  /** A select of `key` (the text of the key) and `f1`…`fn`, the canonical texts of the audited fields in the order of their names. */
  readonly rows: string
  readonly fields: number
}

/** Rows of a copy, for the keys of its subscription's messages. */
export function replicaRows(replica: ReplicaShape, fields: readonly AuditedField[]): RowSource {
  const ordered = inNameOrder(fields)
  const columns = ordered.map(({ name, kind }, i) => {
    const { type, column } = replica.columns.find(({ field }) => field === name) as ReplicaColumn
    return `${canonicalOfReplica(kind, type, `r.${quoteIdentifier(column)}`)} as f${i + 1}`
  })
  return {
    fields: ordered.length,
    rows: `select ${[`${replicaKey(replica)} as key`, ...columns].join(', ')} from ${tableOf(replica)} r`,
  }
}

export function tableOf({ schema, table }: Pick<ReplicaShape, 'schema' | 'table'>): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`
}

/** The columns of the key, in its order. */
export function keyColumns({ columns }: Pick<ReplicaShape, 'columns'>): readonly ReplicaColumn[] {
  return columns.filter(({ key }) => key !== undefined).sort((a, b) => (a.key as number) - (b.key as number))
}

/** The text of a row's key: the value itself, or a JSON array of the values. */
export function replicaKey(replica: ReplicaShape): string {
  const columns = keyColumns(replica)
  return keyText(
    columns.map(({ type, column }) => ({ text: wireFromColumn(type, `r.${quoteIdentifier(column)}`), bare: type === 'bigint' })),
  )
}

/**
 * The rows of these keys ($n, a text[]), with `version`; found by the table's primary key. A key that no column of that type can hold is in no
 * copy, and must not be asked for: see {@link fitsKey}.
 */
export function replicaRowsOf(replica: ReplicaShape, fields: readonly AuditedField[], keys: string): RowSource {
  const columns = keyColumns(replica)
  const isKey = columns.map(({ column, type }, i) => {
    const text = columns.length === 1 ? 'k.key' : `(k.key::jsonb ->> ${i})`
    return `r.${quoteIdentifier(column)} = ${columnFromWire(type, text)}`
  })
  const { rows, fields: count } = replicaRows(replica, fields)
  const versioned = rows.replace('select ', `select r.${VERSION_COLUMN} as version, `)
  return { fields: count, rows: `${versioned} join unnest(${keys}) k(key) on ${isKey.join(' and ')}` }
}

/** Whether a copy's key columns can hold that key. */
export function fitsKey(replica: ReplicaShape, key: string): boolean {
  const columns = keyColumns(replica)
  const parts: unknown = columns.length === 1 ? [key] : parse(key)
  if (!Array.isArray(parts) || parts.length !== columns.length) return false
  return columns.every(({ type }, i) => (FITS[type] ?? ANY).test(String(parts[i])))
}
const ANY = /^/
const FITS: Readonly<Record<string, RegExp>> = {
  bigint: /^(0|-?[1-9]\d{0,17})$/,
  uuid: /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i,
  date: /^(?!0000)\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])$/,
  timestamptz: /^(?!0000)\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?Z$/,
  boolean: /^(true|false)$/,
}
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * Rows of a captured entity, through its contract view.
 * @param types of the view's columns, by field, as `format_type` names them
 */
export function viewRows(
  topic: string,
  keyFields: readonly string[],
  fields: readonly AuditedField[],
  types: Readonly<Record<string, string>>,
): RowSource {
  const column = (field: string): string => `v.${quoteIdentifier(field)}`
  const typeOf = (field: string): string => types[field] ?? 'text'
  const key = keyText(keyFields.map((field) => ({ text: `${column(field)}::text`, bare: /int/.test(typeOf(field)) })))
  const ordered = inNameOrder(fields)
  const columns = ordered.map(({ name, kind }, i) => `${canonicalOfView(kind, typeOf(name), column(name))} as f${i + 1}`)
  return { fields: ordered.length, rows: `select ${[`${key} as key`, ...columns].join(', ')} from ${captureNames(topic).view} v` }
}

/** Rows of an entity that is published by code: of its heads. */
export function headRows(topic: string, fields: readonly AuditedField[], keys?: string): RowSource {
  const ordered = inNameOrder(fields)
  const members = ordered.map(({ name, kind }) => `${quoteIdentifier(name)} ${kind === 'json' ? 'jsonb' : 'text'}`)
  const columns = ordered.map(({ name, kind }, i) => `${canonicalOfMember(kind, `s.${quoteIdentifier(name)}`)} as f${i + 1}`)
  const among = keys === undefined ? '' : ` and h.key = any (${keys})`
  return {
    fields: ordered.length,
    rows: `select ${['h.key', ...columns].join(', ')}${keys === undefined ? '' : ', h.version'}
      from comity.heads h cross join lateral json_to_record(h.state::json) s(${members.join(', ')})
      where h.topic = ${quoteLiteral(topic)} and not h.deleted${among}`,
  }
}

function keyText(parts: readonly { readonly text: string; readonly bare: boolean }[]): string {
  const [only, ...others] = parts as readonly [(typeof parts)[number], ...typeof parts]
  if (others.length === 0) return only.text
  return `'[' || ${parts.map(({ text, bare }) => (bare ? text : `to_json(${text})::text`)).join(` || ',' || `)} || ']'`
}
