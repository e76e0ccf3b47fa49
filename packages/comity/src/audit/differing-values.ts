import { wireFromColumn } from '../outbox/capture/index.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Database } from '../postgres/database.ts'
import { quoteIdentifier, quoteLiteral } from '../postgres/quote.ts'
import type { ReplicaShape } from '../replica/replica-columns.ts'
import { VERSION_COLUMN } from '../replica/replica-sql.ts'
import type { Reader } from '../subscription/reading.ts'
import type { AuditedShape } from './audited-copy.ts'
import { KEYS_AT_ONCE } from './contracts.ts'
import { liftedStates } from './lifted-states.ts'
import type { Questions } from './questions.ts'
import { fitsKey, isKey, tableOf } from './row-source.ts'

/** The fields of one key that are not as the owner has them now, as texts of the wire; null: no value. */
export interface DifferingValues {
  readonly key: string
  /** Whether there is such a row, in the copy and at the owner. */
  readonly here: boolean
  readonly owner: boolean
  readonly fields: readonly { readonly field: string; readonly here: string | null; readonly owner: string | null }[]
}

/**
 * Asks the owner for the states of these keys, at most {@link KEYS_AT_ONCE}, as a repair does, and compares them with the rows of the copy. It shows what
 * holds now, which may be newer than the audit. Only whoever may read the copy's table comes as far as this. Throws as {@link Questions.ask} does.
 */
export async function differingValues(
  database: Database,
  shape: AuditedShape,
  reader: Reader,
  questions: Questions,
  keys: readonly string[],
): Promise<readonly DifferingValues[]> {
  const asked = keys.slice(0, KEYS_AT_ONCE)
  const told = (await questions.ask<'states'>({ kind: 'states', keys: asked })).flatMap(({ states }) => states)
  const said = told.flatMap(({ key, state }) => (state === null ? [] : [{ key, state }]))
  const lifted = await liftedStates(database, said, { reader, subset: shape.subset })
  // What this team can't read is shown as it was said.
  const theirs = new Map(said.map(({ key, state }) => [key, lifted.get(key) === undefined ? state : lifted.get(key)]))
  const fitting = asked.filter((key) => fitsKey(shape, key))
  const { rows } = await database.query<{ key: string; row: string | null }>(rowsOf(shape), [arrayLiteral(fitting)])
  const ours = new Map(rows.map(({ key, row }) => [key, row === null ? undefined : (JSON.parse(row) as Record<string, string | null>)]))
  return asked.map((key) => {
    const here = ours.get(key)
    const owner = theirs.get(key) ?? undefined
    const fields = shape.columns.flatMap(({ field, type }) => {
      const own = here?.[field] ?? null
      const values = { field, here: type === 'jsonb' && own !== null ? textOf(JSON.parse(own)) : own, owner: textOf(owner?.[field]) }
      return values.here === values.owner ? [] : [values]
    })
    return { key, here: here !== undefined, owner: owner !== undefined, fields }
  })
}

function rowsOf(shape: ReplicaShape): string {
  const values = shape.columns.map(({ field, column, type }) => {
    return `${quoteLiteral(field)}, (${wireFromColumn(type, `r.${quoteIdentifier(column)}`)})::text`
  })
  return `
    select k.key, case when r.${VERSION_COLUMN} is not null then json_build_object(${values.join(', ')})::text end as row
    from unnest($1::text::text[]) k(key) left join ${tableOf(shape)} r on ${isKey(shape)}`
}

/** A string as it is, anything else as JSON with its members in order. */
function textOf(value: unknown): string | null {
  if (value === undefined || value === null) return null
  return typeof value === 'string' ? value : JSON.stringify(sorted(value))
}
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, one]) => [name, sorted(one)]),
  )
}
