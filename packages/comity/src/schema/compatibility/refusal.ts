/** One thing that a reader refuses, or may refuse, of what a writer sends. */
export interface Refusal {
  /** In the data: `email`, `lines[].sku`, `*` for names that nobody declares; empty = the whole. */
  readonly path: string
  readonly rule: Rule
  /** What the writer may send and what the reader takes, in words. */
  readonly reason: string
  /** False: it could not be shown that the reader takes everything, and perhaps it does. */
  readonly certain: boolean
}

type Rule =
  | 'type'
  | 'required'
  | 'forbidden'
  | 'values'
  | 'bound'
  | 'length'
  | 'multiple'
  | 'pattern'
  | 'format'
  | 'count'
  | 'unique'
  | 'names'
  | 'union'
  | 'condition'
  | 'complexity'

export function refusal(path: string, rule: Rule, reason: string, certain = true): Refusal {
  return { path, rule, reason, certain }
}

/** The same thing found in several alternatives of a writer is one. */
export function distinct(refusals: readonly Refusal[]): readonly Refusal[] {
  const seen = new Map(refusals.map((one) => [`${one.path}\n${one.reason}`, one]))
  return [...seen.values()]
}

/** A value as it stands in a reason. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

export function shownList(values: readonly unknown[]): string {
  return `${values.slice(0, 5).map(shown).join(', ')}${values.length > 5 ? ', …' : ''}`
}
