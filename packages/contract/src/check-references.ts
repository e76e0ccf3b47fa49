import { UnsupportedReference } from './errors.ts'
import type { JsonSchema } from './json-schema.ts'
import { dataPath, isObject, resolveReference, subschemas } from './json-schema.ts'

/**
 * Refuses references that leave the schema, lead nowhere, or lead back to a schema they lie in. A depth-first search
 * that visits each schema once, so that a nest of references (a "schema bomb") costs nothing.
 */
export function checkReferences(contract: string, root: JsonSchema, path: string): void {
  const open = new Set<object>()
  const done = new Set<object>()

  function visit(schema: unknown, at: string): void {
    if (!isObject(schema) || done.has(schema)) return
    open.add(schema)
    const reference = schema.$ref
    if (reference !== undefined) follow(reference, at)
    for (const inner of subschemas(schema)) visit(inner.schema, dataPath(at, inner))
    open.delete(schema)
    done.add(schema)
  }

  function follow(reference: unknown, at: string): void {
    const refusal = (problem: string): Error => new UnsupportedReference({ contract, path: at, problem }, { path: at })
    if (typeof reference !== 'string') throw refusal('the reference is not a text')
    if (!reference.startsWith('#')) throw refusal(`${JSON.stringify(reference)} is another document`)
    const target = resolveReference(root, reference)
    if (target === undefined) throw refusal(`${JSON.stringify(reference)} leads nowhere`)
    if (isObject(target) && open.has(target)) throw refusal(`${JSON.stringify(reference)} leads back to itself`)
    visit(target, at)
  }

  visit(root, path)
}
