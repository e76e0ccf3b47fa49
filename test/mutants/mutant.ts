import type { StageName } from './stages.ts'

/** One place of one file, which must be there exactly once. */
export interface Edit {
  readonly file: string
  readonly find: string
  readonly replace: string
}

/** A bug that somebody could write, and that some system has had (FAILURES, section 1). */
export interface Mutant {
  readonly name: string
  /** What then goes wrong. */
  readonly harm: string
  readonly edits: readonly Edit[]
  /** Who must catch it: the history checker after one of its stages, or a test where what was promised is no matter of the history. */
  readonly caughtBy: { readonly stage: StageName } | { readonly test: string; readonly title: string }
}

/** The engine's sources, and its migrations. */
export const comity = 'packages/comity/src'
export const migrations = 'packages/comity/migrations'
