import { wireFromColumn } from '../outbox/capture/index.ts'
import type { ReplicaColumn } from '../replica/replica-columns.ts'

/** What has to be done to a copy's table, in place, so that it is as it is declared. */
export interface ShapeChanges {
  readonly added: readonly ReplicaColumn[]
  /** Each with the type that it gets. */
  readonly widened: readonly { readonly column: string; readonly from: string; readonly to: string }[]
  /** Columns that nothing declares any more: they are kept, and go on being filled, until somebody drops them. */
  readonly leftOver: readonly ReplicaColumn[]
  /** All columns, then. */
  readonly columns: readonly ReplicaColumn[]
  /** Why it can't be done in place. */
  readonly refused?: string
}

/* Each value of the first type has exactly one of the others. */
const WIDER: Readonly<Record<string, readonly string[]>> = {
  bigint: ['double precision', 'text', 'jsonb'],
  'double precision': ['jsonb'],
  boolean: ['jsonb'],
  uuid: ['text', 'jsonb'],
  date: ['text', 'jsonb'],
  timestamptz: ['text', 'jsonb'],
  timestamp: ['text', 'jsonb'],
  text: ['jsonb'],
}
function isWider(type: string, than: string): boolean {
  return WIDER[than]?.includes(type) === true
}

/** The value of a column in a wider type. */
export function widenedValue(from: string, to: string, column: string): string {
  if (to === 'double precision') return `${column}::double precision`
  if (to === 'text') return `(${wireFromColumn(from, column)}) collate "C"`
  return ['boolean', 'bigint', 'double precision'].includes(from) ? `to_jsonb(${column})` : `to_jsonb(${wireFromColumn(from, column)})`
}

/**
 * Compares a table with its declaration. What the table has more stays: code that is older than the table declares fewer fields, and in a rolling
 * deploy that is no change.
 * @param older whether the code may be older: then a narrower type is no change, too
 */
export function shapeChanges(had: readonly ReplicaColumn[], declared: readonly ReplicaColumn[], older = false): ShapeChanges {
  const byColumn = new Map(had.map((column) => [column.column, column]))
  const names = new Set(declared.map(({ column }) => column))
  const added: ReplicaColumn[] = []
  const widened: { column: string; from: string; to: string }[] = []
  let refused: string | undefined
  for (const one of declared) {
    const { field, column, type, key } = one
    const old = byColumn.get(column)
    if (old === undefined) {
      const beside = had.find((other) => other.field === field)
      if (key !== undefined) refused ??= `${field}, of its key, is in the column ${beside?.column ?? 'of another name'}, not ${column}`
      else if (beside !== undefined && beside.type !== type) refused ??= `the column ${beside.column} is ${beside.type}, not ${type}`
      else added.push(one)
    } else if (old.field !== field) refused ??= `the column ${column} holds ${old.field}, not ${field}`
    else if (isWider(type, old.type)) widened.push({ column, from: old.type, to: type })
    else if (old.type !== type && !(older && isWider(old.type, type))) refused ??= `the column ${column} is ${old.type}, not ${type}`
  }
  const types = new Map(widened.map(({ column, to }) => [column, to]))
  return {
    ...{ added, widened, leftOver: had.filter(({ column, key }) => key === undefined && !names.has(column)) },
    columns: [...had.map((column) => ({ ...column, type: types.get(column.column) ?? column.type })), ...added],
    ...(refused === undefined ? {} : { refused }),
  }
}
