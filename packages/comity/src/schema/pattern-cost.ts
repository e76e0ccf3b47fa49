import { overlapOf } from './character-sets.ts'
import type { PatternAutomaton } from './pattern-automaton.ts'
import { automatonOf } from './pattern-automaton.ts'
import { parsePattern } from './pattern-tree.ts'

/**
 * How long a text a pattern may be tried on. JavaScript's engine backtracks: on some patterns its time grows with a power of the
 * text's length, on others it doubles with every character. Which, can be read from the pattern's automaton (Weber & Seidl 1991,
 * "On the degree of ambiguity of finite automata"; Weideman et al. 2016 apply it to backtracking engines):
 *
 * - exponential: a state comes back to itself by two different ways on one text, `(a+)+`, `(a|a)*`. Refused.
 * - a power: a loop can hand the same text over to a later loop, `a*a*`; a chain of d loops takes length^d. The text is bounded so
 *   that the steps stay below {@link MAX_STEPS}.
 * - linear: no bound.
 *
 * It errs on the safe side: bounded repetitions count as loops, paths count whether or not the rest can match.
 */
export type PatternCost = { readonly maxLength: number } | { readonly problem: string }

/** About 50 ms. */
const MAX_STEPS = 10_000_000
/** Ways through the parts outside of loops, `a?a?a?…`; the pattern of an IPv6 address has 10,011. */
const MAX_WAYS = 20_000
/** A bound below the length of a mail address makes a pattern useless: better said at the start. */
const LEAST_LENGTH = 64
/** A bound on the analysis itself; ordinary patterns take some thousand. */
const MAX_WORK = 1_000_000

export function patternCost(pattern: string, flags = 'u'): PatternCost {
  const name = `${flags}/${pattern}`
  let cost = judged.get(name)
  if (cost === undefined) {
    cost = judge(pattern, flags)
    if (judged.size >= MOST_JUDGED) judged.clear()
    judged.set(name, cost)
  }
  return cost
}

/** A pattern stands in many schemas (of every mail address, say), and takes milliseconds. */
const judged = new Map<string, PatternCost>()
const MOST_JUDGED = 1000

function judge(pattern: string, flags: string): PatternCost {
  const automaton = automatonOf(parsePattern(pattern))
  if (typeof automaton === 'string') return { problem: automaton }
  const overlap = overlapOf(automaton.states, flags)
  const search = new TupleSearch(automaton, overlap)
  try {
    const loops = loopsOf(automaton)
    if (loops.some((loop) => isExponential(automaton, loop, search))) return { problem: 'its time doubles with every character of a text' }
    const { before, after } = waysOutside(automaton, loops, overlap)
    if (Math.max(before, ...after) > MAX_WAYS) return { problem: 'it has too many optional parts in a row' }
    const maxLength = boundOfChains(loops, after, before, search)
    return maxLength < 1 ? { problem: 'its time grows with a high power of the length of a text' } : { maxLength }
  } catch (error) {
    if (error === TOO_COMPLEX) return { problem: 'it is too complex to be checked' }
    throw error
  }
}

const TOO_COMPLEX = Symbol('too complex')

type Within = readonly (ReadonlySet<number> | undefined)[]

/** Searches over tuples of states that read one and the same text. */
class TupleSearch {
  private work = 0
  private readonly automaton: PatternAutomaton
  private readonly overlap: (one: number, other: number) => boolean

  constructor(automaton: PatternAutomaton, overlap: (one: number, other: number) => boolean) {
    this.automaton = automaton
    this.overlap = overlap
  }

  /** Whether some text leads from one tuple to another, each state staying in `within[i]`. */
  reaches(from: readonly number[], to: readonly number[], within: Within): boolean {
    const goal = to.join()
    for (const step of this.explore([from], within)) if (step.to === goal) return true
    return false
  }

  /** Every step between tuples that can be reached, each tuple named by its states. */
  *explore(starts: readonly (readonly number[])[], within: Within): Generator<{ from: string; to: string }> {
    const seen = new Set(starts.map((tuple) => tuple.join()))
    const open = [...starts]
    for (let tuple = open.pop(); tuple !== undefined; tuple = open.pop()) {
      const from = tuple.join()
      for (const next of this.steps(tuple, within)) {
        const to = next.join()
        yield { from, to }
        if (seen.has(to)) continue
        seen.add(to)
        open.push(next)
      }
    }
  }

  private steps(tuple: readonly number[], within: Within): number[][] {
    let partial: number[][] = [[]]
    for (const [index, state] of tuple.entries()) {
      const longer: number[][] = []
      for (const target of this.automaton.edges[state]?.keys() ?? []) {
        if (within[index]?.has(target) === false) continue
        for (const before of partial) {
          if (++this.work > MAX_WORK) throw TOO_COMPLEX
          if (before.every((other) => this.overlap(other, target))) longer.push([...before, target])
        }
      }
      partial = longer
    }
    return partial
  }
}

interface Loop {
  readonly states: ReadonlySet<number>
  /** Rounds that one match can take. */
  readonly bound: number
}

