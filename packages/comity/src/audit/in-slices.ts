import type { Clock } from '../foundation/index.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import { classifyError } from '../postgres/classify-error.ts'

/** The raw texts of a key's columns. */
export type Place = readonly string[]
/** The rows behind `after`, up to `upto`; without one from the first, or to the last. */
export interface Slice {
  readonly after: Place | undefined
  readonly upto: Place | undefined
}

/**
 * Goes through a table in the order of its key, in slices that take about {@link TARGET} each: a statement over all of it would outlast what
 * sessions and connections allow, and hold a snapshot that keeps Postgres from cleaning up. Each slice is a transaction of its own, so rows that
 * change meanwhile are seen as they are when it is their turn: whoever compares two sides looks at what differs again.
 */
export async function inSlices(options: {
  /** Where a slice of so many rows ends. */
  readonly upto: (after: Place | undefined, most: number) => Promise<Place | undefined>
  readonly look: (slice: Slice) => Promise<void>
  /** Between two slices. @param worked milliseconds that the one before took */
  readonly between: (worked: number) => Promise<void>
  readonly signal: AbortSignal
  readonly clock: Clock
}): Promise<void> {
  const { upto: end, look, between, signal, clock } = options
  let after: Place | undefined
  let most = FIRST
  let mostOfAll = MOST
  for (;;) {
    signal.throwIfAborted()
    const began = clock.monotonic()
    try {
      const upto = await end(after, most)
      await look({ after, upto })
      if (upto === undefined) return
      after = upto
    } catch (error) {
      // Too much for what a statement may take here: never as much again.
      if (classifyError(error) !== 'timeout' || most === LEAST) throw error
      mostOfAll = Math.max(LEAST, Math.round(most / 8))
    }
    const worked = clock.monotonic() - began
    most = Math.min(mostOfAll, most * 2, Math.max(LEAST, Math.round((most * TARGET) / Math.max(1, worked))))
    await between(worked)
  }
}

/** Of a rest between two slices, at most. Milliseconds. */
export const LONGEST_REST = 5000
/** Milliseconds. */
const TARGET = 500
/** Rows. */
const FIRST = 10_000
const LEAST = 20
const MOST = 500_000

export function placeLiteral(place: Place | undefined): string | null {
  return place === undefined ? null : arrayLiteral(place)
}
