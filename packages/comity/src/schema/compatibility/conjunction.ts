import { isObject, type JsonSchema } from '@comity/contract'

/** What has to hold of a value, all of it: a schema taken apart, `allOf` and all. Empty: anything goes. */
export type Conjunction = readonly Part[]

/** Keywords that only mean something together. */
export interface Part {
  readonly group: Group
  readonly schema: JsonSchema
  /** Equal texts mean the same. */
  readonly text: string
}

const GROUPS = {
  type: ['type'],
  enum: ['enum'],
  const: ['const'],
  minimum: ['minimum'],
  exclusiveMinimum: ['exclusiveMinimum'],
  maximum: ['maximum'],
  exclusiveMaximum: ['exclusiveMaximum'],
  multipleOf: ['multipleOf'],
  minLength: ['minLength'],
  maxLength: ['maxLength'],
  pattern: ['pattern'],
  format: ['format'],
  properties: ['properties', 'patternProperties', 'additionalProperties'],
  required: ['required'],
  dependentRequired: ['dependentRequired'],
  dependentSchemas: ['dependentSchemas'],
  propertyNames: ['propertyNames'],
  minProperties: ['minProperties'],
  maxProperties: ['maxProperties'],
  items: ['prefixItems', 'items'],
  minItems: ['minItems'],
  maxItems: ['maxItems'],
  uniqueItems: ['uniqueItems'],
  contains: ['contains', 'minContains', 'maxContains'],
  anyOf: ['anyOf'],
  oneOf: ['oneOf'],
  not: ['not'],
  if: ['if', 'then', 'else'],
} as const

/** `unevaluated`: the whole schema, whose other keywords decide what is evaluated. `nothing`: the schema `false`. */
export type Group = keyof typeof GROUPS | 'unevaluated' | 'nothing'

/** @param schema without references: see {@link resolved} */
export function conjunctionOf(schema: unknown): Conjunction {
  if (schema === false) return [NOTHING]
  if (!isObject(schema)) return []
  const parts: Part[] = []
  for (const [group, keywords] of Object.entries(GROUPS) as [Group, readonly string[]][]) {
    const own = keywords.filter((keyword) => schema[keyword] !== undefined)
    if (own.length > 0) parts.push(part(group, Object.fromEntries(own.map((keyword) => [keyword, schema[keyword]]))))
  }
  if (Array.isArray(schema.allOf)) parts.push(...schema.allOf.flatMap(conjunctionOf))
  if (schema.unevaluatedProperties !== undefined || schema.unevaluatedItems !== undefined) parts.push(part('unevaluated', schema))
  return parts
}

export function part(group: Group, schema: JsonSchema): Part {
  return { group, schema, text: canonical(schema) }
}

/** What all parts of one group say. */
export function sayings<T>(conjunction: Conjunction, keyword: string): readonly T[] {
  return conjunction.flatMap(({ group, schema }) =>
    group !== 'unevaluated' && schema[keyword] !== undefined ? [schema[keyword] as T] : [],
  )
}

export function partsOf(conjunction: Conjunction, group: Group): Conjunction {
  return conjunction.filter((one) => one.group === group)
}

/** The tightest of what is said, or undefined. */
export function most(conjunction: Conjunction, keyword: string): number | undefined {
  const said = sayings<number>(conjunction, keyword)
  return said.length === 0 ? undefined : Math.max(...said)
}
export function least(conjunction: Conjunction, keyword: string): number | undefined {
  const said = sayings<number>(conjunction, keyword)
  return said.length === 0 ? undefined : Math.min(...said)
}

export function requiredOf(conjunction: Conjunction): ReadonlySet<string> {
  return new Set(sayings<readonly string[]>(conjunction, 'required').flat())
}

/** Names in `required`, `type` and `enum` are sets; elsewhere, and in data (`const`, the values of `enum`), the order of a list counts. */
function canonical(value: unknown, keyword = '', isData = false): string {
  if (Array.isArray(value)) {
    const items = value.map((item) => canonical(item, '', isData || keyword === 'enum'))
    return `[${(!isData && SETS.has(keyword) ? items.sort() : items).join()}]`
  }
  if (!isObject(value)) return JSON.stringify(value) ?? ''
  const names = Object.keys(value).sort()
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name], name, isData || name === 'const')}`).join()}}`
}

const SETS = new Set(['required', 'type', 'enum'])

/** The schema `false`. */
export const NOTHING: Part = part('nothing', { not: {} })
