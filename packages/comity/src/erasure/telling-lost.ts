import { type CopyingSpeaker, sayAboutCopy } from '../control/copying-channel.ts'
import { erasuresTopic } from '../control/erasure-topics.ts'
import { type Clock, type Logger, type Loop, logEvent, loop, silentLogger, systemClock } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import { LOST_HISTORY, LOST_VERSION, type LostHistory } from './lost-history.ts'

const OPEN = `
  select max(h.first_version)::text as life,
    (select coalesce(json_agg(r.pair), '[]')::text from (
      select p.pair from comity.lost_histories o cross join jsonb_array_elements(o.ranges) p(pair) order by (p.pair ->> 1)::bigint desc limit 1000) r) as ranges
  from comity.lost_histories h where h.ranges is not null having bool_or(h.announced_at is null)`
const TOLD = `
  update comity.lost_histories set announced_at = clock_timestamp() where announced_at is null and first_version <= $1::text::bigint`

/** Whoever relays tells the readers of a lost history of it: what that had sent they may still be given, and may have acted upon. */
export function tellingLost(options: {
  readonly database: Queryable
  readonly speaker: CopyingSpeaker
  readonly leads: () => boolean
  readonly clock?: Clock
  readonly logger?: Logger
}): Loop {
  const { database, speaker, leads, clock = systemClock, logger = silentLogger } = options
  let failing = false

  async function runOnce(): Promise<'idle'> {
    if (!leads()) return 'idle'
    const row = (await database.query<{ life: string; ranges: string }>(OPEN)).rows[0]
    if (row === undefined) return 'idle'
    const data: LostHistory = { v: LOST_VERSION, life: Number(row.life), ranges: JSON.parse(row.ranges) }
    try {
      await sayAboutCopy(speaker, erasuresTopic(speaker.team), [{ contract: LOST_HISTORY, replica: `${speaker.team}.history`, data }])
      await database.query(TOLD, [row.life])
      failing = false
    } catch (error) {
      // Once: a team that was not provisioned after an upgrade works as before.
      if (!failing) logEvent(logger, 'comity.control.not_sent', { kind: 'lost history', error })
      failing = true
    }
    return 'idle'
  }

  return loop({ name: `lost histories of ${speaker.team}`, poll: { min: 1000, max: 1000 }, clock, logger, runOnce })
}
