import { dereference, isObject, type JsonSchema } from '@comity/contract'

/** Deeper than this nobody reads; and what another team sends need not end. */
const DEEPEST = 5

/** The type of a field as short as it can be said: `string (email) | null`, `integer`, `one of 3`, `array of string`. */
export function fieldType(field: unknown, root: JsonSchema, depth = 0): string {
  const schema = dereference(root, field)
  if (schema === undefined || depth > DEEPEST) return 'any'
  const { type, format, enum: values, items } = schema as Readonly<Record<string, unknown>>
  const several = [schema.anyOf, schema.oneOf].find(Array.isArray) as readonly unknown[] | undefined
  if (several !== undefined) return joined(several.map((one) => fieldType(one, root, depth + 1)))
  if (schema.const !== undefined) return `only ${JSON.stringify(schema.const)}`
  if (Array.isArray(values)) return `one of ${values.length}`
  const types = Array.isArray(type) ? (type as readonly string[]) : typeof type === 'string' ? [type] : ['any']
  return joined(
    types.map((one) => {
      if (one === 'array') return `array of ${isObject(items) ? fieldType(items, root, depth + 1) : 'any'}`
      return one === 'string' && typeof format === 'string' ? `string (${format})` : one
    }),
  )
}

function joined(types: readonly string[]): string {
  const named = [...new Set(types)].filter((type) => type !== 'null').sort()
  return [...named, ...(types.includes('null') ? ['null'] : [])].join(' | ')
}
