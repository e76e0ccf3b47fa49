import { isObject } from '@comity/contract'
import { accepts } from './acceptance.ts'
import { below, type Comparing, namesSent, type Place } from './comparing.ts'
import { type Conjunction, conjunctionOf, least, most, type Part, partsOf, requiredOf, sayings } from './conjunction.ts'
import { type Refusal, refusal } from './refusal.ts'

/** Objects: their fields by name, those that must be there, and what else there may be. */
export function objectRefusals(writer: Conjunction, asked: Part, at: Place, comparing: Comparing): readonly Refusal[] {
  const { group, schema } = asked
  const required = requiredOf(writer)
  const sent = namesSent(at)
  switch (group) {
    case 'properties':
      return [...fieldRefusals(writer, asked, at, comparing), ...(sent === undefined ? otherRefusals(writer, asked, at, comparing) : [])]
    case 'required':
      return (schema.required as readonly string[])
        .filter((name) => !required.has(name))
        .map((name) => refusal(below(at, name).path, 'required', absent(writer, name, sent)))
    case 'dependentRequired':
      return Object.entries(schema.dependentRequired as Record<string, readonly string[]>).flatMap(([name, needed]) =>
        mayHave(writer, name, sent)
          ? needed
              .filter((one) => !needs(writer, required, name, one))
              .map((one) => refusal(below(at, one).path, 'required', `it may be missing beside ${name}, and the reader needs it there`))
          : [],
      )
    case 'dependentSchemas':
      return Object.entries(schema.dependentSchemas as Record<string, unknown>).flatMap(([name, inner]) =>
        mayHave(writer, name, sent) ? comparing.refusals(writer, conjunctionOf(inner), at) : [],
      )
    case 'propertyNames': {
      if (sent !== undefined) {
        const names = conjunctionOf(schema.propertyNames)
        return [...sent]
          .filter((name) => !names.every((one) => accepts(one, name)))
          .map((name) => refusal(below(at, name).path, 'names', 'the reader takes no field of this name'))
      }
      return [refusal(at.path, 'names', 'it may have any names, and the reader takes only some', false)]
    }
    case 'minProperties': {
      const said = Math.max(most(writer, group) ?? 0, required.size)
      if (said >= (schema.minProperties as number)) return []
      return [refusal(at.path, 'count', `it may have ${said} fields, and the reader takes at least ${schema.minProperties}`)]
    }
    default: {
      const said = Math.min(least(writer, 'maxProperties') ?? Number.POSITIVE_INFINITY, sent?.size ?? Number.POSITIVE_INFINITY)
      if (said <= (schema.maxProperties as number)) return []
      return [
        refusal(
          at.path,
          'count',
          `it may have ${Number.isFinite(said) ? said : 'any number of'} fields, and the reader takes at most ${schema.maxProperties}`,
        ),
      ]
    }
  }
}

/** What a part says of a field's value, by its name. */
export function fieldOf({ schema }: Part, name: string): Conjunction {
  const { properties, patternProperties, additionalProperties } = schema
  const said: unknown[] = []
  if (isObject(properties) && Object.hasOwn(properties, name)) said.push(properties[name])
  for (const [pattern, inner] of Object.entries(isObject(patternProperties) ? patternProperties : {}))
    if (new RegExp(pattern, 'u').test(name)) said.push(inner)
  return (said.length > 0 ? said : [additionalProperties]).flatMap(conjunctionOf)
}

/** What the whole says of a field. */
export function fieldIn(conjunction: Conjunction, name: string): Conjunction {
  return partsOf(conjunction, 'properties').flatMap((one) => fieldOf(one, name))
}

/** Every field that one of these names. */
export function fieldNames(...conjunctions: readonly Conjunction[]): ReadonlySet<string> {
  return new Set(conjunctions.flatMap((one) => sayings<object>(one, 'properties').flatMap(Object.keys)))
}

function fieldRefusals(writer: Conjunction, asked: Part, at: Place, comparing: Comparing): readonly Refusal[] {
  const sent = namesSent(at)
  const names = new Set([...fieldNames(writer, [asked]), ...(sent ?? [])])
  return [...names].flatMap((name) => {
    const wanted = fieldOf(asked, name)
    if (wanted.length === 0 || (sent !== undefined && !sent.has(name))) return []
    const said = fieldIn(writer, name)
    if (wanted.every(({ group }) => group === 'nothing') && !said.some(({ group }) => group === 'nothing'))
      return [refusal(below(at, name).path, 'forbidden', 'it may be there, and the reader takes no such field')]
    return comparing.refusals(said, wanted, below(at, name))
  })
}

/** Of names that nobody declares: what the reader says of them must follow from what the writer says of any of them. */
function otherRefusals(writer: Conjunction, asked: Part, at: Place, comparing: Comparing): readonly Refusal[] {
  const own = patternsOf(asked)
  const place = { ...below(at, '*'), shape: undefined }
  const follows = (wanted: Conjunction, alternatives: (one: Part) => readonly unknown[]): readonly Refusal[] => {
    const tried = partsOf(writer, 'properties').map((one) =>
      alternatives(one).flatMap((said) => comparing.refusals(conjunctionOf(said), wanted, place)),
    )
    return tried.find((refusals) => refusals.length === 0) ?? tried[0] ?? comparing.refusals([], wanted, place)
  }
  const byPattern = Object.entries(own).flatMap(([pattern, inner]) =>
    follows(conjunctionOf(inner), (one) => {
      const said = patternsOf(one)
      return Object.hasOwn(said, pattern) ? [said[pattern]] : [...Object.values(said), one.schema.additionalProperties]
    }),
  )
  const byRest = follows(conjunctionOf(asked.schema.additionalProperties), (one) => [
    ...Object.entries(patternsOf(one)).flatMap(([pattern, inner]) => (Object.hasOwn(own, pattern) ? [] : [inner])),
    one.schema.additionalProperties,
  ])
  return [...byPattern, ...byRest]
}

function patternsOf({ schema }: Part): Readonly<Record<string, unknown>> {
  return isObject(schema.patternProperties) ? schema.patternProperties : {}
}

function mayHave(writer: Conjunction, name: string, sent: ReadonlySet<string> | undefined): boolean {
  return (sent === undefined || sent.has(name)) && !fieldIn(writer, name).some(({ group }) => group === 'nothing')
}

function needs(writer: Conjunction, required: ReadonlySet<string>, name: string, needed: string): boolean {
  return (
    required.has(needed) ||
    sayings<Record<string, readonly string[]>>(writer, 'dependentRequired').some((said) => said[name]?.includes(needed))
  )
}

function absent(writer: Conjunction, name: string, sent: ReadonlySet<string> | undefined): string {
  const known = sent === undefined ? fieldNames(writer).has(name) : sent.has(name)
  return known ? 'it may be missing, and the reader needs it' : 'it is not sent, and the reader needs it'
}
