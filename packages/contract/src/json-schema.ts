/** JSON as `JSON.parse` gives it. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [name: string]: JsonValue }

/** A JSON Schema of draft 2020-12 (the object form; `true` and `false` occur only inside). */
export interface JsonSchema {
  readonly [keyword: string]: unknown
}

export const JSON_SCHEMA_DIALECT = 'https://json-schema.org/draft/2020-12/schema'

/** Keywords whose value is one schema, a list of schemas, or a map from names to schemas. */
const ONE = [
  'additionalProperties',
  'items',
  'contains',
  'not',
  'if',
  'then',
  'else',
  'propertyNames',
  'unevaluatedItems',
  'unevaluatedProperties',
  'contentSchema',
]
const LIST = ['prefixItems', 'allOf', 'anyOf', 'oneOf']
const MAP = ['properties', 'patternProperties', 'dependentSchemas', '$defs', 'definitions']

const VALUE = [
  '$schema',
  '$ref',
  '$comment',
  'type',
  'enum',
  'const',
  'multipleOf',
  'maximum',
  'exclusiveMaximum',
  'minimum',
  'exclusiveMinimum',
  'maxLength',
  'minLength',
  'pattern',
  'maxItems',
  'minItems',
  'uniqueItems',
  'maxContains',
  'minContains',
  'maxProperties',
  'minProperties',
  'required',
  'dependentRequired',
  'format',
  'contentEncoding',
  'contentMediaType',
  'title',
  'description',
  'default',
  'deprecated',
  'readOnly',
  'writeOnly',
  'examples',
]

/** Every keyword that a contract's schema may use; `$id`, anchors and dynamic references are not among them. */
export const KNOWN_KEYWORDS: ReadonlySet<string> = new Set([...ONE, ...LIST, ...MAP, ...VALUE])

export interface Subschema {
  readonly keyword: string
  /** The name or index below the keyword; undefined where the keyword's value is itself the schema. */
  readonly member: string | undefined
  readonly schema: unknown
}

/** The schemas directly inside a schema; what lies in `const`, `enum`, `default` and `examples` is data, not schema. */
export function subschemas(schema: JsonSchema): Subschema[] {
  const found: Subschema[] = []
  for (const [keyword, value] of Object.entries(schema)) {
    if (ONE.includes(keyword)) found.push({ keyword, member: undefined, schema: value })
    else if (LIST.includes(keyword) && Array.isArray(value)) {
      for (const [index, item] of value.entries()) found.push({ keyword, member: String(index), schema: item })
    } else if (MAP.includes(keyword) && isObject(value)) {
      for (const [member, item] of Object.entries(value)) found.push({ keyword, member, schema: item })
    }
  }
  return found
}

/** The path in the *data* that a subschema speaks of: `state` → `state.email`, `state[]`, `state.*`. */
export function dataPath(path: string, { keyword, member }: Subschema): string {
  if (keyword === 'properties' || keyword === 'dependentSchemas') return `${path}.${member}`
  if (keyword === 'items' || keyword === 'prefixItems' || keyword === 'contains' || keyword === 'unevaluatedItems')
    return `${path}[${member ?? ''}]`
  if (keyword === 'additionalProperties' || keyword === 'patternProperties' || keyword === 'unevaluatedProperties') return `${path}.*`
  if (keyword === '$defs' || keyword === 'definitions') return `#/${keyword}/${member}`
  return path
}

/** Follows local references (`#/$defs/…`) to the schema they name; undefined if there is none. */
export function dereference(root: JsonSchema, schema: unknown): JsonSchema | undefined {
  let current = schema
  for (let hops = 0; hops < 64 && isObject(current); hops++) {
    if (typeof current.$ref !== 'string') return current
    current = resolveReference(root, current.$ref)
  }
  return undefined
}

/** The schema at a local JSON pointer reference (RFC 6901 in a URI fragment); undefined if there is none. */
export function resolveReference(root: JsonSchema, reference: string): unknown {
  if (reference === '#') return root
  if (!reference.startsWith('#/')) return undefined
  let current: unknown = root
  for (const part of reference.slice(2).split('/')) {
    const name = unescapePointer(part)
    if (current === null || typeof current !== 'object' || !Object.hasOwn(current, name)) return undefined
    current = (current as Record<string, unknown>)[name]
  }
  return current
}

function unescapePointer(part: string): string {
  try {
    return decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')
  } catch {
    return part
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}
