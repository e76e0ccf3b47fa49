import { type Declaration, inNamespace, subscriptionsOf } from '../catalog/declaration.ts'
import { describeError } from '../postgres/classify-error.ts'
import type { Queryable } from '../postgres/database.ts'
import type { SubscriptionStats, Transport } from '../transport/index.ts'
import { isoTime } from './reads/iso-time.ts'

/** Of one subscription: what an operator must see at a glance. Times are ISO 8601, ages in seconds, lags in messages. */
export interface SubscriptionStatus {
  readonly name: string
  /** The contract that it reads. */
  readonly topic: string
  readonly kind: 'handler' | 'replica'
  readonly state: SubscriptionState
  /** Messages that are not acknowledged; null where nobody can tell. */
  readonly lag: number | null
  /**
   * Who says so. `processes`: the broker does not count, so it is what the living processes have received and not ended, which is a part of
   * what the broker holds; its oldest message is theirs, for a broker gives out its oldest first.
   */
  readonly lagFrom: 'broker' | 'processes' | null
  /** Why the lag is not known; null where it is. */
  readonly lagUnknown: string | null
  readonly oldestSeconds: number | null
  /** Messages that the broker's retention has removed before they were taken; null where the broker can't tell. */
  readonly expired: number | null
  /** Keys with a line, and the messages in their lines. */
  readonly waitingKeys: number
  readonly waiting: number
  /** Keys with a line, by why its head waits. */
  readonly waitingFor: Readonly<Record<'parked' | 'paused' | 'overflow' | 'not-yet', number>>
  readonly ended: {
    readonly applied: number
    readonly duplicate: number
    readonly stale: number
    readonly waiting: number
    readonly discarded: number
    /** Of those that wait: the ones that failed for good. */
    readonly failed: number
  }
  /** Messages that its handler had acted upon before their owner lost them, noted within the last 30 days; `comity.lost_handled` has their ids. */
  readonly lostHandled: number
  readonly lastAt: string | null
  /** Which run over history this is. 0 while it is not registered. */
  readonly generation: number
  /** What the broker calls it. */
  readonly brokerName: string
  /** Who has paused it as a whole. */
  readonly paused: Pause | null
  readonly pausedTenants: readonly (Pause & { readonly tenant: string; readonly everywhere: boolean })[]
  /** The living processes that run it. */
  readonly processes: readonly {
    readonly holder: string
    readonly state: string
    readonly inFlight: number
    readonly oldestSentAt: string | null
    readonly ended: number
  }[]
}

/**
 * In this order, the first that is so: `not-registered` (`comity migrate` has not run), `orphaned` (no code declares it, its messages pile
 * up), `paused`, `seeking` (a replay has yet to move the broker's position), `unattended` (no living process runs it), and else what
 * the worst of its processes says.
 */
export const SUBSCRIPTION_STATES = [
  'not-registered',
  'orphaned',
  'paused',
  'seeking',
  'unattended',
  'stuck',
  'trouble',
  'working',
  'idle',
] as const
export type SubscriptionState = (typeof SUBSCRIPTION_STATES)[number]
export interface Pause {
  readonly by: 'operator' | 'breaker'
  readonly author: string
  readonly reason: string
  readonly since: string
  /** When the breaker tries next whether it is over. */
  readonly probeAt: string | null
}

/** Of a process: the worst is shown. */
const WORST_FIRST = ['stuck', 'trouble', 'working', 'idle'] as const

const PAUSE = (row: string): string =>
  `'by', ${row}.by, 'author', ${row}.author, 'reason', ${row}.reason, 'since', ${isoTime(`${row}.since`)}, 'probeAt', ${isoTime(`${row}.probe_at`)}`

/* The counts of all lines are taken in one pass: there can be a hundred thousand. */
const SUBSCRIPTIONS = `
  with keys as (
    select k.subscription, count(*)::int as keys, count(*) filter (where k.reason = 'parked')::int as parked,
      count(*) filter (where k.reason = 'paused')::int as held, count(*) filter (where k.reason = 'overflow')::int as overflow,
      count(*) filter (where k.reason = 'not-yet')::int as not_yet
    from comity.waiting_keys k group by k.subscription
  ), messages as (
    select k.subscription, count(*)::int as n from comity.waiting_keys k
    join comity.waiting w on w.subscription = k.subscription and w.key = k.key and w.seq > k.done group by k.subscription
  ), ended as (
    select c.subscription, sum(c.applied)::float8 as applied, sum(c.duplicate)::float8 as duplicate, sum(c.stale)::float8 as stale,
      sum(c.waiting)::float8 as waiting, sum(c.discarded)::float8 as discarded, sum(c.failed)::float8 as failed, max(c.last_at) as last_at
    from comity.counts c group by c.subscription
  )
  select s.name, s.topic, s.kind, s.generation, s.seek is not null as seeking, s.broker_name as "brokerName",
    coalesce(k.keys, 0) as keys, coalesce(k.parked, 0) as parked, coalesce(k.held, 0) as held, coalesce(k.overflow, 0) as overflow,
    coalesce(k.not_yet, 0) as "notYet", coalesce(m.n, 0) as "messages",
    coalesce(e.applied, 0) as applied, coalesce(e.duplicate, 0) as duplicate, coalesce(e.stale, 0) as stale,
    coalesce(e.waiting, 0) as waiting, coalesce(e.discarded, 0) as discarded, coalesce(e.failed, 0) as failed, ${isoTime('e.last_at')} as "lastAt",
    (select count(*)::int from comity.lost_handled h where h.subscription = s.name and h.noted_at > clock_timestamp() - interval '30 days') as "lostHandled",
    (select json_build_object(${PAUSE('p')}) from comity.pauses p where p.subscription = s.name and p.tenant = '')::text as paused,
    (select coalesce(json_agg(json_build_object(${PAUSE('p')}, 'tenant', p.tenant, 'everywhere', p.subscription = '') order by p.tenant, p.subscription), '[]')
      from comity.pauses p where p.subscription in (s.name, '') and p.tenant <> '')::text as "pausedTenants",
    (select coalesce(json_agg(json_build_object('holder', b.holder, 'state', a.value ->> 'state', 'inFlight', coalesce((a.value ->> 'inFlight')::int, 0),
        'oldestSentAt', a.value ->> 'oldestSentAt',
        'ended', coalesce((a.value ->> 'ended')::bigint, 0)) order by b.holder), '[]')
      from comity.processes b cross join lateral (select b.progress -> 'subscriptions' -> s.name as value) a
      where a.value is not null and b.beat_at > clock_timestamp() - interval '1 minute')::text as processes
  from comity.subscriptions s
  left join keys k on k.subscription = s.name left join messages m on m.subscription = s.name left join ended e on e.subscription = s.name
  order by s.name`

