import { accepts } from './acceptance.ts'
import { below, type Comparing, namesSent, type Place } from './comparing.ts'
import { type Conjunction, conjunctionOf, least, most, requiredOf } from './conjunction.ts'
import { highOf, lowOf } from './numbers.ts'
import { fieldIn, fieldNames } from './objects.ts'
import { commonTypes, type TypeName } from './types.ts'
import { valuesOf } from './values.ts'

/**
 * Whether no value that is sent at this place is in both: by type, by value, by bounds, or by a field that must be there and differs,
 * as the discriminator of a union does. False: not known.
 */
export function areDisjoint(one: Conjunction, other: Conjunction, at: Place, comparing: Comparing): boolean {
  if ([...one, ...other].some(({ group }) => group === 'nothing')) return true
  const types = commonTypes(one, other)
  if (types.length === 0) return true
  for (const [some, others] of [
    [one, other],
    [other, one],
  ] as const) {
    const values = valuesOf(some)
    if (values?.every((value) => others.some((part) => !accepts(part, value)))) return true
    const union = some.find(({ group }) => group === 'anyOf' || group === 'oneOf')
    if (union !== undefined) {
      const rest = some.filter((part) => part !== union)
      const branches = union.schema[union.group] as readonly unknown[]
      if (branches.every((branch) => comparing.areDisjoint([...rest, ...conjunctionOf(branch)], others, at))) return true
    }
  }
  if (types.every((type) => type === 'number' || type === 'integer')) return areApart(one, other, types[0] as TypeName)
  if (types.length > 1) return false
  if (types[0] === 'string') return lengthsApart(one, other) || lengthsApart(other, one)
  return types[0] === 'object' && fieldsDiffer(one, other, at, comparing)
}

function areApart(one: Conjunction, other: Conjunction, type: TypeName): boolean {
  const isBelow = (lower: Conjunction, upper: Conjunction): boolean => {
    const [high, low] = [highOf(lower, type), lowOf(upper, type)]
    return high !== undefined && low !== undefined && (high.at < low.at || (high.at === low.at && (high.open || low.open)))
  }
  return isBelow(one, other) || isBelow(other, one)
}

function lengthsApart(shorter: Conjunction, longer: Conjunction): boolean {
  return (least(shorter, 'maxLength') ?? Number.POSITIVE_INFINITY) < (most(longer, 'minLength') ?? 0)
}

function fieldsDiffer(one: Conjunction, other: Conjunction, at: Place, comparing: Comparing): boolean {
  const required = new Set([...requiredOf(one), ...requiredOf(other)])
  const sent = namesSent(at)
  if (sent !== undefined && [...required].some((name) => !sent.has(name))) return true
  return [...fieldNames(one, other)].some(
    (name) => required.has(name) && comparing.areDisjoint(fieldIn(one, name), fieldIn(other, name), below(at, name)),
  )
}
