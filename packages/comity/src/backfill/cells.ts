import { isObject, type JsonSchema } from '@comity/contract'
import { NULL_CELL } from '../outbox/capture/index.ts'
import { compile, HARD_MAX_BYTES, parseJson } from '../schema/index.ts'

/**
 * Rows of a captured table as one text: DEL (U+007F) between cells, RS (U+001E) between rows, GS (U+001D) alone is NULL. Nothing is escaped, so a text
 * that has one of these in a cell is none of this form: the numbers of rows and cells would differ. It is what `COPY` takes, nearly as it is; to say the same as JSON
 * objects costs the owner's database, both processes and the broker several times as much.
 */
export interface Cells {
  readonly columns: readonly CellColumn[]
  readonly rows: string
}

export interface CellColumn {
  readonly field: string
  /** `text`: the cell is the string itself; `json`: it is the value's JSON text. */
  readonly as: 'text' | 'json'
}

export const CELL = '\x7f'
export const ROW = '\x1e'
/** How many columns and what they are, once for all chunks of a backfill: a judge is made once. */
export interface CellsJudge {
  /** The cells of each row; undefined where there are not so many rows, or one is not what the schema wants. */
  read(rows: string, count?: number): readonly (readonly string[])[] | undefined
}

/** Words that say nothing about which values fit. */
const ANNOTATIONS: ReadonlySet<string> = new Set(
  '$schema $id $comment title description default examples deprecated readOnly writeOnly'.split(' '),
)
const PLAIN_OBJECT: ReadonlySet<string> = new Set([...ANNOTATIONS, 'type', 'properties', 'required', 'additionalProperties'])

type Fits = (cell: string) => boolean

/** Judges rows field by field; undefined for a schema that has more to say than that, or wants a field that is no column. */
export function cellsJudge(schema: JsonSchema, columns: readonly CellColumn[]): CellsJudge | undefined {
  const { properties, required = [] } = schema
  if (schema.type !== 'object' || !isObject(properties) || !Array.isArray(required)) return undefined
  if (Object.keys(schema).some((word) => !PLAIN_OBJECT.has(word)) || refers(properties)) return undefined
  const fields = columns.map(({ field }) => field)
  if (required.some((field) => !fields.includes(field)) || fields.some((field) => !Object.hasOwn(properties, field))) return undefined
  const checks: (readonly [number, Fits])[] = columns.flatMap(({ field, as }, i) => {
    const fits = fitsOf(properties[field], as, required.includes(field))
    return fits === undefined ? [] : [[i, fits] as const]
  })
  const width = columns.length
  return {
    read(rows, count) {
      const texts = rows.split(ROW)
      if (count !== undefined && texts.length !== count) return undefined
      const read: string[][] = []
      for (const text of texts) {
        const cells = text.split(CELL)
        if (cells.length !== width) return undefined
        for (const [i, fits] of checks) if (!fits(cells[i] as string)) return undefined
        read.push(cells)
      }
      return read
    },
  }
}

/** The state that a row's cells say. A NULL of a field that may be left out, and may not be null, is left out. */
export function stateOfCells(schema: JsonSchema, columns: readonly CellColumn[], cells: readonly string[]): Record<string, unknown> {
  const properties = isObject(schema.properties) ? schema.properties : {}
  const state: Record<string, unknown> = {}
  for (const [i, { field, as }] of columns.entries()) {
    const cell = cells[i] as string
    if (cell !== NULL_CELL) state[field] = as === 'text' ? cell : jsonOf(cell)
    else if (nullable(properties[field])) state[field] = null
  }
  return state
}

/** What is no JSON stays a text, which no schema of another type accepts. */
function jsonOf(cell: string): unknown {
  try {
    return parseJson(cell, HARD_MAX_BYTES)
  } catch {
    return cell
  }
}

/** Undefined: whatever is in it fits. */
function fitsOf(schema: unknown, as: CellColumn['as'], required: boolean): Fits | undefined {
  const nullFits = !required || nullable(schema)
  const words = isObject(schema) ? Object.keys(schema).filter((word) => !ANNOTATIONS.has(word)) : []
  const only = isObject(schema) && words.length === 1 ? schema.type : undefined
  if (as === 'text' && only === 'string') return nullFits ? undefined : (cell) => cell !== NULL_CELL
  const fits = only === 'boolean' && as === 'json' ? isBoolean : judged(schema, as)
  return (cell) => (cell === NULL_CELL ? nullFits : fits(cell))
}

const isBoolean: Fits = (cell) => cell === 'true' || cell === 'false'

function judged(schema: unknown, as: CellColumn['as']): Fits {
  const validator = validatorOf(schema)
  if (as === 'text') return (cell) => validator.validate(cell) === undefined
  // Short ones are safe, and JSON as they are.
  const asNumber = isAnyInteger(schema)
  return (cell) => (asNumber && SHORT_INTEGER.test(cell)) || validator.validate(jsonOf(cell)) === undefined
}

const SHORT_INTEGER = /^(?:0|-?[1-9]\d{0,14})$/

function isAnyInteger(schema: unknown): boolean {
  if (!isObject(schema) || schema.type !== 'integer') return false
  const { minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER } = schema
  const words = Object.keys(schema).filter((word) => !ANNOTATIONS.has(word) && !['type', 'minimum', 'maximum'].includes(word))
  return words.length === 0 && minimum === Number.MIN_SAFE_INTEGER && maximum === Number.MAX_SAFE_INTEGER
}

function nullable(schema: unknown): boolean {
  return schema === undefined || validatorOf(schema).validate(null) === undefined
}

function validatorOf(schema: unknown): ReturnType<typeof compile> {
  return compile((isObject(schema) ? schema : schema === true ? ANYTHING : NOTHING) as JsonSchema)
}
const ANYTHING: JsonSchema = Object.freeze({})
const NOTHING: JsonSchema = Object.freeze({ not: {} })

/** Whether it points anywhere: such a schema can't be taken out of its document. */
function refers(schema: unknown): boolean {
  if (Array.isArray(schema)) return schema.some(refers)
  return isObject(schema) && Object.entries(schema).some(([word, inner]) => word === '$ref' || word === '$dynamicRef' || refers(inner))
}