interface Row {
  readonly name: string
  readonly topic: string
  readonly kind: 'handler' | 'replica'
  readonly generation: number
  readonly seeking: boolean
  readonly brokerName: string | null
  readonly keys: number
  readonly parked: number
  readonly held: number
  readonly overflow: number
  readonly notYet: number
  readonly messages: number
  readonly applied: number
  readonly duplicate: number
  readonly stale: number
  readonly waiting: number
  readonly discarded: number
  readonly failed: number
  readonly lostHandled: number
  readonly lastAt: string | null
  readonly paused: string | null
  readonly pausedTenants: string
  readonly processes: string
}

/** Where a team's subscriptions are read: its database, and the broker for their lag. */
export interface Watched {
  readonly namespace: string
  readonly database: Queryable
  readonly transport: Transport
}

/** Every subscription that the code declares, in its order, and then those that only the database knows. */
export async function subscriptionStatuses(declaration: Declaration, watched: Watched): Promise<readonly SubscriptionStatus[]> {
  const { database, transport, namespace } = watched
  const { rows } = await database.query<Row>(SUBSCRIPTIONS)
  const registered = new Map(rows.map((row) => [row.name, row]))
  const declared = subscriptionsOf(declaration).map(({ name, contract, kind }) => ({ name, topic: contract.name, kind }))
  const names = new Set(declared.map(({ name }) => name))
  const orphans = rows.filter(({ name }) => !names.has(name))
  return Promise.all(
    [...declared, ...orphans].map(async ({ name, topic, kind }) => {
      const row = registered.get(name)
      const brokerName = row?.brokerName ?? inNamespace(namespace, name)
      const processes: SubscriptionStatus['processes'] = JSON.parse(row?.processes ?? '[]')
      const { stats, from = null, reason } = await lagOf(transport, brokerName, processes)
      return {
        ...{ name, topic, kind },
        state: stateOf(row, names.has(name), processes),
        lag: stats?.backlog ?? null,
        lagFrom: from,
        lagUnknown: reason ?? null,
        oldestSeconds: stats?.oldestSentAt === undefined ? null : Math.max(0, (Date.now() - stats.oldestSentAt.getTime()) / 1000),
        expired: stats?.expired ?? null,
        waitingKeys: row?.keys ?? 0,
        waiting: row?.messages ?? 0,
        waitingFor: { parked: row?.parked ?? 0, paused: row?.held ?? 0, overflow: row?.overflow ?? 0, 'not-yet': row?.notYet ?? 0 },
        ended: {
          applied: row?.applied ?? 0,
          duplicate: row?.duplicate ?? 0,
          stale: row?.stale ?? 0,
          waiting: row?.waiting ?? 0,
          discarded: row?.discarded ?? 0,
          failed: row?.failed ?? 0,
        },
        lostHandled: row?.lostHandled ?? 0,
        lastAt: row?.lastAt ?? null,
        generation: row?.generation ?? 0,
        brokerName,
        paused: JSON.parse(row?.paused ?? 'null'),
        pausedTenants: JSON.parse(row?.pausedTenants ?? '[]'),
        processes,
      }
    }),
  )
}

function stateOf(row: Row | undefined, isDeclared: boolean, processes: SubscriptionStatus['processes']): SubscriptionState {
  if (row === undefined) return 'not-registered'
  if (!isDeclared) return 'orphaned'
  if (row.paused !== null) return 'paused'
  if (row.seeking) return 'seeking'
  return WORST_FIRST.find((state) => processes.some((process) => process.state === state)) ?? 'unattended'
}

/** A broker that is down, or a subscription that it does not know, leaves that lag unknown; everything else is still shown. */
async function lagOf(
  transport: Transport,
  subscription: string,
  processes: SubscriptionStatus['processes'],
): Promise<{ readonly stats?: SubscriptionStats | undefined; readonly from?: SubscriptionStatus['lagFrom']; readonly reason?: string }> {
  if (transport.stats === undefined) {
    if (processes.length === 0) return { reason: `${transport.name} does not count, and no living process receives it` }
    const backlog = processes.reduce((sum, { inFlight }) => sum + inFlight, 0)
    const [oldest] = processes.flatMap(({ oldestSentAt }) => oldestSentAt ?? []).sort()
    return { stats: { subscription, backlog, ...(oldest === undefined ? {} : { oldestSentAt: new Date(oldest) }) }, from: 'processes' }
  }
  try {
    return { stats: (await transport.stats([subscription]))[0], from: 'broker' }
  } catch (error) {
    return { reason: describeError(error) }
  }
}
