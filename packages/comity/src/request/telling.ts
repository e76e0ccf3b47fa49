import { type CopyingSpeaker, sayAboutCopy } from '../control/copying-channel.ts'
import { outcomesTopic } from '../control/request-topics.ts'
import { backoff, type Clock, type Logger, type Loop, logEvent, loop, silentLogger, systemClock } from '../foundation/index.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'
import { OUTCOME, OUTCOME_VERSION, type OutcomeSaid, type OutcomeState } from './contracts.ts'

const UNTOLD = `
  select r.asker, r.id, r.topic, r.entity, r.key, r.outcome, r.reason, r.detail, r.owner_version::text as version, r.tellings,
    to_char(r.decided_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as decided
  from comity.requests r where r.told_at is null and not r.asker = any ($1::text::text[]) order by r.decided_at limit 500`
/* Asked again meanwhile, it is told again. */
const TOLD = `
  update comity.requests r set told_at = clock_timestamp()
  from unnest($2::text::text[], $3::text::int[]) t(id, tellings) where r.asker = $1::text and r.id = t.id and r.tellings = t.tellings`

interface Untold {
  readonly asker: string
  readonly id: string
  readonly topic: string
  readonly entity: string
  readonly key: string
  readonly outcome: OutcomeState
  readonly reason: string | null
  readonly detail: string | null
  readonly version: string | null
  readonly tellings: number
  readonly decided: string
}

/** What was decided about one request. */
export interface Told {
  /** The contract's name. */
  readonly request: string
  readonly outcome: OutcomeState
  readonly reason: string | null
}

/**
 * Whoever relays tells the askers what was decided, until the broker has it. Each asker has a topic of its own; one that can't be told (nobody has
 * provisioned it, say) holds up none of the others, and is tried again.
 */
export function telling(options: {
  readonly database: Queryable
  readonly speaker: CopyingSpeaker
  readonly leads: () => boolean
  /** Each decision once, but for a process that dies between telling and recording it. */
  readonly onTold?: (decision: Told) => void
  readonly clock?: Clock
  readonly logger?: Logger
}): Loop {
  const { database, speaker, leads, onTold = () => undefined, clock = systemClock, logger = silentLogger } = options
  const resting = new Map<string, { readonly until: number; readonly failures: number }>()

  async function runOnce(): Promise<'busy' | 'idle'> {
    if (!leads()) return 'idle'
    const now = clock.monotonic()
    const left = [...resting].filter(([, { until }]) => until > now).map(([asker]) => asker)
    const { rows } = await database.query<Untold>(UNTOLD, [arrayLiteral(left)])
    const byAsker = new Map<string, Untold[]>()
    for (const row of rows) byAsker.set(row.asker, [...(byAsker.get(row.asker) ?? []), row])
    const told = await Promise.all([...byAsker].map(([asker, untold]) => tell(asker, untold)))
    return told.includes(true) ? 'busy' : 'idle'
  }

  async function tell(asker: string, untold: readonly Untold[]): Promise<boolean> {
    try {
      const said = untold.map((one) => ({
        ...{ contract: OUTCOME, replica: one.key, data: saidOf(one) },
        // Said again it is another message: the broker may know the first one, and pass over it.
        id: `${speaker.team}-${one.id}-${one.tellings}`,
      }))
      await sayAboutCopy(speaker, outcomesTopic(asker, speaker.team), said)
    } catch (error) {
      const failures = resting.get(asker)?.failures ?? 0
      if (failures === 0) logEvent(logger, 'comity.request.not_told', { sender: asker, error })
      resting.set(asker, { until: clock.monotonic() + backoff(failures, { min: 200, max: 30_000 }), failures: failures + 1 })
      return false
    }
    resting.delete(asker)
    await database.query(TOLD, [
      asker,
      arrayLiteral(untold.map(({ id }) => id)),
      arrayLiteral(untold.map(({ tellings }) => String(tellings))),
    ])
    for (const { tellings, topic: request, outcome, reason } of untold) if (tellings === 0) onTold({ request, outcome, reason })
    return true
  }

  return loop({ name: `outcomes of ${speaker.team}`, poll: { min: 5, max: 250 }, clock, logger, runOnce })
}

function saidOf({ id, topic, entity, key, outcome, reason, detail, version, decided }: Untold): OutcomeSaid {
  return {
    ...{ v: OUTCOME_VERSION, id, request: topic, entity, key, outcome, decidedAt: decided },
    ...(reason === null ? {} : { reason }),
    ...(detail === null ? {} : { detail: JSON.parse(detail) as unknown }),
    ...(version === null ? {} : { version: Number(version) }),
  }
}
