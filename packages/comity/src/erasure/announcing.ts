import { type CopyingSpeaker, sayAboutCopy } from '../control/copying-channel.ts'
import { erasuresTopic } from '../control/erasure-topics.ts'
import { type Clock, type Logger, type Loop, loop, silentLogger, systemClock } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import type { RelayProgress } from '../relay/relay.ts'
import { ERASURE, ERASURE_VERSION, type Erasure } from './contracts.ts'

const OPEN = `
  select e.id::text as id, e.topic, e.key, e.version::text as version, to_char(e.announced_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as announced
  from comity.erasures e where e.announced_at is null or e.again order by e.version limit 20`
/* What the relay had read before the erasure, it may have recorded after it. */
const AGAIN = 'select comity.erase_withheld($1::text, $2::text, $3::text::bigint) as withheld'
/* Once said, it stays said then: nothing older was sent afterwards, and the broker's date holds. */
const ANNOUNCED = `
  update comity.erasures set announced_at = coalesce(announced_at, $2::text::timestamptz), broker_until = coalesce(broker_until, $3::text::timestamptz),
    again = false
  where id = $1::text::uuid`

/**
 * Whoever relays tells the holders of an erasure, once its checkpoint has passed the version: from then on nothing of the key that is older can be
 * sent any more, so the date until which the broker keeps it is true.
 */
export function announcing(options: {
  readonly database: Queryable
  readonly speaker: CopyingSpeaker
  readonly progress: () => RelayProgress
  /** The checkpoint is waited for. */
  readonly settleSoon: () => void
  readonly mayRun: () => boolean
  readonly clock?: Clock
  readonly logger?: Logger
}): Loop {
  const { database, speaker, progress, settleSoon, mayRun, clock = systemClock, logger = silentLogger } = options

  async function runOnce(): Promise<'busy' | 'idle' | number> {
    if (!mayRun() || !progress().leading) return 'idle'
    const { rows } = await database.query<{ id: string; topic: string; key: string; version: string; announced: string | null }>(OPEN)
    let waits = false
    for (const { id, topic, key, announced, ...row } of rows) {
      const version = Number(row.version)
      if (progress().checkpoint < version) {
        settleSoon()
        waits = true
        continue
      }
      await database.query(AGAIN, [topic, key, row.version])
      const now = announced === null ? clock.now() : new Date(announced)
      const data: Erasure = { v: ERASURE_VERSION, id, topic, key, version, at: now.toISOString() }
      // Said again it is another message: the broker may know the first one, and pass over it.
      const said = { contract: ERASURE, replica: topic, data, ...(announced === null ? { id } : {}) }
      await sayAboutCopy(speaker, erasuresTopic(speaker.team), [said])
      await database.query(ANNOUNCED, [id, now.toISOString(), brokerUntil(now, speaker.transport.guarantees.redeliveryWindow)])
    }
    return waits ? LOOK_AGAIN : rows.length > 0 ? 'busy' : 'idle'
  }

  return loop({ name: `erasures of ${speaker.team}`, poll: { min: 1000, max: 1000 }, clock, logger, runOnce })
}

/** What was read before and is sent a moment later, is within an hour of it. */
export function brokerUntil(announced: Date, window: number): string {
  return new Date(announced.getTime() + window + 3_600_000).toISOString()
}

/** For the checkpoint, in milliseconds. */
const LOOK_AGAIN = 20
