import type { HeldKey, LostRange } from './contracts.ts'

/** How a row is not as its owner has it. `moving` is none: it was written while it was looked at. */
export const DRIFT = ['missing', 'extra', 'stale', 'ahead', 'different'] as const
export type DriftClass = (typeof DRIFT)[number]
/** Not as the owner has it, and known to be so: the owner can't say it, or it waits in a line of this team's. */
export type KnownClass = 'withheld' | 'waiting'
export type FindingClass = DriftClass | KnownClass | 'moving'

/** What holds of one key here, read after everything below `compared at` had ended. */
export interface CopiedKey {
  readonly key: string
  /** Null: there is no such row. */
  readonly hash: string | null
  /** Of the row, or of the tombstone; 0: nothing is known of the key. */
  readonly version: number
  /** The reason of the line that its key waits in. */
  readonly waiting?: string
}

/**
 * What is to be said of one key; undefined: it is as its owner has it.
 *
 * `at` is the version that the owner drew before it read, and that this side has passed. So every change below it is in both, and a row of this
 * side that is above it is newer than what the owner read: it proves nothing, and is looked at again. But a version that was here **before** the
 * owner drew (`seenBefore`) can't be one of the owner's if it is above what it drew then: no history has it.
 */
export function classify(
  ours: CopiedKey,
  theirs: HeldKey,
  { at, seenBefore, lost }: { readonly at: number; readonly seenBefore: number; readonly lost: readonly LostRange[] },
): FindingClass | undefined {
  if (ours.hash === theirs.hash && theirs.moving !== true && ours.version <= at) return undefined
  if (ours.waiting !== undefined) return 'waiting'
  if (theirs.moving === true) return 'moving'
  if (ours.version > at) {
    if (ours.version !== seenBefore) return 'moving'
    return ours.hash === theirs.hash ? undefined : 'ahead'
  }
  if (theirs.withheld !== undefined) return 'withheld'
  if (ours.hash === null) return 'missing'
  if (theirs.hash === null) return 'extra'
  if (theirs.version !== undefined && theirs.version > ours.version) return 'stale'
  // The copy of a key that was said anew has a version without a change of its own, so a larger one alone means nothing.
  return lost.some(([above, below]) => ours.version > above && ours.version < below) ? 'ahead' : 'different'
}
