import type { Queryable } from '../postgres/database.ts'
import type { HandOver } from '../transport/marks.ts'
import { NotRegistered } from './errors.ts'

/** A subscription's row, which `comity migrate` makes and operators change. */
export interface Registered {
  readonly lanes: number
  readonly generation: number
  /** Where the broker's position has to go first. */
  readonly seek: string | null
  /** RFC 3339, UTC, microseconds, as envelopes have it; null if it has never been replayed. */
  readonly replayedUntil: string | null
  /** What the broker calls it. Null: as its name says. */
  readonly brokerName: string | null
  /** Who has paused it as a whole. */
  readonly pausedBy: 'operator' | 'breaker' | null
  /** Of its contract, as far as they were heard, the oldest first. */
  readonly handOvers: readonly HandOver[]
}

const REGISTERED = `
  select s.lanes, s.generation, s.seek, s.broker_name as "brokerName", p.by as "pausedBy",
    (select coalesce(json_agg(json_build_object('version', h.version, 'owner', h.owner, 'next', h.next) order by h.version), '[]')::text
      from comity.hand_overs h where h.topic = s.topic) as "handOvers",
    to_char(s.replayed_until at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "replayedUntil"
  from comity.subscriptions s left join comity.pauses p on p.subscription = s.name and p.tenant = '' where s.name = $1::text`

/** Throws COMITY_SUBSCRIPTION_NOT_REGISTERED. */
export async function registrationOf(sql: Queryable, name: string): Promise<Registered> {
  const row = (await sql.query<Omit<Registered, 'handOvers'> & { readonly handOvers: string }>(REGISTERED, [name])).rows[0]
  if (row === undefined) throw new NotRegistered({ subscription: name })
  return { ...row, handOvers: JSON.parse(row.handOvers) }
}
