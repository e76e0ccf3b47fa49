import { type Entity, isObject, type JsonSchema } from '@comity/contract'
import { replicaColumnType, wireFromColumn } from '../outbox/capture/index.ts'
import type { Queryable } from '../postgres/database.ts'
import { quoteIdentifier } from '../postgres/quote.ts'
import { kindOf } from '../replica/canonical-kind.ts'
import { copyStatements } from '../replica/copy-statements.ts'
import type { ReplicaColumn } from '../replica/replica-columns.ts'
import { ExpectationUnfit } from './errors.ts'

/** A field that is compared, and what of the canonical forms its value has (docs/canonical-form.md). */
export interface ExpectedField {
  readonly name: string
  readonly kind: string
}

/** Pub/Sub's limit for one attribute. */
const MOST = 1024

/**
 * The fields that others may expect something of: of an entity with audiences only what each of them is granted, for a conflict tells what they
 * hold now, and the owner does not ask which audience an asker belongs to.
 */
export function expectable({ audiences, fields, keyFields }: Pick<Entity, 'audiences' | 'fields' | 'keyFields'>): readonly string[] {
  const granted = Object.values(audiences)
  return fields.filter((field) => !keyFields.includes(field) && granted.every((some) => some.includes(field)))
}

/** The fields with their kinds, as this team's contract has them. Throws COMITY_EXPECTATION_UNFIT. */
export function expectedFields(request: string, entity: Entity, names: readonly string[]): readonly ExpectedField[] {
  const known = expectable(entity)
  const unknown = names.find((name) => !known.includes(name))
  if (unknown !== undefined)
    throw new ExpectationUnfit({ request, problem: `${unknown} is none of the fields that can be expected: ${known.join(', ')}` })
  if (names.length === 0) throw new ExpectationUnfit({ request, problem: 'it names no field' })
  const properties = entity.schema.properties as Readonly<Record<string, JsonSchema>>
  return names.map((name) => ({ name, kind: kindOf({ type: replicaColumnType(properties[name] ?? {}, entity.schema) }) }))
}

/** `email=text,name=text` */
export function fieldsText(request: string, fields: readonly ExpectedField[]): string {
  const text = fields.map(({ name, kind }) => `${encodeURIComponent(name)}=${kind}`).join(',')
  // Percent signs are encoded once more on the wire.
  if (text.length + 2 * (text.split('%').length - 1) > MOST)
    throw new ExpectationUnfit({
      request,
      problem: `the names of its ${fields.length} fields are longer than ${MOST} bytes: expect fewer of them`,
    })
  return text
}

/** Undefined where the text is none of {@link fieldsText}. */
export function fieldsFrom(text: string): readonly ExpectedField[] | undefined {
  const pairs = text.split(',').map((pair) => pair.split('='))
  if (pairs.some((pair) => pair.length !== 2 || pair[0] === '')) return undefined
  try {
    return pairs.map(([name, kind]) => ({ name: decodeURIComponent(name as string), kind: kind as string }))
  } catch {
    return undefined
  }
}

/** The digest of these values; null: of no state at all. */
export async function digestOf(sql: Queryable, fields: readonly ExpectedField[], state: string | null, id: string): Promise<string> {
  if (state === null) return 'none'
  const { rows } = await sql.query<{ digest: string }>('select comity.state_digest($1::text::jsonb, $2::text, $3::text) as digest', [
    JSON.stringify(fields),
    state,
    id,
  ])
  return (rows[0] as { digest: string }).digest
}

/** JSON text of a copy's row, as it would be on the wire; null: the copy has no such row. In the transaction that asks. */
export async function copiedState(sql: Queryable, replica: string, fields: readonly ExpectedField[], key: string): Promise<string | null> {
  const { isKey, table, columns } = await copyStatements().of(sql, replica)
  const pairs = fields.map(({ name }) => {
    const { column, type } = columns.findLast(({ field }) => field === name) as ReplicaColumn
    const value = `r.${quoteIdentifier(column)}`
    const json = ['jsonb', 'boolean', 'bigint', 'double precision'].includes(type) ? value : wireFromColumn(type, value)
    return `'${name.replaceAll("'", "''")}', ${json}`
  })
  const found = await sql.query<{ state: string }>(
    `select json_build_object(${pairs.join(', ')})::text as state from (select $1::text as key) i join ${table} r on ${isKey}`,
    [key],
  )
  return found.rows[0]?.state ?? null
}

/** The names and the JSON text of what a caller expects. Throws COMITY_EXPECTATION_UNFIT. */
export function givenState(request: string, given: unknown): { readonly names: readonly string[]; readonly state: string } {
  if (!isObject(given)) throw new ExpectationUnfit({ request, problem: 'it is neither "copy", nor null, nor an object of values' })
  const known = Object.entries(given).filter(([, value]) => value !== undefined)
  // What a driver has made of a column: on the wire it is a text.
  const state = Object.fromEntries(known.map(([name, value]) => [name, value instanceof Date ? value.toISOString() : value]))
  return {
    names: known.map(([name]) => name),
    state: JSON.stringify(state, (_, value) => (typeof value === 'bigint' ? Number(value) : value)),
  }
}
