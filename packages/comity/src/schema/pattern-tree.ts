/**
 * A regular expression as a tree, for {@link file://./pattern-cost.ts}. Only for patterns that `new RegExp(pattern, 'u')`
 * has accepted: their syntax needs no second check.
 */
export type PatternTree =
  /** One character out of a set; `source` is a pattern of its own: `a`, `\d`, `[^x-z]`, `.` */
  | { readonly kind: 'character'; readonly source: string }
  | { readonly kind: 'sequence'; readonly parts: readonly PatternTree[] }
  | { readonly kind: 'choice'; readonly parts: readonly PatternTree[] }
  | { readonly kind: 'repeat'; readonly part: PatternTree; readonly min: number; readonly max: number }
  /** Looks ahead or behind, takes no character. */
  | { readonly kind: 'look'; readonly part: PatternTree }
  /** `^`, `$`, `\b`, `\B` */
  | { readonly kind: 'edge'; readonly source: string }
  /** What has no automaton: a back reference. */
  | { readonly kind: 'back-reference' }

const ESCAPE =
  /\\(?:u\{[\da-fA-F]+\}|u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|u[\da-fA-F]{4}|x[\da-fA-F]{2}|c[a-zA-Z]|[pP]\{[^}]*\}|.)/suy
const CLASS = /\[(?:\\.|[^\]\\])*\]/suy
const GROUP = /\((?:\?(?:(<?[=!])|:|<[^>]*>))?/uy
const QUANTIFIER = /(?:[*+?]|\{(\d+)(?:(,)(\d*))?\})\??/uy
const BACK_REFERENCE = /\\(?:[1-9]\d*|k<[^>]*>)/uy

export function parsePattern(pattern: string): PatternTree {
  let at = 0

  function take(token: RegExp): RegExpExecArray | undefined {
    token.lastIndex = at
    const match = token.exec(pattern) ?? undefined
    if (match !== undefined) at += match[0].length
    return match
  }

  function choice(): PatternTree {
    const parts = [sequence()]
    while (pattern[at] === '|') {
      at++
      parts.push(sequence())
    }
    return parts.length === 1 ? (parts[0] as PatternTree) : { kind: 'choice', parts }
  }

  function sequence(): PatternTree {
    const parts: PatternTree[] = []
    while (at < pattern.length && pattern[at] !== '|' && pattern[at] !== ')') parts.push(repeated(single()))
    return { kind: 'sequence', parts }
  }

  function repeated(part: PatternTree): PatternTree {
    const quantifier = take(QUANTIFIER)
    if (quantifier === undefined) return part
    const [text, count, comma, upTo] = quantifier
    if (count === undefined)
      return { kind: 'repeat', part, min: text[0] === '+' ? 1 : 0, max: text[0] === '?' ? 1 : Number.POSITIVE_INFINITY }
    const min = Number(count)
    return { kind: 'repeat', part, min, max: comma === undefined ? min : upTo === '' ? Number.POSITIVE_INFINITY : Number(upTo) }
  }

  function single(): PatternTree {
    const group = take(GROUP)
    if (group !== undefined) {
      const part = choice()
      at++
      return group[1] === undefined ? part : { kind: 'look', part }
    }
    if (take(BACK_REFERENCE) !== undefined) return { kind: 'back-reference' }
    const token = (take(CLASS) ?? take(ESCAPE))?.[0] ?? character()
    return token === '^' || token === '$' || token === '\\b' || token === '\\B'
      ? { kind: 'edge', source: token }
      : { kind: 'character', source: token }
  }

  function character(): string {
    const token = String.fromCodePoint(pattern.codePointAt(at) as number)
    at += token.length
    return token
  }

  return choice()
}
