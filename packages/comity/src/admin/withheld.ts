import type { Environment } from '../catalog/environment.ts'
import { systemClock } from '../foundation/index.ts'
import { arrayLiteral } from '../postgres/index.ts'
import { NothingWithheld } from './errors.ts'
import { requireInstalled } from './installation.ts'

/** A change that its owner could not publish. Its content stays out: it belongs to somebody. */
export interface WithheldChange {
  readonly version: number
  readonly topic: string
  readonly key: string
  readonly tenant: string | null
  readonly kind: string
  readonly code: string
  /** Where in the data; '' = as a whole. */
  readonly path: string
  readonly reason: string
  /** The version of the withheld event that it must not overtake. */
  readonly follows: number | null
  /** When it was committed, and when it was withheld: ISO 8601. */
  readonly time: string
  readonly withheldAt: string
}

/** Which changes; without a key, all of the topic. */
export interface WithheldSelection {
  readonly topic?: string
  readonly key?: string
}

export interface RetryReport {
  readonly asked: number
  /** What became of them: sent, superseded by a newer state, or still withheld. */
  readonly sent: number
  readonly withheld: number
  /** The relay has not come to them: nobody leads, or it is not done yet. They are tried when it does. */
  readonly pending: number
}

const LIST = `
  select id::float8 as version, topic, key, tenant, kind, code, path, reason, follows::float8 as follows,
    to_char(time at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as time,
    to_char(withheld_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "withheldAt"
  from comity.withheld w
  where resolved_at is null and ($1::text is null or topic = $1::text) and ($2::text is null or key = $2::text)
  order by w.id limit $3::int`

/** What is withheld now, the oldest first. */
export async function listWithheld(
  environment: Environment,
  { topic, key }: WithheldSelection = {},
  limit = 1000,
): Promise<readonly WithheldChange[]> {
  await requireInstalled(environment)
  return (await environment.database.query<WithheldChange>(LIST, [topic ?? null, key ?? null, limit])).rows
}

const ASK = `
  update comity.withheld set retry_at = clock_timestamp()
  where resolved_at is null and ($1::text is null or topic = $1::text) and ($2::text is null or key = $2::text)
  returning id::text as id`

const OUTCOME = `
  select count(*) filter (where resolved_at is not null)::int as sent,
    count(*) filter (where resolved_at is null and retry_at is null)::int as withheld,
    count(*) filter (where resolved_at is null and retry_at is not null)::int as pending
  from comity.withheld where id = any ($1::text::bigint[])`

/**
 * Asks the relay to try again what is withheld, after its contract or the broker's limit was put right (a captured row is put right by
 * writing it: its next valid state supersedes what is withheld). An event's key comes back whole, in order.
 * Throws COMITY_NOTHING_WITHHELD.
 * @param patience how long to wait for the relay, in milliseconds
 */
export async function retryWithheld(environment: Environment, selection: WithheldSelection, patience = 15_000): Promise<RetryReport> {
  await requireInstalled(environment)
  const { topic, key } = selection
  const { rows } = await environment.database.query<{ id: string }>(ASK, [topic ?? null, key ?? null])
  if (rows.length === 0) throw new NothingWithheld({ what: [topic, key].filter((one) => one !== undefined).join(' ') || environment.team })
  const ids = arrayLiteral(rows.map(({ id }) => id))
  const until = systemClock.monotonic() + patience
  for (;;) {
    const outcome = (await environment.database.query<Omit<RetryReport, 'asked'>>(OUTCOME, [ids])).rows[0] as Omit<RetryReport, 'asked'>
    if (outcome.pending === 0 || systemClock.monotonic() >= until) return { asked: rows.length, ...outcome }
    await systemClock.sleep(100)
  }
}
