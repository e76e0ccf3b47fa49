import { isObject, type JsonSchema, subschemas } from '@comity/contract'
import { checkedSchema } from '../checked-schema.ts'

/** What says nothing to a validator. */
const ANNOTATIONS = new Set([
  ...['$schema', '$defs', 'definitions', '$comment', 'title', 'description', 'default', 'deprecated', 'readOnly', 'writeOnly', 'examples'],
  ...['contentEncoding', 'contentMediaType', 'contentSchema'],
])
/** Written out; what is larger is generated, or refers to itself many times over. */
const MAX_NODES = 20_000

/**
 * The schema as a validator takes it (with the bound of a text that a costly pattern brings), without annotations, and with every
 * reference replaced by what it leads to. Undefined: too large, written out.
 */
export function resolved(root: JsonSchema, formats: ReadonlySet<string>): unknown {
  const checked = checkedSchema(root)
  const known = new Map<object, { readonly schema: unknown; readonly size: number }>()

  function resolve(schema: unknown): { readonly schema: unknown; readonly size: number } {
    if (!isObject(schema)) return { schema, size: 1 }
    const before = known.get(schema)
    if (before !== undefined) return before
    const { $ref: reference, ...rest } = schema
    const copy: Record<string, unknown> = Object.fromEntries(
      Object.entries(rest).filter(([keyword]) => !ANNOTATIONS.has(keyword) && !keyword.startsWith('x-')),
    )
    if (typeof copy.format === 'string' && !formats.has(copy.format)) delete copy.format
    let size = 1
    const inside = (inner: unknown): unknown => {
      const one = resolve(inner)
      size += one.size
      return one.schema
    }
    for (const { keyword, member, schema: inner } of subschemas(copy)) {
      const holder = copy[keyword]
      if (member === undefined) copy[keyword] = inside(inner)
      else if (Array.isArray(holder)) copy[keyword] = holder.with(Number(member), inside(inner))
      else copy[keyword] = { ...(holder as object), [member]: inside(inner) }
    }
    if (typeof reference === 'string') {
      const target = inside(targetOf(checked, reference))
      copy.allOf = [...(Array.isArray(copy.allOf) ? copy.allOf : []), target]
    }
    const made = { schema: copy, size }
    known.set(schema, made)
    return made
  }

  const whole = resolve(checked)
  return whole.size > MAX_NODES ? undefined : whole.schema
}

/** One hop, with what stands beside the reference there: `dereference` leaves that out. */
function targetOf(root: JsonSchema, reference: string): unknown {
  const steps = reference === '#' ? [] : reference.slice(2).split('/')
  return steps.reduce<unknown>(
    (current, step) => (current as Record<string, unknown>)[decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')],
    root,
  )
}
