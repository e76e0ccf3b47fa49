import { type Conjunction, type Part, part, sayings } from './conjunction.ts'
import { type Refusal, refusal } from './refusal.ts'

export type TypeName = 'null' | 'boolean' | 'object' | 'array' | 'number' | 'integer' | 'string'

/** `integer` lies in `number`, and counts only where that is not. */
const ALL: readonly TypeName[] = ['null', 'boolean', 'object', 'array', 'number', 'string']

export function typesOf(conjunction: Conjunction): readonly TypeName[] {
  return sayings<TypeName | readonly TypeName[]>(conjunction, 'type').reduce<readonly TypeName[]>(
    (types, said) => both(types, [said].flat() as readonly TypeName[]),
    ALL,
  )
}

function both(some: readonly TypeName[], others: readonly TypeName[]): readonly TypeName[] {
  const common = new Set<TypeName>()
  for (const one of some) {
    if (others.includes(one)) common.add(one)
    else if (one === 'integer' && others.includes('number')) common.add('integer')
    else if (one === 'number' && others.includes('integer')) common.add('integer')
  }
  if (common.has('number')) common.delete('integer')
  return [...common]
}

export function commonTypes(one: Conjunction, other: Conjunction): readonly TypeName[] {
  return both(typesOf(one), typesOf(other))
}

export function ofType(conjunction: Conjunction, type: TypeName): Conjunction {
  return [...conjunction.filter(({ group }) => group !== 'type'), part('type', { type })]
}

/** A type widened: the writer's is one that the reader does not take. */
export function typeRefusals(type: TypeName, asked: Part, path: string): readonly Refusal[] {
  const taken = [asked.schema.type].flat() as readonly TypeName[]
  if (taken.includes(type) || (type === 'integer' && taken.includes('number'))) return []
  const sent = type === 'number' && taken.includes('integer') ? 'a number with a fraction' : NAMES[type]
  return [refusal(path, 'type', `it may be ${sent}, and the reader takes ${taken.map((name) => NAMES[name]).join(' or ')}`)]
}

const NAMES: Readonly<Record<TypeName, string>> = {
  null: 'null',
  boolean: 'a boolean',
  object: 'an object',
  array: 'a list',
  number: 'a number',
  integer: 'an integer',
  string: 'a text',
}
