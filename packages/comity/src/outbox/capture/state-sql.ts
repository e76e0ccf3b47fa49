import { quoteIdentifier, quoteLiteral } from '../../postgres/quote.ts'
import { captureNames } from './capture-names.ts'
import type { CapturedField, CapturePlan } from './plan-capture.ts'
import { type Column, ROW } from './table-shape.ts'
import { EXPRESSION_FAILED, KEY_UNFIT, TENANT_UNFIT, TOO_LARGE } from './type-table.ts'
import { fill, jsonOf, textOf } from './wire-sql.ts'

/** Texts of these are short and plain: a key made of them needs no look. */
const PLAIN_KEYS: readonly string[] = ['int2', 'int4', 'int8', 'uuid', 'date', 'time', 'timestamp', 'timestamptz', 'macaddr', 'macaddr8']
/** A JSON text has at least as many bytes as what it is made of; the exact bound is looked at when it is there. */
const GUARD_FACTOR = 4

/** What a withheld row has in `headers`; the relay reads it (outbox/judge.ts). */
export function withheldHeader(code: string, path: string, reason: string): string {
  return JSON.stringify({ withheld: { code, path, reason } })
}

/** Functions over the table's row type: they are inlined, and follow every renaming of column, table and schema. */
export function rowFunctions(plan: CapturePlan): string[] {
  const names = captureNames(plan.topic)
  const over = (name: string, type: string, body: string): string =>
    `create function ${name}("row" ${plan.table}) returns ${type} language sql stable parallel safe return ${body}`
  const row = (column: Column): string => value(column, '("row")')
  const inputs = [...new Set(plan.fields.flatMap((field) => field.inputs))]
  const image = (side: string): string => `row(${inputs.map((input) => `(${side}).${quoteIdentifier(input)}`).join(', ')})`
  return [
    ...plan.fields.flatMap((field, position) => expressionFunctions(plan, field, position)),
    over(names.key, 'text', keyText(plan, row)),
    over(names.keyUnfit, 'text', keyUnfit(plan, row)),
    over(names.tenant, 'text', tenantText(plan, row)),
    ...plan.keys.map((field, position) => over(names.rawKey(position), columnOf(field).type.display, row(columnOf(field)))),
    `create function ${names.changed}(old ${plan.table}, new ${plan.table}) returns boolean language sql immutable parallel safe
  return record_image_ne(${image('old')}, ${image('new')})`,
  ]
}

/** The contract view: one column per field, in its wire form. */
export function contractView(plan: CapturePlan): string {
  const columns = plan.fields.map((field, position) => `  ${viewValue(plan, field, position)} as ${quoteIdentifier(field.field)}`)
  return `create view ${captureNames(plan.topic).view} as select\n${columns.join(',\n')}\nfrom ${plan.table} as ${ROW}`
}

/**
 * The state of every row: raw key columns (`key_1` …; a condition on them finds the row by its index), `written` (the row
 * version's transaction), key text, tenant, JSON text, and why it has to be withheld; and each field by itself (see {@link cells}).
 */
export function stateView(plan: CapturePlan): string {
  const row = (column: Column): string => value(column, ROW)
  const { guard, exact } = sizeChecks(plan, row)
  const json = stateText(plan, row)
  // OFFSET 0 keeps the planner from computing the JSON text once for each place that names it.
  return `create view ${captureNames(plan.topic).state} as select
  ${plan.keys.map((field, i) => `${row(columnOf(field))} as key_${i + 1}`).join(', ')}, ${ROW}.xmin as written, s.key, ${keyUnfit(plan, row)} as key_unfit, s.tenant, s.state,
  ${[`${withheld(plan, row, exact)} as withheld`, ...cells(plan, row)].join(',\n  ')}
from ${plan.table} as ${ROW} cross join lateral (
  select ${keyText(plan, row)} as key, ${tenantText(plan, row)} as tenant,
    ${guard === undefined ? json : `case when ${guard} <= ${plan.maxBytes * GUARD_FACTOR} then ${json} end`} as state
  offset 0
) s`
}

/** Alone in a cell it stands for NULL; no text that fits is that. */
export const NULL_CELL = '\x1d'

/**
 * Fields one by one, in their order, without the cost of a JSON text: `text_n` is the string itself, `json_n` its JSON text. They say what `state` says
 * where `cells_fit`, and where they have not more than `cells_most` bytes together; where not, or where there are none, only `state` does.
 */
