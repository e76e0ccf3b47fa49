import { isObject } from './json-schema.ts'
import type { SchemaDifference } from './schema-difference.ts'

/**
 * What zod 4 knows and its JSON Schema does not tell: coercion, `.trim()`, `.catch()`, a preprocess that keeps the type, and at
 * which field an export failed. Reads `_zod.def`, which zod documents for library authors (https://zod.dev/library-authors);
 * on any other vendor's schema these functions find nothing.
 */
interface Definition {
  readonly type?: unknown
  readonly coerce?: unknown
  readonly transform?: unknown
  readonly checks?: unknown
  readonly [name: string]: unknown
}

const CHANGING: Readonly<Record<string, string>> = {
  transform: 'it is transformed',
  catch: 'it is replaced when it is wrong (catch)',
  default: 'it has a default',
  prefault: 'it has a default',
  file: 'a file is not JSON',
}

/** The first place where a zod schema changes what goes through it. */
export function findChange(schema: unknown, root: string): SchemaDifference | undefined {
  return search(schema, root, new Set(), (definition, path) => {
    if (definition.coerce === true) return { path, problem: 'it is coerced' }
    const problem = CHANGING[String(definition.type)]
    if (problem !== undefined) return { path, problem }
    if (typeof definition.transform === 'function') return { path, problem: 'it is transformed' }
    for (const check of Array.isArray(definition.checks) ? definition.checks : []) {
      if (definitionOf(check)?.check === 'overwrite') return { path, problem: 'it is rewritten (trim, toLowerCase, normalize, overwrite)' }
    }
    return undefined
  })
}

/** The path of the innermost part of a zod schema that cannot be exported; the root if that is unknown. */
export function findUnrepresentable(schema: unknown, root: string): string {
  let deepest = root
  search(schema, root, new Set(), (_, path, inner) => {
    const standard = isObject(inner) && isObject(inner['~standard']) ? inner['~standard'] : {}
    const converter = isObject(standard.jsonSchema) ? standard.jsonSchema : {}
    if (path.length <= deepest.length || !path.startsWith(deepest)) return undefined
    try {
      for (const direction of ['input', 'output']) (converter[direction] as (options: object) => unknown)?.({ target: 'draft-2020-12' })
    } catch {
      deepest = path
    }
    return undefined
  })
  return deepest
}

type Visitor<Found> = (definition: Definition, path: string, schema: unknown) => Found | undefined

function search<Found>(schema: unknown, path: string, seen: Set<unknown>, visit: Visitor<Found>): Found | undefined {
  const definition = definitionOf(schema)
  if (definition === undefined || seen.has(schema)) return undefined
  seen.add(schema)
  const found = visit(definition, path, schema)
  if (found !== undefined) return found
  for (const [inner, innerPath] of inside(definition, path)) {
    const deeper = search(inner, innerPath, seen, visit)
    if (deeper !== undefined) return deeper
  }
  return undefined
}

function* inside(definition: Definition, path: string): Generator<[unknown, string]> {
  for (const [name, value] of Object.entries(definition)) {
    if (name === 'shape' && isObject(value)) {
      for (const field of Object.keys(value)) yield [value[field], `${path}.${field}`]
    } else if (name === 'getter' && typeof value === 'function') yield [(value as () => unknown)(), path]
    else if (Array.isArray(value)) for (const item of value) yield [item, name === 'items' ? `${path}[]` : path]
    else yield [value, name === 'element' ? `${path}[]` : name === 'valueType' ? `${path}.*` : path]
  }
}

function definitionOf(schema: unknown): Definition | undefined {
  if (schema === null || (typeof schema !== 'object' && typeof schema !== 'function') || !('_zod' in schema)) return undefined
  const internals = schema._zod
  return isObject(internals) && isObject(internals.def) ? internals.def : undefined
}
