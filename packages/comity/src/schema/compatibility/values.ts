import { accepts } from './acceptance.ts'
import { type Conjunction, type Part, sayings } from './conjunction.ts'
import { type Refusal, refusal, shown, shownList } from './refusal.ts'
import { typesOf } from './types.ts'

/** The values that a conjunction allows, where they can be listed: of `enum` and `const`, null, booleans. */
export function valuesOf(conjunction: Conjunction): readonly unknown[] | undefined {
  const lists = [...sayings<readonly unknown[]>(conjunction, 'enum'), ...sayings<unknown>(conjunction, 'const').map((value) => [value])]
  const types = typesOf(conjunction)
  if (types.every((type) => type === 'null' || type === 'boolean'))
    lists.push(types.flatMap((type) => (type === 'null' ? [null] : [true, false])))
  const shortest = [...lists].sort((a, b) => a.length - b.length)[0]
  return shortest?.filter((value) => conjunction.every((one) => accepts(one, value)))
}

/** Enums and constants, by trying every value. */
export function valueRefusals(values: readonly unknown[], asked: Conjunction, path: string): readonly Refusal[] {
  const refused = values.filter((value) => !asked.every((one) => accepts(one, value)))
  if (refused.length === 0) return []
  const taken = asked.flatMap(({ group, schema }) =>
    group === 'enum' ? [schema.enum as unknown[]] : group === 'const' ? [[schema.const]] : [],
  )
  const onlyNull = refused.length === 1 && refused[0] === null
  const reason = `it may be ${shownList(refused)}, and the reader ${taken[0] === undefined ? 'does not take that' : `takes only ${shownList(taken[0])}`}`
  return [refusal(path, onlyNull ? 'type' : 'values', reason)]
}

/** The writer's values can't be listed. */
export function anyValueRefusals(asked: Part, path: string): readonly Refusal[] {
  const { schema } = asked
  const taken = 'const' in schema ? shown(schema.const) : shownList(schema.enum as readonly unknown[])
  return [refusal(path, 'values', `it may be other values than ${taken}, and the reader takes no others`)]
}
