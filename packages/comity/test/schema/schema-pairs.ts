import { event, isObject, type JsonSchema, subschemas } from '@comity/contract'
import fc from 'fast-check'

/** Draws from what fast-check gives, so that a failure can be run again by its seed. */
export interface Dice {
  /** 0 … sides − 1 */
  roll(sides: number): number
  one<T>(of: readonly T[]): T
  chance(percent: number): boolean
}

export const dice: fc.Arbitrary<Dice> = fc.gen().map((draw) => {
  const roll = (sides: number): number => draw(fc.nat, sides - 1)
  return { roll, one: (of) => of[roll(of.length)] as never, chance: (percent) => roll(100) < percent }
})

const NAMES = ['a', 'b', 'c', 'd']
const PATTERNS = ['^[a-z]+$', '^a', '[0-9]', '^[ab]*$']
const FORMATS = ['date', 'uuid', 'ipv4', 'email', 'date-time', 'cuid']
const VALUES = ['x', 'y', 'z', 'aa', '', 1, 2, 3.5, 0, true, null]

type Mutable = Record<string, unknown>

/** The data of an event in the form that contracts have, and others that were made of it by some changes. */
export function schemaFamily(d: Dice, size: number): readonly JsonSchema[] {
  const defs = { one: schema(d, 1), two: schema(d, 0) }
  const root: Mutable = { ...object(d, 2, true), $defs: defs }
  root.properties = { id: { type: 'string' }, ...(root.properties as object) }
  root.required = ['id', ...((root.required as string[] | undefined) ?? [])]
  const family = [root]
  while (family.length < size) family.push(relative(d, d.one(family)))
  return family.map(contractual)
}

function relative(d: Dice, of: Mutable): Mutable {
  const changed = structuredClone(of)
  const wanted = 1 + (d.chance(25) ? 1 : 0)
  // Many a change does not suit the place where it falls.
  for (let made = 0, tries = 0; made < wanted && tries < 30; tries++) {
    const before = JSON.stringify(changed)
    change(d, changed)
    if (JSON.stringify(changed) !== before) made++
  }
  return changed
}

function contractual(data: Mutable): JsonSchema {
  return event('owner.fact', { key: 'id', data }).schema
}

function schema(d: Dice, depth: number, references = false): Mutable {
  const kinds = ['string', 'string', 'integer', 'number', 'boolean', 'null', 'enum', 'const', 'types']
  if (references) kinds.push('ref')
  if (depth > 0) kinds.push('object', 'object', 'array', 'array', 'anyOf', 'nullable', 'oneOf', 'allOf', 'tagged', 'record', 'condition')
  const inner = (): Mutable => schema(d, depth - 1, references)
  switch (d.one(kinds)) {
    case 'string':
      return text(d)
    case 'integer':
      return number(d, 'integer')
    case 'number':
      return number(d, 'number')
    case 'boolean':
      return { type: 'boolean' }
    case 'null':
      return { type: 'null' }
    case 'enum':
      return { enum: some(d, VALUES, 1 + d.roll(4)) }
    case 'const':
      return { const: d.one(VALUES) }
    case 'types':
      return { type: some(d, ['string', 'number', 'boolean', 'null', 'integer'], 2), ...(d.chance(30) ? { description: 'some' } : {}) }
    case 'ref':
      return { $ref: d.one(['#/$defs/one', '#/$defs/two']) }
    case 'object':
      return object(d, depth - 1, references)
    case 'array':
      return array(d, inner)
    case 'nullable':
      return { anyOf: [inner(), { type: 'null' }] }
    case 'anyOf':
      return { anyOf: [inner(), inner()] }
    case 'oneOf':
      return { oneOf: [inner(), inner()] }
    case 'allOf':
      return { allOf: [inner(), inner()] }
    case 'tagged': {
      const branch = (tag: string): Mutable => {
        const own = object(d, depth - 1, references)
        return {
          ...own,
          properties: { ...(own.properties as object), tag: { const: tag } },
          required: ['tag', ...((own.required as string[] | undefined) ?? [])],
          ...(d.chance(50) ? { additionalProperties: false } : {}),
        }
      }
      return { [d.one(['anyOf', 'oneOf'])]: ['one', 'two', 'three'].slice(0, 2 + d.roll(2)).map(branch) }
    }
    case 'record':
      return { type: 'object', [d.one(['additionalProperties', 'additionalProperties', 'unevaluatedProperties'])]: inner(), ...few(d) }
    default:
      return {
        type: 'string',
        [d.one(['not', 'if'])]: text(d),
        ...(d.chance(50)
          ? Object.fromEntries([
              ['then', text(d)],
              ['else', text(d)],
            ])
          : {}),
      }
  }
}

function few(d: Dice): Mutable {
  return {
    ...(d.chance(30) ? { minProperties: d.roll(3) } : {}),
    ...(d.chance(30) ? { maxProperties: 1 + d.roll(4) } : {}),
    ...(d.chance(20) ? { propertyNames: text(d) } : {}),
    ...(d.chance(20) ? { patternProperties: { '^x': text(d) } } : {}),
  }
}

