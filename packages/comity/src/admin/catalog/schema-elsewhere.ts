import { isObject, type JsonSchema } from '@comity/contract'

/** Their values are data, whatever they look like. */
const DATA: ReadonlySet<string> = new Set(['const', 'enum', 'default', 'examples'])

/**
 * A contract's schema as part of another document, in the dialect of JSON Schema that AsyncAPI takes (draft 07): each definition moves out, since a
 * reference there is resolved from the root of the whole document. Answers the schema under `name`, its definitions under `name.definition`.
 */
export function schemaElsewhere(name: string, schema: JsonSchema, at: (name: string) => string): Readonly<Record<string, JsonSchema>> {
  const { $schema: _, $defs, definitions, ...rest } = schema as Readonly<Record<string, unknown>>
  const inner = { ...(isObject(definitions) ? definitions : {}), ...(isObject($defs) ? $defs : {}) }

  function moved(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(moved)
    if (!isObject(value)) return value
    const { prefixItems, items, ...others } = value
    const tuple = Array.isArray(prefixItems)
    return Object.fromEntries([
      ...Object.entries(others).map(([keyword, part]) => {
        if (keyword === '$ref' && typeof part === 'string') return [keyword, referenceTo(part)]
        return [keyword, DATA.has(keyword) ? part : moved(part)]
      }),
      ...(tuple ? [['items', moved(prefixItems)]] : items === undefined ? [] : [['items', moved(items)]]),
      ...(tuple && items !== undefined ? [['additionalItems', moved(items)]] : []),
    ])
  }
  function referenceTo(reference: string): string {
    const [, , definition, ...deeper] = reference.split('/')
    if (definition === undefined) return at(name)
    // Into the properties of the contract itself.
    if (!/^#\/(\$defs|definitions)\//.test(reference)) return `${at(name)}${reference.slice(1)}`
    return [at(partName(name, definition)), ...deeper].join('/')
  }
  return Object.fromEntries([
    [name, moved(rest)],
    ...Object.entries(inner).map(([definition, part]) => [partName(name, definition), moved(part)]),
  ])
}

/** AsyncAPI's names are of letters, digits, `.`, `-` and `_`. */
function partName(name: string, definition: string): string {
  return `${name}.${definition.replace(/[^\w.-]/g, '_')}`
}
