import { dereference, isObject, type JsonSchema } from '@comity/contract'

/** What a field is on the wire, as far as types of columns depend on it. */
export interface FieldType {
  /** `any`: an object, a mixture, or not said. */
  readonly kind: 'boolean' | 'integer' | 'number' | 'string' | 'array' | 'any'
  readonly nullable: boolean
  /** JSON Schema's `format` of a string. */
  readonly format?: string
  /** Of an array, where they are all alike. */
  readonly items?: FieldType
}

type Kind = 'null' | 'boolean' | 'integer' | 'number' | 'string' | 'array' | 'object'
const ALL: readonly Kind[] = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object']

interface Found {
  readonly kinds: ReadonlySet<Kind>
  readonly formats: ReadonlySet<string>
  readonly items: readonly unknown[]
}

/** @param root the schema that local references (`#/$defs/…`) of `schema` point into */
export function fieldType(schema: unknown, root: JsonSchema = isObject(schema) ? schema : {}): FieldType {
  const { kinds, formats, items } = find(schema, root, 0)
  const nullable = kinds.has('null')
  const others = [...kinds].filter((kind) => kind !== 'null' && !(kind === 'integer' && kinds.has('number')))
  const only = others.length === 1 ? others[0] : undefined
  if (only === 'string') return { kind: 'string', nullable, ...(formats.size === 1 ? { format: [...formats][0] as string } : {}) }
  if (only === 'array') return { kind: 'array', nullable, ...(items.length === 1 ? { items: fieldType(items[0], root) } : {}) }
  if (only === 'boolean' || only === 'integer' || only === 'number') return { kind: only, nullable }
  return { kind: 'any', nullable }
}

/** In words, for errors: `a string (uuid)`. */
export function describeFieldType(type: FieldType): string {
  const article = type.kind === 'array' || type.kind === 'any' || type.kind === 'integer' ? 'an' : 'a'
  if (type.kind === 'any') return 'any JSON'
  if (type.kind === 'array' && type.items !== undefined && type.items.kind !== 'any') return `an array of ${type.items.kind}s`
  return `${article} ${type.kind}${type.format === undefined ? '' : ` (${type.format})`}`
}

function find(given: unknown, root: JsonSchema, depth: number): Found {
  const schema = depth > 32 ? undefined : dereference(root, given)
  if (schema === undefined) return { kinds: new Set(given === false ? [] : ALL), formats: new Set(), items: [] }
  let kinds = new Set<Kind>(ALL)
  const formats = new Set<string>()
  const items: unknown[] = []
  const narrow = (allowed: Iterable<Kind>): void => {
    const set = new Set(allowed)
    kinds = new Set([...kinds].filter((kind) => set.has(kind) || (kind === 'integer' && set.has('number'))))
  }
  const take = (found: Found): void => {
    for (const format of found.formats) formats.add(format)
    items.push(...found.items)
  }
  if (schema.type !== undefined) narrow([schema.type].flat() as Kind[])
  if (Array.isArray(schema.enum)) narrow(schema.enum.map(kindOf))
  if ('const' in schema) narrow([kindOf(schema.const)])
  if (typeof schema.format === 'string') formats.add(schema.format)
  if (schema.items !== undefined && schema.prefixItems === undefined) items.push(schema.items)
  for (const word of ['anyOf', 'oneOf']) {
    const branches = schema[word]
    if (!Array.isArray(branches)) continue
    const found = branches.map((branch) => find(branch, root, depth + 1))
    narrow(found.flatMap((branch) => [...branch.kinds]))
    // A string without a format beside one with a format may be anything.
    const strings = found.filter((branch) => branch.kinds.has('string'))
    const formatted = strings.every((branch) => branch.formats.size > 0)
    for (const branch of found) take({ ...branch, formats: formatted ? branch.formats : new Set() })
  }
  for (const part of Array.isArray(schema.allOf) ? schema.allOf : []) {
    const found = find(part, root, depth + 1)
    narrow(found.kinds)
    take(found)
  }
  return { kinds, formats, items }
}

function kindOf(value: unknown): Kind {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  return typeof value as Kind
}