function text(d: Dice): Mutable {
  return {
    type: 'string',
    ...(d.chance(25) ? { minLength: d.roll(4) } : {}),
    ...(d.chance(25) ? { maxLength: d.roll(6) } : {}),
    ...(d.chance(15) ? { pattern: d.one(PATTERNS) } : {}),
    ...(d.chance(15) ? { format: d.one(FORMATS) } : {}),
  }
}

function number(d: Dice, type: 'integer' | 'number'): Mutable {
  const at = (): number => d.roll(12) - 6 + (d.chance(20) ? 0.5 : 0)
  return {
    type,
    ...(d.chance(30) ? { [d.one(['minimum', 'exclusiveMinimum'])]: at() } : {}),
    ...(d.chance(30) ? { [d.one(['maximum', 'exclusiveMaximum'])]: at() + 4 } : {}),
    ...(d.chance(15) ? { multipleOf: d.one([1, 2, 3, 4, 6, 0.5, 0.1, 0.3]) } : {}),
  }
}

function array(d: Dice, inner: () => Mutable): Mutable {
  return {
    type: 'array',
    ...(d.chance(80) ? { items: inner() } : {}),
    ...(d.chance(25) ? { prefixItems: [inner(), inner()].slice(d.roll(2)) } : {}),
    ...(d.chance(25) ? { minItems: d.roll(3) } : {}),
    ...(d.chance(25) ? { maxItems: d.roll(4) } : {}),
    ...(d.chance(15) ? { uniqueItems: true } : {}),
    ...(d.chance(10) ? { contains: inner() } : {}),
  }
}

function object(d: Dice, depth: number, references: boolean): Mutable {
  const names = some(d, NAMES, 1 + d.roll(3))
  return {
    type: 'object',
    properties: Object.fromEntries(names.map((name) => [name, schema(d, depth, references)])),
    ...(d.chance(70) ? { required: names.filter(() => d.chance(60)) } : {}),
    ...(d.chance(8) ? { additionalProperties: d.one<unknown>([false, true, { type: 'string' }]) } : {}),
    ...(d.chance(5) ? { dependentRequired: { [names[0] as string]: [names.at(-1)] } } : {}),
  }
}

function some<T>(d: Dice, of: readonly T[], count: number): T[] {
  const left = [...of]
  return Array.from({ length: Math.min(count, left.length) }, () => left.splice(d.roll(left.length), 1)[0] as T)
}

/** One of the changes that people make, somewhere in the schema. */
function change(d: Dice, root: Mutable): void {
  const places: Mutable[] = []
  const collect = (inner: unknown): void => {
    if (!isObject(inner)) return
    places.push(inner)
    for (const below of subschemas(inner)) collect(below.schema)
  }
  collect(root)
  // The key stays what it is.
  places.splice(places.indexOf((root.properties as Mutable).id as Mutable), 1)
  const place = d.one(places)
  const whole = place === root
  switch (d.roll(9)) {
    case 0: // required or not
      if (isObject(place.properties) && Object.keys(place.properties).length > 0) {
        const name = d.one(Object.keys(place.properties))
        const required = (place.required as string[] | undefined) ?? []
        if (name === 'id') return
        place.required = required.includes(name) ? required.filter((one) => one !== name) : [...required, name]
      }
      return
    case 1: // a field more
      if (isObject(place.properties)) place.properties = { ...place.properties, [d.one(['e', 'b', 'c'])]: schema(d, 1) }
      return
    case 2: // a field fewer, or under another name
      if (isObject(place.properties) && Object.keys(place.properties).length > 0) {
        const name = d.one(Object.keys(place.properties))
        if (name === 'id') return
        const { [name]: gone, ...rest } = place.properties
        place.properties = d.chance(50) ? { ...rest, renamed: gone } : rest
        if (Array.isArray(place.required)) place.required = place.required.filter((one) => one !== name)
      }
      return
    case 3: // an enum wider or narrower
      if (Array.isArray(place.enum)) {
        if (d.chance(50) && place.enum.length > 1) place.enum = place.enum.slice(1)
        else place.enum = [...new Set([...place.enum, d.one(VALUES)])]
      }
      return
    case 4: // another type
      if (place.type === 'integer') place.type = 'number'
      else if (place.type === 'number') place.type = 'integer'
      else if (typeof place.type === 'string' && !whole) place.type = [place.type, 'null']
      return
    case 5: // another bound
      for (const keyword of ['minimum', 'maximum', 'minLength', 'maxLength', 'minItems', 'maxItems', 'minProperties', 'maxProperties'])
        if (typeof place[keyword] === 'number')
          place[keyword] = Math.max(
            keyword.startsWith('m') && !keyword.endsWith('imum') ? 0 : -9,
            (place[keyword] as number) + d.roll(3) - 1,
          )
      return
    case 6: // a keyword more
      if (place.type === 'string') Object.assign(place, text(d))
      else if (place.type === 'integer' || place.type === 'number') Object.assign(place, number(d, place.type))
      else if (place.type === 'array') Object.assign(place, { maxItems: 3, uniqueItems: true })
      return
    case 7: // a keyword fewer
      for (const keyword of [
        'pattern',
        'format',
        'minLength',
        'maxLength',
        'multipleOf',
        'uniqueItems',
        'minItems',
        'additionalProperties',
      ])
        if (d.chance(50)) delete place[keyword]
      return
    default: // something else altogether
      if (whole) return
      for (const keyword of Object.keys(place)) delete place[keyword]
      Object.assign(place, schema(d, 1))
  }
}

