import type { Kept } from '../catalog/declaration.ts'
import { type Clock, type Logger, type Loop, loop, silentLogger, systemClock } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import { quoteLiteral } from '../postgres/quote.ts'
import { type CopyStatements, copyStatements } from '../replica/copy-statements.ts'
import { ReplicaNotMigrated } from '../replica/errors.ts'
import { VERSION_COLUMN } from '../replica/replica-sql.ts'

/** Ended requests are kept so long, or as long as a broker may bring one again. */
const KEEP_FOR = 30 * 86_400_000
/** Between two looks for what has become too old, in milliseconds. */
const CLEAN_EVERY = 600_000

/**
 * The owner's side: what waits in a line and has ended (its deadline has passed, it was withdrawn, or discarded) is decided without its line running.
 * A look costs as much as there are messages waiting, so the next one comes no sooner than twenty times as long after it.
 */
export function endingWaiting(options: {
  readonly team: string
  readonly database: Queryable
  readonly leads: () => boolean
  readonly onDecided: () => void
  readonly clock?: Clock
  readonly logger?: Logger
}): Loop {
  const { team, database, leads, onDecided, clock = systemClock, logger = silentLogger } = options
  let rest = 0
  async function runOnce(): Promise<'busy' | 'idle'> {
    const began = clock.monotonic()
    if (!leads() || began < rest) return 'idle'
    const { rows } = await database.query<{ decided: number }>('select comity.decide_waiting() as decided')
    rest = clock.monotonic() + Math.min(60_000, 20 * (clock.monotonic() - began))
    if ((rows[0]?.decided ?? 0) === 0) return 'idle'
    onDecided()
    return 'busy'
  }
  return loop({ name: `waiting requests of ${team}`, poll: { min: 500, max: 1000 }, clock, logger, runOnce })
}

/** The asker's side: which accepted requests this team's copies have. And, on both sides, what is kept no longer. */
export function requestUpkeep(options: {
  readonly team: string
  readonly keeps: readonly Kept[]
  readonly database: Queryable
  readonly mayRun: () => boolean
  /** Of the broker, in milliseconds. */
  readonly redeliveryWindow: number
  readonly clock?: Clock
  readonly logger?: Logger
}): Loop {
  const { team, keeps, database, mayRun, redeliveryWindow, clock = systemClock, logger = silentLogger } = options
  // Of several copies of one entity the first declared is the one that `replica` answers with.
  const copies = keeps.filter((kept, i) => keeps.findIndex(({ entity }) => entity.name === kept.entity.name) === i)
  const statements = copyStatements()
  let cleanedAt = Number.NEGATIVE_INFINITY

  async function runOnce(): Promise<'busy' | 'idle'> {
    if (!mayRun()) return 'idle'
    let seen = 0
    for (const { name, entity } of copies) seen += await seeVisible(database, statements, name, entity.name)
    if (clock.monotonic() - cleanedAt >= CLEAN_EVERY) {
      cleanedAt = clock.monotonic()
      const retain = `${Math.ceil(Math.max(KEEP_FOR, redeliveryWindow + 2 * 86_400_000) / 1000)} seconds`
      await database.query('select comity.maintain_requests($1::text::interval) as gone', [retain])
    }
    return seen > 0 ? 'busy' : 'idle'
  }
  return loop({ name: `requests of ${team}`, poll: { min: 50, max: 1000 }, clock, logger, runOnce })
}

/** Of what was accepted long ago and never came, nobody waits any more. */
async function seeVisible(database: Queryable, statements: CopyStatements, replica: string, entity: string): Promise<number> {
  const open = await database.query(
    `select 1 from comity.asked a where a.entity = $1::text and a.outcome = 'accepted' and a.visible_at is null limit 1`,
    [entity],
  )
  if (open.rows.length === 0) return 0
  const copy = await statements.of(database, replica).catch((error: unknown) => {
    if (error instanceof ReplicaNotMigrated) return undefined
    throw error
  })
  // Dropped, while this process still has it in its code.
  if (copy === undefined) return 0
  const { isKey, table } = copy
  const seen = await database.query(
    `with i as materialized (
        select a.id, a.key, a.owner_version from comity.asked a
        where a.entity = $1::text and a.outcome = 'accepted' and a.visible_at is null and a.heard_at > clock_timestamp() - interval '7 days'
        order by a.heard_at limit 2000
      ), seen as (
        select i.id from i where i.owner_version is null
          or exists (select from ${table} r where ${isKey} and r.${VERSION_COLUMN} >= i.owner_version)
          or exists (select from comity.tombstones t where t.replica = ${quoteLiteral(replica)} and t.key = i.key and t.version >= i.owner_version)
      )
      update comity.asked a set visible_at = clock_timestamp() from seen where a.id = seen.id returning 1 as seen`,
    [entity],
  )
  return seen.rows.length
}
