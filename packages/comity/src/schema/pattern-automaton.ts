import type { PatternTree } from './pattern-tree.ts'

/**
 * The position automaton (Glushkov's) of a pattern: a state per character of the pattern, so it has no empty moves;
 * an edge that the pattern makes in two ways counts twice, because a backtracking engine tries both.
 */
export interface PatternAutomaton {
  /** One pattern of a single character per state. */
  readonly states: readonly string[]
  readonly starts: readonly number[]
  readonly edges: readonly ReadonlyMap<number, Edge>[]
}
export interface Edge {
  /** In how many ways the pattern makes it: 1, or 2 for more. */
  ways: 1 | 2
  /** Times that it can be passed in one match: the bound of the repetition it comes from; 1 for plain succession. */
  bound: number
}

interface Fragment {
  readonly first: readonly number[]
  readonly last: readonly number[]
  readonly empty: boolean
}

/** Above it the analysis would take too long. */
const MAX_STATES = 4000
/** A bounded repetition of at most so many states is written out; a larger one counts as a loop. */
const MAX_WRITTEN_OUT = 128
const NOTHING: Fragment = { first: [], last: [], empty: true }

/** The automaton, or what the pattern holds that cannot be judged. */
export function automatonOf(tree: PatternTree): PatternAutomaton | string {
  const states: string[] = []
  const edges: Map<number, Edge>[] = []
  let problem: string | undefined

  function connect(from: readonly number[], to: readonly number[], bound: number): void {
    for (const source of from) {
      for (const target of to) {
        const edge = edges[source]?.get(target)
        if (edge === undefined) edges[source]?.set(target, { ways: 1, bound })
        else {
          edge.ways = 2
          edge.bound = Math.max(edge.bound, bound)
        }
      }
    }
  }

  function build(node: PatternTree): Fragment {
    switch (node.kind) {
      case 'character': {
        const state = states.push(node.source) - 1
        edges.push(new Map())
        return { first: [state], last: [state], empty: false }
      }
      case 'edge':
        return NOTHING
      case 'back-reference':
        problem = 'it refers back to a group'
        return NOTHING
      case 'look':
        // A side path that is tried wherever it stands and leads nowhere.
        return { first: build(node.part).first, last: [], empty: true }
      case 'choice': {
        const parts = node.parts.map(build)
        return {
          first: parts.flatMap((part) => part.first),
          last: parts.flatMap((part) => part.last),
          empty: parts.some((part) => part.empty),
        }
      }
      case 'sequence':
        return sequence(node.parts.map(build))
      case 'repeat': {
        if (node.max === 0) return NOTHING
        if (node.max === 1 || node.max * sizeOf(node.part) <= MAX_WRITTEN_OUT)
          return sequence(
            Array.from({ length: node.max }, () => build(node.part)),
            node.min,
          )
        const part = build(node.part)
        // An engine tries every way of leaving out some of the n empty rounds, which a loop does not show.
        if (part.empty && part.first.length > 0 && (node.min > 1 || Number.isFinite(node.max)))
          problem = 'it repeats an optional part many times'
        connect(part.last, part.first, node.max)
        return { ...part, empty: part.empty || node.min === 0 }
      }
    }
  }

  /** One part after the other; with `least`, the match may end after so many of them: `x{2,4}` is `xx(x(x)?)?`. */
  function sequence(parts: readonly Fragment[], least: number = parts.length): Fragment {
    let chain = NOTHING
    const exits: number[] = []
    for (const [index, part] of parts.entries()) {
      connect(chain.last, part.first, 1)
      chain = {
        first: chain.empty ? [...chain.first, ...part.first] : chain.first,
        last: part.empty ? [...chain.last, ...part.last] : part.last,
        empty: chain.empty && part.empty,
      }
      if (index + 1 >= least) exits.push(...chain.last)
    }
    return { first: chain.first, last: [...new Set(exits)], empty: chain.empty || least === 0 }
  }

  if (sizeOf(tree) >= MAX_STATES) return `it has more than ${MAX_STATES} parts`
  const whole = build(withoutTail(tree))
  if (problem !== undefined) return problem
  if (isAnchored(tree)) return { states, starts: whole.first, edges }
  // Without ^ the engine tries every start: as if any text came first.
  const anything = states.push('[^]') - 1
  edges.push(new Map())
  connect([anything], [anything, ...whole.first], Number.POSITIVE_INFINITY)
  return { states, starts: [anything, ...whole.first], edges }
}

function sizeOf(tree: PatternTree): number {
  if (tree.kind === 'character') return 1
  if (tree.kind === 'look') return sizeOf(tree.part)
  if (tree.kind === 'repeat') {
    const part = sizeOf(tree.part)
    return tree.max === 1 || part * tree.max <= MAX_WRITTEN_OUT ? part * tree.max : part
  }
  return tree.kind === 'edge' || tree.kind === 'back-reference' ? 0 : tree.parts.reduce((sum, part) => sum + sizeOf(part), 0)
}

/** What a test needs of a pattern without `$`: a match is found as soon as the last repetition has its least number of rounds. */
function withoutTail(tree: PatternTree): PatternTree {
  if (tree.kind === 'choice') return { ...tree, parts: tree.parts.map(withoutTail) }
  if (tree.kind === 'repeat') return { ...tree, max: tree.min }
  if (tree.kind !== 'sequence' || tree.parts.length === 0) return tree
  return { ...tree, parts: tree.parts.with(-1, withoutTail(tree.parts.at(-1) as PatternTree)) }
}

function isAnchored(tree: PatternTree): boolean {
  if (tree.kind === 'choice') return tree.parts.every(isAnchored)
  if (tree.kind === 'sequence') return tree.parts[0] !== undefined && isAnchored(tree.parts[0])
  return tree.kind === 'edge' && tree.source === '^'
}