const TEXTS = [
  '',
  'a',
  'ab',
  'abc',
  'x',
  'aa',
  '7',
  'a7',
  'é',
  'abcdef',
  'aaaaa',
  '2026-11-05',
  '10.0.0.1',
  'a@b.cd',
  '2026-11-05T10:00:00Z',
]
const UUID = '3f2504e0-4f89-41d3-9a0c-0305e82c3301'
const NUMBERS = [0, 1, 2, 3, 4, 5, 6, 12, -1, -3, -6, 0.5, 1.5, 0.3, 0.1, 0.6, 100]

/** A value that the schema may take: as a rule it does, at times only nearly. */
export function documentOf(d: Dice, schema: unknown, root: JsonSchema): unknown {
  if (!isObject(schema)) return schema === false ? null : anything(d)
  if (typeof schema.$ref === 'string') return documentOf(d, (root.$defs as Mutable)[schema.$ref.slice('#/$defs/'.length)], root)
  if (Array.isArray(schema.enum)) return d.one(schema.enum)
  if ('const' in schema) return schema.const
  const branches = (schema.anyOf ?? schema.oneOf ?? schema.allOf) as readonly unknown[] | undefined
  if (branches !== undefined) {
    const documents = branches.map((branch) => documentOf(d, branch, root))
    if (schema.allOf !== undefined && documents.every(isObject)) return Object.assign({}, ...documents)
    const one = d.roll(documents.length)
    const others = isObject(documents[one]) && d.chance(30) ? documents.filter(isObject) : []
    return others.length > 0 ? Object.assign({}, ...others, documents[one]) : documents[one]
  }
  const type = Array.isArray(schema.type) ? d.one(schema.type as string[]) : schema.type
  switch (type) {
    case 'string':
      return textOf(d, schema)
    case 'integer':
    case 'number':
      return numberOf(d, schema, type)
    case 'boolean':
      return d.chance(50)
    case 'null':
      return null
    case 'array': {
      const prefix = (schema.prefixItems as unknown[] | undefined) ?? []
      const low = (schema.minItems as number | undefined) ?? 0
      const high = (schema.maxItems as number | undefined) ?? low + 3
      const length = low + d.roll(Math.max(1, high - low + 1))
      return Array.from({ length }, (_, at) => documentOf(d, prefix[at] ?? schema.items ?? true, root))
    }
    case 'object':
      return objectOf(d, schema, root)
    default:
      return anything(d)
  }
}

function objectOf(d: Dice, schema: Mutable, root: JsonSchema): unknown {
  const required = (schema.required as string[] | undefined) ?? []
  const made: Mutable = {}
  for (const [name, inner] of Object.entries((schema.properties as Mutable | undefined) ?? {}))
    if (required.includes(name) || d.chance(60)) made[name] = documentOf(d, inner, root)
  const rest = schema.additionalProperties ?? schema.unevaluatedProperties
  if (rest !== undefined || schema.patternProperties !== undefined)
    for (const name of some(d, ['p', 'q', 'x1', 'a', 'b'], d.roll(3))) made[name] ??= documentOf(d, rest ?? true, root)
  if (d.chance(15)) made[d.one(['e', 'b', 'renamed', 'p'])] ??= anything(d)
  return made
}

function textOf(d: Dice, { format, pattern, minLength, maxLength }: Mutable): string {
  const bounds = [minLength, maxLength].filter((one) => typeof one === 'number')
  if (format === 'uuid') return UUID
  if (format === 'date' || format === 'ipv4' || format === 'email' || format === 'date-time')
    return TEXTS.at({ date: -4, ipv4: -3, email: -2, 'date-time': -1 }[format]) as string
  if (bounds.length > 0 && d.chance(70)) return (pattern === '[0-9]' ? '7' : 'a').repeat(d.one(bounds))
  const fitting = pattern === undefined ? TEXTS : TEXTS.filter((one) => new RegExp(pattern as string, 'u').test(one))
  return d.one(fitting)
}

function numberOf(d: Dice, schema: Mutable, type: 'integer' | 'number'): number {
  const bounds = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'].flatMap((one) =>
    typeof schema[one] === 'number' && Math.abs(schema[one]) < 1e6 ? [schema[one]] : [],
  )
  const near = [...bounds, ...bounds.flatMap((one) => [one + 1, one - 1, one * 2, one + 0.5])]
  const value = d.one(near.length > 0 && d.chance(70) ? near : NUMBERS)
  return type === 'integer' ? Math.round(value) : value
}

function anything(d: Dice): unknown {
  return d.one([null, true, 7, 1.5, 'text', '', [], ['a', 1], {}, { a: 1, tag: 'one' }])
}
