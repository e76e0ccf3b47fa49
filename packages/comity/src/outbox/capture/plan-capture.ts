import { type ContractDescription, fieldsOn, isObject, topicOf } from '@comity/contract'
import { ColumnAmbiguous, ColumnNotFound, ColumnTypeUnfit, ExpressionUnfit, KeyUnfit, SizeUnfit, TableUnfit } from './errors.ts'
import { describeFieldType, type FieldType, fieldType } from './field-type.ts'
import { nearestName } from './nearest-name.ts'
import { snakeCase } from './snake-case.ts'
import type { Column, ColumnType, Partition, TableShape } from './table-shape.ts'
import { type Converted, conversionOf } from './wire-sql.ts'

export const DEFAULT_MAX_BYTES = 1_048_576
/** Brokers' limits include what travels beside the data. */
export const HARD_MAX_BYTES = 8_388_608

export interface CaptureOptions {
  /** Field → column, or an expression over one row, where the names differ. */
  readonly columns?: Readonly<Record<string, string | { readonly sql: string }>> | undefined
  /** The columns of the key, in the order of the contract's key fields. */
  readonly key?: string | readonly string[] | undefined
  /** Which audience's topic; needed where the contract declares audiences. */
  readonly audience?: string | undefined
  /** The largest state that is published, in bytes of JSON. Default 1 MiB, at most 8 MiB. */
  readonly maxBytes?: number | undefined
}

export interface CapturedField {
  readonly field: string
  readonly type: FieldType
  /** May it be left out? A NULL then is left out, unless the contract allows `null`. */
  readonly optional: boolean
  readonly conversion: Converted
  readonly source: { readonly column: Column } | { readonly sql: string; readonly type: ColumnType }
  /** The columns of the table that its value depends on, none of them virtual. */
  readonly inputs: readonly string[]
  /** The columns that an expression names, in the order of its function's parameters. */
  readonly arguments: readonly Column[]
}

/** Everything that is decided before a statement is written. */
export interface CapturePlan {
  readonly entity: string
  readonly topic: string
  /** Quoted and with its schema. */
  readonly table: string
  readonly fields: readonly CapturedField[]
  readonly keys: readonly CapturedField[]
  readonly tenant?: CapturedField
  readonly maxBytes: number
  readonly partitioned: boolean
  readonly partitions: readonly Partition[]
}

/** The expressions that {@link planCapture} will need in the table's shape. */
export function expressionsOf(options: Pick<CaptureOptions, 'columns'>): readonly string[] {
  return Object.values(options.columns ?? {}).flatMap((source) => (typeof source === 'string' ? [] : [source.sql]))
}

/** Resolves the contract's fields to the table's columns, and refuses whatever types, indexes and the table itself tell. */
export function planCapture(contract: ContractDescription, shape: TableShape, options: CaptureOptions = {}): CapturePlan {
  const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES
  if (!(maxBytes >= 1 && maxBytes <= HARD_MAX_BYTES))
    throw new SizeUnfit({ bytes: maxBytes, most: HARD_MAX_BYTES }, { limit: `${HARD_MAX_BYTES} bytes` })
  checkTable(shape)
  const topic = topicOf(contract, options.audience)
  const columns = withKey(contract, options)
  for (const field of Object.keys(columns)) {
    if (!contract.fields.includes(field)) {
      const meant = nearestName(field, contract.fields)
      const hint = meant === undefined ? `the contract has the fields ${contract.fields.join(', ')}` : `did you mean the field "${meant}"?`
      throw new ColumnNotFound({ entity: contract.name, field, table: shape.table, hint }, { path: `columns.${field}` })
    }
  }
  const fields = fieldsOn(contract, options.audience).map((field) =>
    captured(contract, shape, field, Object.hasOwn(columns, field) ? columns[field] : undefined),
  )
  checkDistinct(contract, shape, fields, columns)
  const byName = (name: string): CapturedField => fields.find(({ field }) => field === name) as CapturedField
  const keys = contract.keyFields.map(byName)
  checkKeys(contract, shape, keys)
  const tenant = contract.tenantField === undefined ? undefined : byName(contract.tenantField)
  if (tenant !== undefined) checkTenant(contract, tenant)
  return {
    entity: contract.name,
    topic,
    table: shape.table,
    fields,
    keys,
    ...(tenant === undefined ? {} : { tenant }),
    maxBytes,
    partitioned: shape.kind === 'partitioned',
    partitions: shape.partitions,
  }
}

function checkTable(shape: TableShape): void {
  const refuse = (problem: string, remedy: string): never => {
    throw new TableUnfit({ table: shape.table, problem, remedy })
  }
  if (shape.kind === 'partition') refuse('it is a partition of another table', 'capture the partitioned table')
  if (shape.kind === 'other') refuse('it is not a table', 'capture the table that the data is written to')
  if (shape.inherits)
    refuse('it inherits, or is inherited from, and so has no unique key', 'use declarative partitioning, or a table of its own')
  if (shape.persistence === 'unlogged')
    refuse('it is UNLOGGED, and a crash would empty it unnoticed', `alter table ${shape.table} set logged`)
  if (shape.persistence === 'temporary') refuse('it is temporary', 'capture a table that other sessions see too')
  if (shape.rowSecurity) {
    refuse(
      'a row-level security policy hides rows from the role that captures it',
      `alter table ${shape.table} no force row level security, or run as its owner`,
    )
  }
  const foreign = shape.partitions.find((partition) => partition.foreign)
  if (foreign) refuse(`its partition ${foreign.table} is a foreign table, which takes no such triggers`, 'detach that partition')
  if (shape.encoding !== 'UTF8') refuse(`the database's encoding is ${shape.encoding}`, 'move it to a database with encoding UTF8')
}

