import type { Comparing, Place } from './comparing.ts'
import { type Conjunction, conjunctionOf, type Part } from './conjunction.ts'
import { type Refusal, refusal } from './refusal.ts'
import { commonTypes } from './types.ts'

/** Alternatives and conditions of the reader; those of the writer are taken one by one before. */
export function unionRefusals(writer: Conjunction, asked: Part, at: Place, comparing: Comparing): readonly Refusal[] {
  const { group, schema } = asked
  const isTaken = (inner: unknown): boolean => comparing.refusals(writer, conjunctionOf(inner), at).length === 0
  const isOutside = (inner: unknown): boolean => comparing.areDisjoint(writer, conjunctionOf(inner), at)
  switch (group) {
    case 'anyOf':
    case 'oneOf': {
      const alternatives = (schema[group] as readonly unknown[]).map(conjunctionOf)
      const tried = alternatives.map((one) => comparing.refusals(writer, one, at))
      const taken = tried.findIndex((refusals) => refusals.length === 0)
      if (taken < 0) return nearest(writer, alternatives, tried, at)
      if (group === 'anyOf' || alternatives.every((one, place) => place === taken || comparing.areDisjoint(writer, one, at))) return []
      return [refusal(at.path, 'union', 'two alternatives of the reader may both take it, and exactly one must', false)]
    }
    case 'not':
      return isOutside(schema.not) ? [] : [refusal(at.path, 'condition', 'the reader refuses some of what it may be', false)]
    case 'if': {
      if (isTaken(schema.then) && isTaken(schema.else)) return []
      if (isOutside(schema.if) && isTaken(schema.else)) return []
      if (isTaken(schema.if) && isTaken(schema.then)) return []
      return [refusal(at.path, 'condition', 'the reader has a condition that it may not fulfil', false)]
    }
    default:
      return [refusal(at.path, 'condition', 'the reader limits what no other part of its schema speaks of', false)]
  }
}

/** The one alternative that can be meant says more than that none takes it. */
function nearest(
  writer: Conjunction,
  alternatives: readonly Conjunction[],
  tried: readonly (readonly Refusal[])[],
  at: Place,
): readonly Refusal[] {
  const meant = alternatives.flatMap((one, place) => (commonTypes(writer, one).length > 0 ? [tried[place] as readonly Refusal[]] : []))
  if (meant.length === 1) return meant[0] as readonly Refusal[]
  if (meant.length === 0) return (tried[0] ?? []).slice(0, 1)
  const [fewest] = [...meant].sort((a, b) => a.length - b.length)
  const why =
    fewest?.[0] === undefined ? '' : ` (the nearest: ${fewest[0].path === at.path ? '' : `${fewest[0].path} `}${fewest[0].reason})`
  return [refusal(at.path, 'union', `it was not found in one alternative of the reader${why}`, false)]
}