function cells(plan: CapturePlan, row: RowValue): readonly string[] {
  const isNull = quoteLiteral(NULL_CELL)
  const fits: string[] = plan.tenant === undefined || isPlain(plan.tenant) ? [] : ['comity.key_fits(s.tenant)']
  const columns: string[] = []
  for (const [i, { source, conversion }] of plan.fields.entries()) {
    if (!('column' in source)) return []
    const from = row(source.column)
    const isText = conversion.json !== 'bare' && conversion.jsonText === undefined
    columns.push(isText ? `(${fill(conversion.value, from)})::text as text_${i + 1}` : `${jsonOf(conversion, from)} as json_${i + 1}`)
    if (conversion.fits !== undefined) fits.push(`(${from} is null or (${fill(conversion.fits.condition, from)}))`)
    if (isText && conversion.json === 'escaped') fits.push(`(${fill(conversion.value, from)}) is distinct from ${isNull}`)
  }
  const names = plan.fields.reduce((sum, { field }) => sum + Buffer.byteLength(JSON.stringify(field)) + 4, 2)
  // Escaping makes six characters of one at most.
  const most = Math.floor((plan.maxBytes - names) / 6)
  return [`${fits.length === 0 ? 'true' : fits.join(' and ')} as cells_fit`, `${most} as cells_most`, ...columns]
}

/** A column's value as its type without domains. */
function value(column: Column, row: string): string {
  const plain = `${row}.${quoteIdentifier(column.name)}`
  return column.domain ? `(${plain})::${column.type.display}` : plain
}

type RowValue = (column: Column) => string

function columnOf({ source }: CapturedField): Column {
  return (source as { readonly column: Column }).column
}

function keyText(plan: CapturePlan, row: RowValue): string {
  const [only, ...others] = plan.keys as readonly [CapturedField, ...CapturedField[]]
  if (others.length === 0) return `${textOf(only.conversion, row(columnOf(only)))} collate "C"`
  return `('[' || ${plan.keys.map((field) => jsonOf(field.conversion, row(columnOf(field)))).join(` || ',' || `)} || ']') collate "C"`
}

function tenantText({ tenant, ...plan }: CapturePlan, row: RowValue): string {
  if (tenant === undefined) return 'null::text'
  if ('column' in tenant.source) return textOf(tenant.conversion, row(tenant.source.column))
  return `(${tried(plan, tenant, row)}::jsonb #>> '{}')`
}

function keyUnfit(plan: CapturePlan, row: RowValue): string {
  const cases: string[] = []
  const when = (condition: string, path: string, { code, reason }: { code: string; reason: string }): void => {
    cases.push(`when ${condition} then ${quoteLiteral(withheldHeader(code, path, reason))}`)
  }
  for (const field of plan.keys) {
    const text = textOf(field.conversion, row(columnOf(field)))
    const { fits } = field.conversion
    if (fits) when(`not (${fill(fits.condition, row(columnOf(field)))})`, field.field, fits.reason)
    if (!isPlain(field)) when(`not comity.key_fits(${text})`, field.field, KEY_UNFIT)
  }
  if (plan.keys.length > 1) when(`octet_length(${keyText(plan, row)}) > 256`, 'key', KEY_UNFIT)
  return cases.length === 0 ? 'null::text' : `case ${cases.join(' ')} end`
}

/** Can its text be neither empty, nor long, nor strange? */
export function isPlain(field: CapturedField): boolean {
  return 'column' in field.source && PLAIN_KEYS.includes(field.source.column.type.name)
}

/** The JSON text of a row, fields in the contract's order; NULL where a value has no form on the wire. */
function stateText(plan: CapturePlan, row: RowValue): string {
  // Whatever the table says of NULL today: a constraint may be dropped under the capture.
  const leavesOut = (field: CapturedField): boolean => field.optional && !field.type.nullable
  const [first] = plan.fields
  const fromComma = first !== undefined && leavesOut(first)
  const pieces = plan.fields.map((field, i) => {
    const name = quoteLiteral(`${i === 0 && !fromComma ? '' : ','}${JSON.stringify(field.field)}:`)
    return leavesOut(field) ? memberIfThere(plan, field, name, row) : `${name} || ${member(plan, field, row)}`
  })
  const members = pieces.join('\n    || ')
  return fromComma ? `'{' || substr(${members}, 2) || '}'` : `'{' || ${members} || '}'`
}

function member(plan: Pick<CapturePlan, 'fields' | 'topic'>, field: CapturedField, row: RowValue): string {
  if (!('column' in field.source)) return tried(plan, field, row)
  const { column } = field.source
  const json = jsonOf(field.conversion, row(column))
  const { fits } = field.conversion
  if (fits !== undefined) return `case when ${row(column)} is null then 'null' when ${fill(fits.condition, row(column))} then ${json} end`
  return `coalesce(${json}, 'null')`
}

