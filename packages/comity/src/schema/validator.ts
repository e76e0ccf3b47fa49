import type { JsonSchema } from '@comity/contract'
import { subschemas } from '@comity/contract'
import type { AnySchemaObject, ErrorObject, ValidateFunction } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { checkedSchema } from './checked-schema.ts'
import { PatternBacktracks, SchemaCannotBeUsed } from './errors.ts'
import { FORMATS } from './formats.ts'

export interface Validator {
  /** The first problem, or undefined. Neither path nor message contains anything of the value. */
  validate(value: unknown): Problem | undefined
}
export interface Problem {
  /** Where, as in the schema: `email`, `lines[2].sku`; names that the schema does not know are `*`; the whole is `the data`. */
  readonly path: string
  readonly message: string
}

/** One for all: it takes 20 ms to make, above all for the schema of schemas. */
let shared: Ajv2020 | undefined

function theAjv(): Ajv2020 {
  if (shared === undefined) {
    shared = new Ajv2020({ strict: true, strictTuples: false, allowUnionTypes: true, ownProperties: true, logger: false })
    addFormats.default(shared, [...FORMATS])
  }
  return shared
}

/** For parts of schemas: strict mode asks for types beside what belongs to them. */
let lenient: Ajv2020 | undefined

/**
 * Whether a schema takes a value, for parts of schemas that were checked as a whole. It has no references, and no formats but those
 * that are checked.
 */
export function acceptor(schema: JsonSchema): (value: unknown) => boolean {
  if (lenient === undefined) {
    lenient = new Ajv2020({ strict: false, ownProperties: true, logger: false, addUsedSchema: false })
    addFormats.default(lenient, [...FORMATS])
  }
  const own = { ...schema } as AnySchemaObject
  const validate = lenient.compile(own)
  lenient.removeSchema(own)
  return (value) => validate(value) as boolean
}

const compiled = new WeakMap<JsonSchema, Validator>()

/**
 * A validator by Ajv in strict mode. Contracts are frozen and few, so a validator is made once per schema object.
 * Refuses a schema that is no JSON Schema, refers to another document, or holds a pattern that backtracks.
 */
export function compile(schema: JsonSchema): Validator {
  const known = compiled.get(schema)
  if (known !== undefined) return known
  const validator = make(schema)
  compiled.set(schema, validator)
  return validator
}

function make(schema: JsonSchema): Validator {
  const names = new Set<string>()
  const formats = new Set<string>()
  collect(schema, names, formats)
  const ajv = theAjv()
  for (const format of formats) if (ajv.formats[format] === undefined) ajv.addFormat(format, true)

  let validate: ValidateFunction
  try {
    const checked = checkedSchema(schema) as AnySchemaObject
    validate = ajv.compile(checked)
    ajv.removeSchema(checked)
  } catch (cause) {
    if (cause instanceof PatternBacktracks || cause instanceof SchemaCannotBeUsed) throw cause
    throw new SchemaCannotBeUsed({ path: 'the schema', problem: cause instanceof Error ? cause.message : String(cause) }, { cause })
  }
  return Object.freeze({
    validate(value: unknown): Problem | undefined {
      try {
        if (validate(value)) return undefined
      } catch (error) {
        // The engine of regular expressions keeps a stack of its own, which a text of megabytes can fill.
        if (error instanceof RangeError) return { path: 'the data', message: 'contains a text that is too long for its pattern' }
        throw error
      }
      return problemOf(validate.errors ?? [], names)
    },
  })
}

function collect(schema: unknown, names: Set<string>, formats: Set<string>): void {
  if (schema === null || typeof schema !== 'object') return
  const { format } = schema as JsonSchema
  if (typeof format === 'string') formats.add(format)
  for (const inner of subschemas(schema as JsonSchema)) {
    if (inner.keyword === 'properties' && inner.member !== undefined) names.add(inner.member)
    collect(inner.schema, names, formats)
  }
}

/** Of the errors of alternatives the one that got furthest says most; a wrong `kind` only says that another was meant. */
function problemOf(errors: readonly ErrorObject[], names: ReadonlySet<string>): Problem {
  const rank = ({ instancePath, keyword }: ErrorObject): number =>
    instancePath.split('/').length - (keyword === 'const' || keyword === 'enum' ? 0.5 : 0)
  const best = errors.reduce<ErrorObject | undefined>(
    (before, error) => (before === undefined || rank(error) >= rank(before) ? error : before),
    undefined,
  )
  if (best === undefined) return { path: 'the data', message: 'is invalid' }
  return { path: pathOf(best.instancePath, names), message: messageOf(best) }
}

function pathOf(pointer: string, names: ReadonlySet<string>): string {
  let path = ''
  for (const part of pointer.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~')
    // A name that the schema does not declare is data: the keys of a record can be mail addresses.
    if (names.has(name)) path += path === '' ? name : `.${name}`
    else path += /^\d+$/.test(name) ? `[${name}]` : path === '' ? '*' : '.*'
  }
  return path === '' ? 'the data' : path
}

function messageOf({ keyword, message, params }: ErrorObject): string {
  if (keyword === 'propertyNames') return 'has a property whose name is not allowed'
  if (keyword === 'additionalProperties' || keyword === 'unevaluatedProperties') return 'has a property that is not allowed'
  if (keyword === 'uniqueItems') return 'must not have the same item twice'
  if (keyword === 'type' && Array.isArray(params.type)) return `must be ${params.type.join(' or ')}`
  return message ?? 'is invalid'
}
