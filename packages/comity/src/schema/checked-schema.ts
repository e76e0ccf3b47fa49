import type { JsonSchema } from '@comity/contract'
import { dataPath, dereference, isObject, subschemas } from '@comity/contract'
import { PatternBacktracks, SchemaCannotBeUsed } from './errors.ts'
import { HARD_MAX_BYTES } from './json-guard.ts'
import { patternCost } from './pattern-cost.ts'

/**
 * The schema as Ajv gets it: without references to other documents, and with every pattern either harmless on any text
 * or bounded by a `maxLength`, which Ajv looks at before the pattern.
 */
export function checkedSchema(root: JsonSchema): JsonSchema {
  return check(root, root, 'the data')
}

function check(schema: JsonSchema, root: JsonSchema, path: string): JsonSchema {
  const copy: Record<string, unknown> = { ...schema }
  const { $ref: reference, pattern, maxLength, patternProperties } = schema
  if (reference !== undefined && dereference(root, schema) === undefined) {
    throw new SchemaCannotBeUsed({ path, problem: 'a reference does not lead to a schema of the same document' }, { path })
  }
  if (typeof pattern === 'string') {
    const bound = lengthFor(pattern, path)
    if (bound < HARD_MAX_BYTES) copy.maxLength = typeof maxLength === 'number' ? Math.min(maxLength, bound) : bound
  }
  for (const name of Object.keys(isObject(patternProperties) ? patternProperties : {})) {
    if (lengthFor(name, path) < HARD_MAX_BYTES)
      refuse(name, path, 'for the names of properties its time must grow no faster than the length of a name')
  }
  for (const inner of subschemas(schema)) {
    if (!isObject(inner.schema)) continue
    const { keyword, member } = inner
    const checked = check(inner.schema, root, dataPath(path, inner))
    if (member === undefined) copy[keyword] = checked
    else {
      const holder = copy[keyword]
      copy[keyword] = Array.isArray(holder) ? holder.with(Number(member), checked) : { ...(holder as object), [member]: checked }
    }
  }
  return copy
}

function lengthFor(pattern: string, path: string): number {
  try {
    new RegExp(pattern, 'u')
  } catch (cause) {
    throw new SchemaCannotBeUsed({ path, problem: cause instanceof Error ? cause.message : String(cause) }, { path, cause })
  }
  const cost = patternCost(pattern)
  return 'problem' in cost ? refuse(pattern, path, cost.problem) : cost.maxLength
}

function refuse(pattern: string, path: string, problem: string): never {
  throw new PatternBacktracks({ path, pattern: pattern.length > 120 ? `${pattern.slice(0, 120)}…` : pattern, problem }, { path })
}
