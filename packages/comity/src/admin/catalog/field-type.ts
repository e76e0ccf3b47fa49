import { isObject } from '@comity/contract'

/** The type of a field as short as it can be said: `string (email) | null`, `integer`, `one of 3`, `array of string`. */
export function fieldType(schema: unknown, root: unknown = schema): string {
  if (!isObject(schema)) return 'any'
  const { type, format, enum: values, const: only, items, $ref: ref } = schema
  if (typeof ref === 'string') return fieldType(resolved(ref, root), root)
  const several = [schema.anyOf, schema.oneOf].find(Array.isArray) as readonly unknown[] | undefined
  if (several !== undefined) return [...new Set(several.map((one) => fieldType(one, root)))].sort(nullLast).join(' | ')
  if (only !== undefined) return `only ${JSON.stringify(only)}`
  if (Array.isArray(values)) return `one of ${values.length}`
  const types = Array.isArray(type) ? [...(type as readonly string[])] : typeof type === 'string' ? [type] : ['any']
  return types
    .map((one) => {
      if (one === 'array') return `array of ${fieldType(items, root)}`
      return one === 'string' && typeof format === 'string' ? `string (${format})` : one
    })
    .sort(nullLast)
    .join(' | ')
}

/** Contracts are finite and local, so this ends. */
function resolved(ref: string, root: unknown): unknown {
  return ref
    .split('/')
    .slice(1)
    .reduce<unknown>((at, part) => (isObject(at) ? at[part.replaceAll('~1', '/').replaceAll('~0', '~')] : undefined), root)
}

function nullLast(a: string, b: string): number {
  return a === 'null' ? 1 : b === 'null' ? -1 : a < b ? -1 : 1
}
