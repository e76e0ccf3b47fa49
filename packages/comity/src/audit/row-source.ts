import { columnFromWire, wireFromColumn } from '../outbox/capture/index.ts'
import { quoteIdentifier } from '../postgres/quote.ts'
import type { ReplicaColumn, ReplicaShape } from '../replica/replica-columns.ts'
import { VERSION_COLUMN } from '../replica/replica-sql.ts'
import { type AuditedField, inNameOrder } from './audited-field.ts'

/** A copy's rows as the functions of migration 0014 take them: SQL of each part. */
export interface RowSource {
  readonly key: string
  /** The canonical texts, in the order of the fields' names. */
  readonly texts: readonly string[]
  readonly version: string
  readonly from: string
  readonly where: string
  readonly within: string
  readonly columns: readonly (readonly [column: string, type: string])[]
}

export function replicaSource(replica: ReplicaShape, fields: readonly AuditedField[]): RowSource {
  const texts = inNameOrder(fields).map(({ name, kind }) => {
    const { type, column } = replica.columns.findLast(({ field }) => field === name) as ReplicaColumn
    const value = `r.${quoteIdentifier(column)}`
    if (kind === 'json') return `comity.canonical_json(${value})`
    // + 0: there is no negative zero on the wire.
    return kind === 'number' ? `encode(float8send(${value} + 0), 'hex')` : wireFromColumn(type, value)
  })
  return {
    ...{ key: keyText(replica), texts, version: `r.${VERSION_COLUMN}`, from: `${tableOf(replica)} r`, where: 'true', within: 'true' },
    columns: keyColumns(replica).map(({ column, type }) => [`r.${quoteIdentifier(column)}`, type]),
  }
}

/** Whether the row `r` has the key of `k.key`. */
export function isKey(replica: Pick<ReplicaShape, 'columns'>): string {
  const columns = keyColumns(replica)
  const conditions = columns.map(({ column, type }, i) => {
    const text = columns.length === 1 ? 'k.key' : `(k.key::jsonb ->> ${i})`
    return `r.${quoteIdentifier(column)} = ${columnFromWire(type, text)}`
  })
  return conditions.join(' and ')
}

/** Whether a copy's key columns can hold that key: one that they can't is in no copy. */
export function fitsKey(replica: ReplicaShape, key: string): boolean {
  const columns = keyColumns(replica)
  const parts: unknown = columns.length === 1 ? [key] : parse(key)
  if (!Array.isArray(parts) || parts.length !== columns.length) return false
  return columns.every(({ type }, i) => {
    const text = String(parts[i])
    return FITS[type] === undefined || (FITS[type].test(text) && (!DAYS.includes(type) || isDay(text.slice(0, 10))))
  })
}
const FITS: Readonly<Record<string, RegExp>> = {
  bigint: /^(0|-?[1-9]\d{0,17})$/,
  uuid: /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i,
  date: /^(?!0000)\d{4}-\d\d-\d\d$/,
  timestamptz: /^(?!0000)\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?Z$/,
  boolean: /^(true|false)$/,
}
const DAYS = ['date', 'timestamptz']

/** Whether the calendar has it: another one makes a cast fail. */
function isDay(text: string): boolean {
  const day = new Date(`${text}T00:00:00Z`)
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function tableOf({ schema, table }: Pick<ReplicaShape, 'schema' | 'table'>): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`
}

function keyColumns({ columns }: Pick<ReplicaShape, 'columns'>): readonly ReplicaColumn[] {
  return columns.filter(({ key }) => key !== undefined).sort((a, b) => (a.key as number) - (b.key as number))
}

/** The text of a row's key: the value itself, or a JSON array of the values. */
function keyText(replica: ReplicaShape): string {
  const columns = keyColumns(replica)
  const texts = columns.map(({ type, column }) => wireFromColumn(type, `r.${quoteIdentifier(column)}`))
  if (texts.length === 1) return texts[0] as string
  return `'[' || ${texts.map((text, i) => (columns[i]?.type === 'bigint' ? text : `to_json(${text})::text`)).join(` || ',' || `)} || ']'`
}