/** `key` is short for naming the key's columns one by one. */
function withKey(
  contract: ContractDescription,
  { key, columns = {} }: CaptureOptions,
): Readonly<Record<string, string | { readonly sql: string }>> {
  if (key === undefined) return columns
  const given = [key].flat()
  if (given.length !== contract.keyFields.length) {
    throw new KeyUnfit({
      entity: contract.name,
      table: 'its table',
      problem: `${given.length} columns are named for ${contract.keyFields.length} key fields`,
      remedy: `name one column for each of ${contract.keyFields.join(', ')}`,
    })
  }
  return { ...columns, ...Object.fromEntries(contract.keyFields.map((field, i) => [field, given[i] as string])) }
}

function captured(
  contract: ContractDescription,
  shape: TableShape,
  field: string,
  given: string | { readonly sql: string } | undefined,
): CapturedField {
  const properties = contract.schema.properties
  const type = fieldType(isObject(properties) ? properties[field] : true, contract.schema)
  const required = contract.schema.required
  const optional = !(Array.isArray(required) && required.includes(field))
  const refuse = (source: string, found: ColumnType): never => {
    throw new ColumnTypeUnfit(
      { entity: contract.name, field, wanted: describeFieldType(type), source, type: found.display },
      { path: `columns.${field}` },
    )
  }
  if (typeof given === 'object') {
    const expression = shape.expressions[given.sql]
    const problem = expression === undefined ? 'it was not looked at' : expression.problem
    if (expression === undefined || problem !== undefined) {
      throw new ExpressionUnfit({ field, sql: given.sql, problem: problem ?? '' }, { path: `columns.${field}` })
    }
    const named = expression.inputs.map((input) => shape.columns.find(({ name }) => name === input) as Column)
    const conversion = conversionOf(expression.type, type) ?? refuse('the expression', expression.type)
    return {
      field,
      type,
      optional,
      conversion,
      arguments: named,
      inputs: [...new Set(named.flatMap(realInputs))],
      source: { sql: given.sql, type: expression.type },
    }
  }
  const column = resolve(contract, shape, field, given)
  const conversion = conversionOf(column.type, type) ?? refuse(`the column ${column.name}`, column.type)
  return { field, type, optional, conversion, arguments: [], inputs: realInputs(column), source: { column } }
}

/** Virtual generated columns are NULL in transition tables: what they are computed from is compared instead. */
function realInputs(column: Column): readonly string[] {
  return column.virtualOf ?? [column.name]
}

function resolve(contract: ContractDescription, shape: TableShape, field: string, given: string | undefined): Column {
  const names = given === undefined ? [field, snakeCase(field)] : [given]
  const found = shape.columns.filter(({ name }) => names.includes(name))
  if (found.length > 1) {
    throw new ColumnAmbiguous(
      { entity: contract.name, field, table: shape.table, candidates: found.map(({ name }) => name).join(', ') },
      { path: `columns.${field}` },
    )
  }
  const [column] = found
  if (column !== undefined) return column
  const known = shape.columns.map(({ name }) => name)
  const meant = nearestName(given ?? field, known)
  const hint = meant === undefined ? `the table has ${known.join(', ')}` : `did you mean columns: { ${field}: '${meant}' }?`
  throw new ColumnNotFound({ entity: contract.name, field, table: shape.table, hint }, { path: `columns.${field}` })
}

/** `agencyId` and `agency_id` can both be found in one column: then nobody knows which was meant. */
function checkDistinct(contract: ContractDescription, shape: TableShape, fields: readonly CapturedField[], named: object): void {
  const seen = new Map<string, string>()
  for (const { field, source } of fields) {
    if (!('column' in source) || field in named) continue
    const first = seen.get(source.column.name)
    if (first !== undefined) {
      throw new ColumnAmbiguous({
        entity: contract.name,
        field,
        table: shape.table,
        candidates: `${source.column.name} is also the field ${first}`,
      })
    }
    seen.set(source.column.name, field)
  }
}

function checkKeys(contract: ContractDescription, shape: TableShape, keys: readonly CapturedField[]): void {
  const refuse = (problem: string, remedy: string): never => {
    throw new KeyUnfit({ entity: contract.name, table: shape.table, problem, remedy })
  }
  const columns = keys.map(({ field, source, type }) => {
    if (!('column' in source)) return refuse(`the key field ${field} is an expression`, 'take the key from columns, as they are')
    if (type.kind !== 'string' && type.kind !== 'integer')
      return refuse(`the key field ${field} is ${describeFieldType(type)}`, 'make it a string or an integer')
    return source.column.name
  })
  const list = columns.join(', ')
  const wanted = [...columns].sort().join()
  const exactly = shape.uniqueIndexes.filter((index) => [...index.columns].sort().join() === wanted)
  if (exactly.some((index) => index.problem === undefined)) return
  const first = exactly[0]
  const remedy =
    shape.kind === 'partitioned'
      ? 'add its columns to the primary key of the table, or to the key of the contract'
      : `create unique index concurrently on ${shape.table} (${list}), on columns that are NOT NULL`
  if (first !== undefined) refuse(`its unique index ${first.name} ${first.problem}`, remedy)
  refuse(`no unique index has exactly the columns ${list}`, remedy)
}

function checkTenant(contract: ContractDescription, { field, source, inputs, arguments: named }: CapturedField): void {
  const virtual = 'column' in source ? source.column.virtualOf !== undefined : named.some((column) => column.virtualOf !== undefined)
  if (virtual || inputs.length === 0) {
    const name = 'column' in source ? source.column.name : source.sql
    throw new TableUnfit({
      table: contract.name,
      problem: `the tenant field ${field} is taken from ${name}, which a deleted row no longer has`,
      remedy: 'take the tenant from a stored column',
    })
  }
}
