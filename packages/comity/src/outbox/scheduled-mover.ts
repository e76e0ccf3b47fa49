import { type Clock, type Logger, type Loop, loop, silentLogger, systemClock } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'

/**
 * Brings events for later to the outbox when they are due. `comity.move_scheduled` does it, exactly once whoever calls it; this loop only
 * decides when:
 *
 *   at rest ──the next one's time, a wake, at the latest a second──▶ moving ──nothing more is due──▶ at rest
 *
 * It is in a hurry after a wake, because what was published then is visible only once its transaction has committed. The database's clock
 * decides: what is awaited is a number of milliseconds, not a time of day.
 */
export type Mover = Loop

const MOVE = 'select moved, wait_ms, settled from comity.move_scheduled($1::int, $2::text::timestamptz)'

export function scheduledMover(options: {
  readonly team: string
  readonly database: Queryable
  /** Whether this process relays: the copy of a live database moves nothing, and one mover is enough. */
  readonly leads: () => boolean
  /** Called after events have been moved, and their move has been committed. */
  readonly onMoved: () => void
  /** Events a transaction. Default 1000. */
  readonly batch?: number
  readonly clock?: Clock
  readonly logger?: Logger
}): Mover {
  const { database, leads, onMoved, batch = 1000, clock = systemClock, logger = silentLogger } = options
  let settled = FROM_THE_START
  let forgetAt = 0

  async function runOnce(): Promise<'busy' | 'idle' | number> {
    if (!leads() || clock.monotonic() >= forgetAt) {
      settled = FROM_THE_START
      forgetAt = clock.monotonic() + FORGET_EVERY
    }
    if (!leads()) return 'idle'
    const { rows } = await database.query<{ moved: number; wait_ms: number | null; settled: string }>(MOVE, [batch, settled])
    const turn = rows[0] as (typeof rows)[number]
    settled = turn.settled
    if (turn.moved > 0) onMoved()
    if (turn.wait_ms === 0) return turn.moved > 0 ? 'busy' : HELD_RETRY
    return turn.wait_ms ?? 'idle'
  }

  return loop({ name: `events for later of ${options.team}`, poll: { min: 5, max: LONGEST_REST }, clock, logger, runOnce })
}

const FROM_THE_START = '-infinity'
/** The mark is believed for this long, in milliseconds: after that, a clock that was set back has done no harm. */
const FORGET_EVERY = 60_000
/** Until the next look at what is due and in somebody's hands: being cancelled, or its ordered key being published for. */
const HELD_RETRY = 50
/** How late what another process schedules for at once may leave, in milliseconds. */
const LONGEST_REST = 1000
