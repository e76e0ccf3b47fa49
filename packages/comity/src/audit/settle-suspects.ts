import type { AuditedCopy } from './audited-copy.ts'
import { type CopiedKey, classify, type FindingClass } from './classify.ts'
import { type HeldKey, KEYS_AT_ONCE, type LostRange } from './contracts.ts'
import type { Questions } from './questions.ts'

/** One key that is not as its owner has it. */
export interface SettledKey {
  readonly key: string
  readonly class: FindingClass
  /** The owner's code of what is withheld, or the reason of the line that waits. */
  readonly detail?: string
  readonly version: number
  readonly ownerVersion?: number
  /** The version at which both were compared. */
  readonly at: number
}

interface Held {
  readonly keys: readonly string[]
  readonly seenBefore: ReadonlyMap<string, number>
  readonly held: ReadonlyMap<string, HeldKey>
  readonly at: number
  readonly lost: readonly LostRange[]
}

/**
 * Settles suspects by cause: each is looked at here, at its owner (draw, wait, read), and here again once everything below the version that was
 * drawn has been applied, until nobody writes it while it is looked at. What still moves after so many rounds is named `moving`.
 */
export async function settleSuspects(
  keys: readonly string[],
  options: {
    readonly copy: AuditedCopy
    readonly questions: Questions
    /** Resolves when everything below the version has ended here. */
    readonly passed: (version: number) => Promise<void>
    readonly rounds?: number
  },
): Promise<readonly SettledKey[]> {
  const { copy, questions, passed, rounds = 6 } = options
  const settled = new Map<string, SettledKey>()
  let open = keys
  for (let round = 0; round < rounds && open.length > 0; round++) {
    const asked: Held[] = []
    for (let from = 0; from < open.length; from += KEYS_AT_ONCE) asked.push(await ask(open.slice(from, from + KEYS_AT_ONCE)))
    await passed(Math.max(...asked.map(({ at }) => at)))
    for (const one of asked) await compare(one)
    open = [...settled.values()].filter((one) => one.class === 'moving').map(({ key }) => key)
  }
  return [...settled.values()]

  async function ask(some: readonly string[]): Promise<Held> {
    // Before the owner draws: what is here by then has a smaller version, if it is the owner's at all.
    const before = await copy.keys(some)
    const answers = await questions.ask<'keys'>({ kind: 'keys', keys: some })
    return {
      keys: some,
      seenBefore: new Map(before.map(({ key, version }) => [key, version])),
      held: new Map((await asHeldHere(answers.flatMap(({ keys }) => keys))).map((one) => [one.key, one])),
      at: answers[0]?.version ?? 0,
      lost: answers[0]?.lost ?? [],
    }
  }

  /** What an owner of another version holds is compared as this copy would have it. */
  async function asHeldHere(held: readonly HeldKey[]): Promise<readonly HeldKey[]> {
    const said = held.flatMap(({ key, state }) => (state === undefined ? [] : [{ key, state }]))
    if (said.length === 0) return held
    const hashes = await copy.hashes(said)
    return held.map((one) => {
      const hash = hashes.get(one.key)
      return hash === undefined ? one : { ...one, hash }
    })
  }

  async function compare({ keys: some, seenBefore, held, at, lost }: Held): Promise<void> {
    for (const ours of await copy.keys(some)) {
      const theirs = held.get(ours.key) ?? { key: ours.key, hash: null }
      const found = classify(ours, theirs, { at, seenBefore: seenBefore.get(ours.key) ?? 0, lost })
      if (found === undefined) settled.delete(ours.key)
      else settled.set(ours.key, finding(ours, theirs, at, found))
    }
  }
}

function finding(ours: CopiedKey, theirs: HeldKey, at: number, found: FindingClass): SettledKey {
  const detail = found === 'waiting' ? ours.waiting : found === 'withheld' ? theirs.withheld : undefined
  return {
    ...{ key: ours.key, class: found, version: ours.version, at },
    ...(detail === undefined ? {} : { detail }),
    ...(theirs.version === undefined ? {} : { ownerVersion: theirs.version }),
  }
}
