import { type Declaration, inNamespace, subscriptionsOf } from '../../catalog/declaration.ts'
import type { Queryable } from '../../postgres/database.ts'
import { isoTime } from './iso-time.ts'

/** How far a team is on its way to another broker; times are ISO 8601. */
export interface TransportMove {
  readonly team: string
  readonly from: string
  readonly to: string
  readonly startedAt: string
  /** When its relay last said that it publishes to both; null = it never has. */
  readonly publishedToBothAt: string | null
  /** Seconds since then. */
  readonly publishedToBothAge: number | null
  readonly subscriptions: readonly MovingSubscription[]
  readonly finishedAt: string | null
}
export interface MovingSubscription {
  readonly name: string
  /** `waiting` for a sign that its owner publishes to both; `draining` the old broker; `switched` to the new one. */
  readonly state: 'waiting' | 'draining' | 'switched'
  readonly provenAt: string | null
  readonly switchedAt: string | null
}

const MOVE = `
  select m.from_name as "from", m.to_name as "to", ${isoTime('m.started_at')} as "startedAt", ${isoTime('m.marked_at')} as "publishedToBothAt",
    extract(epoch from clock_timestamp() - m.marked_at)::float8 as "publishedToBothAge", ${isoTime('m.finished_at')} as "finishedAt"
  from comity.transport_moves m where m.subscription = '' order by m.started_at desc limit 1`
const SUBSCRIPTIONS = `
  select m.subscription, ${isoTime('m.proven_at')} as "provenAt", ${isoTime('m.switched_at')} as "switchedAt", s.name
  from comity.transport_moves m left join comity.subscriptions s on coalesce(s.broker_name, $3::text || s.name) = m.subscription
  where m.from_name = $1::text and m.to_name = $2::text and m.subscription <> ''`

export interface MovingEnvironment {
  readonly database: Queryable
  readonly namespace: string
}

/** The team's last move, or undefined if it has never moved. */
export async function transportMove(declaration: Declaration, environment: MovingEnvironment): Promise<TransportMove | undefined> {
  const { database, namespace } = environment
  const move = (await database.query<Omit<TransportMove, 'team' | 'subscriptions'>>(MOVE)).rows[0]
  if (move === undefined) return undefined
  const { rows } = await database.query<{ subscription: string; name: string | null; provenAt: string | null; switchedAt: string | null }>(
    SUBSCRIPTIONS,
    [move.from, move.to, inNamespace(namespace, '')],
  )
  const subscriptions = subscriptionsOf(declaration).map(({ name }): MovingSubscription => {
    const row = rows.find((one) => one.name === name || one.subscription === inNamespace(namespace, name))
    const { provenAt = null, switchedAt = null } = row ?? {}
    return { name, state: switchedAt !== null ? 'switched' : provenAt !== null ? 'draining' : 'waiting', provenAt, switchedAt }
  })
  return { team: declaration.team, ...move, subscriptions }
}