/** A field that may be missing and may not be null: NULL leaves it out. */
function memberIfThere(plan: CapturePlan, field: CapturedField, name: string, row: RowValue): string {
  if (!('column' in field.source)) {
    return `(select case t.json when 'null' then '' else ${name} || t.json end from (select ${tried(plan, field, row)} as json offset 0) t)`
  }
  const { fits } = field.conversion
  const source = row(field.source.column)
  const fitting = fits === undefined ? 'else' : `when ${fill(fits.condition, source)} then`
  return `case when ${source} is null then '' ${fitting} ${name} || ${jsonOf(field.conversion, source)} end`
}

function withheld(plan: CapturePlan, row: RowValue, exact: boolean): string {
  const header = (code: string, path: string, reason: string): string => quoteLiteral(withheldHeader(code, path, reason))
  const tooLarge = header(TOO_LARGE, '', `the state is larger than ${plan.maxBytes} bytes`)
  const cases: string[] = []
  if (plan.tenant !== undefined && !isPlain(plan.tenant)) {
    cases.push(`when not comity.key_fits(s.tenant) then ${header(TENANT_UNFIT.code, plan.tenant.field, TENANT_UNFIT.reason)}`)
  }
  const reasons = plan.fields.flatMap((field) => {
    if (!('column' in field.source)) {
      const { code, reason } = EXPRESSION_FAILED
      return [`when ${tried(plan, field, row)} is null then ${header(code, field.field, reason)}`]
    }
    const { fits } = field.conversion
    return fits === undefined
      ? []
      : [`when not (${fill(fits.condition, row(field.source.column))}) then ${header(fits.reason.code, field.field, fits.reason.reason)}`]
  })
  if (reasons.length > 0 || exact)
    cases.push(`when s.state is null then ${reasons.length === 0 ? tooLarge : `case ${reasons.join(' ')} else ${tooLarge} end`}`)
  if (exact) cases.push(`when octet_length(s.state) > ${plan.maxBytes} then ${tooLarge}`)
  return cases.length === 0 ? 'null::text' : `case ${cases.join('\n    ')} end`
}

/** A rough sum before any text is built, and whether the text's own length must be looked at. */
function sizeChecks(plan: CapturePlan, row: RowValue): { readonly guard?: string; readonly exact: boolean } {
  const sizes = plan.fields.flatMap(({ source, conversion }) => {
    if (!('column' in source) || conversion.bytes === undefined) return []
    return [`coalesce(${fill(conversion.bytes, row(source.column))}, 0)`]
  })
  const exact = sizes.length > 0 || plan.fields.some(({ source }) => !('column' in source))
  return sizes.length === 0 ? { exact } : { guard: sizes.join(' + '), exact }
}

/** An expression's JSON text, by a function that catches its errors: NULL if it failed or has no form on the wire. */
function tried(plan: Pick<CapturePlan, 'fields' | 'topic'>, field: CapturedField, row: RowValue): string {
  return `${captureNames(plan.topic).tryExpression(plan.fields.indexOf(field))}(${field.arguments.map(row).join(', ')})`
}

/**
 * Parameters have the columns' names of today, so the expression is bound once and for all: columns can be renamed, and
 * no search_path decides what it calls.
 */
function expressionFunctions(plan: CapturePlan, field: CapturedField, position: number): string[] {
  if ('column' in field.source) return []
  const names = captureNames(plan.topic)
  const parameters = field.arguments.map(({ name, type }) => `${quoteIdentifier(name)} ${type.display}`).join(', ')
  const { conversion } = field
  const found = conversion.fits === undefined ? 'else' : `when ${fill(conversion.fits.condition, 'e.value')} then`
  return [
    `create function ${names.expression(position)}(${parameters}) returns text language sql stable
  return (select case when e.value is null then 'null' ${found} ${jsonOf(conversion, 'e.value')} end from (select (${field.source.sql}\n) as value offset 0) e)`,
    // What is not the expression's own fault (deadlock, cancel, no memory) is not caught.
    `create function ${names.tryExpression(position)}(${field.arguments.map(({ type }) => type.display).join(', ')}) returns text language plpgsql stable as ${quoteLiteral(`
begin
  return ${names.expression(position)}(${field.arguments.map((_, i) => `$${i + 1}`).join(', ')});
exception
  when transaction_rollback or insufficient_resources or operator_intervention or system_error then raise;
  when others then return null;
end`)}`,
  ]
}

function viewValue(plan: CapturePlan, field: CapturedField, position: number): string {
  const row = (column: Column): string => value(column, ROW)
  if ('column' in field.source) return fill(field.conversion.value, row(field.source.column))
  const json = `${captureNames(plan.topic).tryExpression(position)}(${field.arguments.map(row).join(', ')})::jsonb`
  if (field.conversion.json !== 'bare') return `${json} #>> '{}'`
  const type = { boolean: 'boolean', integer: 'bigint', number: 'double precision' }[field.type.kind as string]
  return type === undefined ? `nullif(${json}, 'null')` : `(${json} #>> '{}')::${type}`
}
