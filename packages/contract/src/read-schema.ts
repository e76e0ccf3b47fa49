import { checkReferences } from './check-references.ts'
import { InvalidJsonSchema, SchemaChangesValue, SchemaNotJson, SchemaNotObject, SchemaWithoutJsonSchema } from './errors.ts'
import type { JsonSchema } from './json-schema.ts'
import { isObject, JSON_SCHEMA_DIALECT } from './json-schema.ts'
import { normalizeSchema } from './normalize-schema.ts'
import { differenceOf } from './schema-difference.ts'
import type { StandardJsonSchema } from './standard-schema.ts'
import { OWN_VENDOR } from './standard-schema.ts'
import { findChange, findUnrepresentable } from './zod-definition.ts'

/** A schema as text; what is larger is generated or hostile. */
const MAX_SCHEMA_CHARACTERS = 262_144

/**
 * The JSON Schema of a contract, from whatever the user gave: exported, proven to be the same for input and output,
 * one open object, local and finite, deeply frozen.
 * @param root `state` or `data`, the first word of paths in errors
 */
export function readSchema(contract: string, source: unknown, root: string): JsonSchema {
  const standard = standardOf(source)
  const vendor = standard?.['~standard'].vendor
  const exported = standard === undefined ? plain(contract, source, root) : exportSchema(contract, standard, root)
  const text = toJson(contract, exported, root)
  if (text.length > MAX_SCHEMA_CHARACTERS) {
    throw new InvalidJsonSchema(
      { contract, path: root, problem: `it is ${text.length} characters long` },
      { limit: `${MAX_SCHEMA_CHARACTERS} characters` },
    )
  }
  const schema = normalizeSchema(JSON.parse(text) as JsonSchema, {
    contract,
    root,
    // A library's extra keywords are annotations (zod's .meta); in hand-written JSON Schema they are misspellings.
    unknownKeywords: vendor === undefined || vendor === OWN_VENDOR ? 'refuse' : 'drop',
  })
  checkReferences(contract, schema, root)
  checkObject(contract, schema)
  return deepFreeze({ $schema: JSON_SCHEMA_DIALECT, ...schema })
}

function standardOf(source: unknown): StandardJsonSchema | undefined {
  if (source === null || (typeof source !== 'object' && typeof source !== 'function')) return undefined
  return '~standard' in source && isObject(source['~standard']) ? (source as StandardJsonSchema) : undefined
}

function plain(contract: string, source: unknown, root: string): JsonSchema {
  if (isObject(source) && !('~standard' in source)) return source
  throw new InvalidJsonSchema(
    { contract, path: root, problem: source === undefined ? 'there is none' : 'it is not a schema' },
    { path: root },
  )
}

function exportSchema(contract: string, standard: StandardJsonSchema, root: string): JsonSchema {
  const { vendor, jsonSchema } = standard['~standard']
  if (typeof jsonSchema?.input !== 'function') throw new SchemaWithoutJsonSchema({ contract, vendor: String(vendor) }, { path: root })
  const change = findChange(standard, root)
  if (change !== undefined) throw new SchemaChangesValue({ contract, ...change }, { path: change.path })
  let input: JsonSchema
  let output: JsonSchema
  try {
    input = jsonSchema.input({ target: 'draft-2020-12' })
    output = jsonSchema.output({ target: 'draft-2020-12' })
  } catch (cause) {
    const path = findUnrepresentable(standard, root)
    throw new SchemaNotJson({ contract, path, problem: cause instanceof Error ? cause.message : String(cause) }, { path, cause })
  }
  const difference = differenceOf(input, output, root)
  if (difference !== undefined) throw new SchemaChangesValue({ contract, ...difference }, { path: difference.path })
  return input
}

function toJson(contract: string, schema: JsonSchema, path: string): string {
  try {
    return JSON.stringify(schema)
  } catch (cause) {
    throw new InvalidJsonSchema({ contract, path, problem: 'it is not JSON (a cycle or a BigInt inside)' }, { path, cause })
  }
}

function checkObject(contract: string, schema: JsonSchema): void {
  const refuse = (problem: string): never => {
    throw new SchemaNotObject({ contract, problem })
  }
  const type = schema.type
  if (type !== 'object')
    refuse(type === undefined ? 'it has no type' : `its type is ${Array.isArray(type) ? type.join(' or ') : String(type)}`)
  const properties = schema.properties
  if (!isObject(properties) || Object.keys(properties).length === 0) refuse('it names no fields')
}

function deepFreeze<T>(value: T): T {
  if (value !== null && typeof value === 'object') {
    for (const inner of Object.values(value)) deepFreeze(inner)
    Object.freeze(value)
  }
  return value
}
