import { setTimeout as delay } from 'node:timers/promises'
import type { Team } from 'comity'
import { type ActOptions, act } from './act.ts'

/** How long an act on a table is tried, in milliseconds. */
const PATIENCE = 30_000

/**
 * An act that changes a table: each try waits for who is in the way only for a moment, because everybody else queues behind it. What was not
 * done is not recorded. Throws what the last try threw.
 * @param until of `performance.now()`
 */
export async function actPatiently<Outcome>(
  team: Team,
  kind: string,
  args: object,
  options: ActOptions,
  until: number = performance.now() + PATIENCE,
): Promise<Outcome> {
  for (;;) {
    try {
      return await act<Outcome>(team, kind, args, options)
    } catch (error) {
      if (!isInTheWay(error) || performance.now() >= until) throw error
      await delay(100 + Math.random() * 400)
    }
  }
}

/** lock_not_available or deadlock_detected, as the team's own library tells it, wrapped or not. */
function isInTheWay(error: unknown): boolean {
  for (let one = error as { code?: unknown; cause?: unknown } | undefined, n = 0; one && n < 10; one = one.cause as typeof one, n++)
    if (one.code === '55P03' || one.code === '40P01') return true
  return false
}