/** The strongly connected parts that have an edge: states that come back to themselves (Kosaraju's two passes). */
function loopsOf({ states, edges }: PatternAutomaton): Loop[] {
  const order: number[] = []
  const forward = new Set<number>()
  const visit = (state: number): void => {
    if (forward.has(state)) return
    forward.add(state)
    for (const target of edges[state]?.keys() ?? []) visit(target)
    order.push(state)
  }
  for (const state of states.keys()) visit(state)

  const sources: number[][] = states.map(() => [])
  for (const source of states.keys()) for (const target of edges[source]?.keys() ?? []) sources[target]?.push(source)
  const placed = new Set<number>()
  const loops: Loop[] = []
  for (const root of order.reverse()) {
    const part = new Set<number>()
    const open = [root]
    for (let state = open.pop(); state !== undefined; state = open.pop()) {
      if (placed.has(state)) continue
      placed.add(state)
      part.add(state)
      open.push(...(sources[state] ?? []))
    }
    const inner = [...part].flatMap((state) => [...(edges[state] ?? [])].filter(([target]) => part.has(target)).map(([, edge]) => edge))
    if (inner.length === 0) continue
    const bounds = new Set(inner.map((edge) => edge.bound))
    loops.push({ states: part, bound: [...bounds].reduce((product, bound) => product * bound, part.size) })
  }
  return loops
}

/**
 * Some text leads from a state of the loop back to it in two ways: among the pairs of states that read one text, a pair of two
 * different states can be reached from a pair of equal ones, and leads back to one.
 */
function isExponential({ edges }: PatternAutomaton, { states }: Loop, search: TupleSearch): boolean {
  for (const state of states) for (const [target, edge] of edges[state] ?? []) if (edge.ways === 2 && states.has(target)) return true
  const arrivals = new Map<string, string[]>()
  const equal = [...states].map((state) => [state, state])
  for (const { from, to } of search.explore(equal, [states, states])) {
    const known = arrivals.get(to)
    if (known === undefined) arrivals.set(to, [from])
    else known.push(from)
  }
  const goals = new Set(equal.map((pair) => pair.join()))
  const leadingBack = new Set(goals)
  const open = [...goals]
  for (let pair = open.pop(); pair !== undefined; pair = open.pop()) {
    for (const before of arrivals.get(pair) ?? []) {
      if (leadingBack.has(before)) continue
      leadingBack.add(before)
      open.push(before)
    }
  }
  return leadingBack.size > goals.size
}

/**
 * The length of text at which the worst chain of loops, each handing the same text to the next, takes MAX_STEPS: for each loop
 * the length, or its own bound, times the ways through the parts before it and behind it.
 */
function boundOfChains(loops: readonly Loop[], ways: readonly number[], waysBefore: number, search: TupleSearch): number {
  const next = loops.map((loop) => loops.filter((later) => later !== loop && handsOver(loop, later, search)))
  const walk = (index: number, unbounded: number, product: number): number => {
    const { bound } = loops[index] as Loop
    const count = Number.isFinite(bound) ? unbounded : unbounded + 1
    const factor = product * (ways[index] as number) * (Number.isFinite(bound) ? bound : 1)
    const own = count > 0 ? Math.floor((MAX_STEPS / factor) ** (1 / count)) : factor <= MAX_STEPS ? Number.POSITIVE_INFINITY : 0
    // A chain that is hopeless already gets no better; without this, the chains of many loops are too many to walk.
    if (own < LEAST_LENGTH) return 0
    return Math.min(own, ...(next[index] ?? []).map((later) => walk(loops.indexOf(later), count, factor)))
  }
  return Math.min(Number.POSITIVE_INFINITY, ...loops.map((_, index) => walk(index, 0, waysBefore)))
}

/** Some text leads from p to p, from p to q, and from q to q. */
function handsOver(loop: Loop, later: Loop, search: TupleSearch): boolean {
  for (const p of loop.states) {
    for (const q of later.states) if (search.reaches([p, p, q], [p, q, q], [loop.states, undefined, later.states])) return true
  }
  return false
}

/**
 * An upper bound of the ways in which one text can pass through the parts outside of loops: from the start to the first loop,
 * and from each loop, where it can be left at any character, to the next.
 */
function waysOutside(
  automaton: PatternAutomaton,
  loops: readonly Loop[],
  overlap: (one: number, other: number) => boolean,
): { before: number; after: number[] } {
  const { starts, edges } = automaton
  const known = new Map<number, number>(loops.flatMap((loop) => [...loop.states].map((state) => [state, 1] as const)))
  const from = (targets: readonly number[]): number =>
    Math.max(1, ...targets.map((target) => targets.reduce((sum, other) => (overlap(target, other) ? sum + ways(other) : sum), 0)))
  const ways = (state: number): number => {
    const found = known.get(state)
    if (found !== undefined) return found
    const result = from([...(edges[state]?.keys() ?? [])])
    known.set(state, result)
    return result
  }
  const after = loops.map(({ states }) => {
    const exits = new Set([...states].flatMap((state) => [...(edges[state]?.keys() ?? [])]).filter((target) => !states.has(target)))
    return from([...exits].filter((exit) => [...states].some((state) => overlap(state, exit))))
  })
  return { before: from(starts), after }
}
