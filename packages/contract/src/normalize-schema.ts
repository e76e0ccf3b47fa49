import { InvalidJsonSchema } from './errors.ts'
import type { JsonSchema } from './json-schema.ts'
import { dataPath, isObject, JSON_SCHEMA_DIALECT, KNOWN_KEYWORDS, subschemas } from './json-schema.ts'

export interface NormalizeOptions {
  readonly contract: string
  readonly root: string
  readonly unknownKeywords: 'refuse' | 'drop'
}

const TYPES = ['null', 'boolean', 'object', 'array', 'number', 'integer', 'string']
/** Below these a schema chooses between alternatives; closing an object may be what tells them apart. */
const CHOOSING = ['anyOf', 'oneOf', 'not', 'if', 'contains']
const MAX_DEPTH = 64

/**
 * A schema in the one form that contracts have:
 * - open: `additionalProperties: false` goes, because a reader ignores fields that it does not know (a later version's);
 * - integers lie between ±(2^53 − 1), because beyond them JSON parsers disagree;
 * - no annotations that a validator would not know.
 */
export function normalizeSchema(schema: JsonSchema, options: NormalizeOptions): JsonSchema {
  return normalize(schema, options, options.root, 0, false)
}

function normalize(schema: JsonSchema, options: NormalizeOptions, path: string, depth: number, chosen: boolean): JsonSchema {
  const refuse = (problem: string): never => {
    throw new InvalidJsonSchema({ contract: options.contract, path, problem }, { path })
  }
  if (depth > MAX_DEPTH) refuse(`it is nested more than ${MAX_DEPTH} levels deep`)

  const copy: Record<string, unknown> = {}
  for (const [keyword, value] of Object.entries(schema)) {
    if (keyword === '$schema') {
      if (value !== JSON_SCHEMA_DIALECT && value !== `${JSON_SCHEMA_DIALECT}#`) refuse(`it is written in ${JSON.stringify(value)}`)
    } else if (KNOWN_KEYWORDS.has(keyword)) copy[keyword] = value
    else if (/^\$(?:id|anchor|dynamicRef|dynamicAnchor|recursiveRef|recursiveAnchor|vocabulary)$/.test(keyword))
      refuse(`${keyword} is not supported`)
    else if (options.unknownKeywords === 'refuse' && !keyword.startsWith('x-')) refuse(`there is no keyword ${JSON.stringify(keyword)}`)
  }
  checkShape(copy, refuse)
  if (!chosen) {
    for (const keyword of ['additionalProperties', 'unevaluatedProperties']) if (copy[keyword] === false) delete copy[keyword]
  }
  boundIntegers(copy)

  for (const inner of subschemas(copy)) {
    const { keyword, member } = inner
    if (typeof inner.schema === 'boolean') continue
    const innerPath = dataPath(path, inner)
    if (!isObject(inner.schema)) {
      throw new InvalidJsonSchema(
        { contract: options.contract, path: innerPath, problem: `${keyword} holds something that is not a schema` },
        { path: innerPath },
      )
    }
    const normal = normalize(inner.schema, options, innerPath, depth + 1, chosen || CHOOSING.includes(keyword))
    if (member === undefined) copy[keyword] = normal
    else {
      const holder = copy[keyword]
      copy[keyword] = Array.isArray(holder) ? holder.with(Number(member), normal) : { ...(holder as object), [member]: normal }
    }
  }
  return copy
}

function checkShape(schema: Readonly<Record<string, unknown>>, refuse: (problem: string) => never): void {
  const { type, properties, required, pattern, format } = schema
  if (type !== undefined && ![type].flat().every((name) => TYPES.includes(name as string)))
    refuse(`there is no type ${JSON.stringify(type)}`)
  for (const keyword of ['properties', 'patternProperties', 'dependentSchemas', '$defs', 'definitions']) {
    if (schema[keyword] !== undefined && !isObject(schema[keyword])) refuse(`${keyword} is not an object`)
  }
  for (const keyword of ['allOf', 'anyOf', 'oneOf', 'prefixItems']) {
    if (schema[keyword] !== undefined && !Array.isArray(schema[keyword])) refuse(`${keyword} is not a list`)
  }
  if (required !== undefined && !(Array.isArray(required) && required.every((name) => typeof name === 'string')))
    refuse('required is not a list of names')
  if (pattern !== undefined && typeof pattern !== 'string') refuse('pattern is not a text')
  if (format !== undefined && typeof format !== 'string') refuse('format is not a text')
  for (const name of Object.keys((properties ?? {}) as object)) {
    if (name === '' || name === '__proto__' || !name.isWellFormed() || /\p{Cc}/u.test(name))
      refuse(`there cannot be a field ${JSON.stringify(name)}`)
  }
}

function boundIntegers(schema: Record<string, unknown>): void {
  const types = [schema.type].flat()
  if (!types.includes('integer') || types.includes('number')) return
  const { minimum, maximum } = schema
  schema.minimum = typeof minimum === 'number' ? Math.max(minimum, Number.MIN_SAFE_INTEGER) : Number.MIN_SAFE_INTEGER
  schema.maximum = typeof maximum === 'number' ? Math.min(maximum, Number.MAX_SAFE_INTEGER) : Number.MAX_SAFE_INTEGER
}
