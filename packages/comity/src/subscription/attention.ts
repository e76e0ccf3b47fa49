import { type Clock, type Logger, type Loop, logEvent, loop, systemClock } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import { UNFIT } from './failure.ts'
import type { Subscription } from './subscription.ts'

/**
 * What an operator wants, and which lines can go on, asked for all subscriptions of the process in one statement a second: so an
 * act counts within two seconds everywhere, and a team that stands still does nothing more.
 */
const STATE = `
  select
    (select coalesce(json_agg(json_build_object('name', s.name, 'generation', s.generation, 'seeking', s.seek is not null, 'brokerName', s.broker_name, 'handOvers', (select count(*) from comity.hand_overs h where h.topic = s.topic), 'ended', c.ended, 'failed', c.failed)), '[]'::json)::text
      from comity.subscriptions s
      left join lateral (select sum(c.applied + c.stale + c.failed) as ended, sum(c.failed) as failed from comity.counts c where c.subscription = s.name) c on true
    ) as subscriptions,
    (select coalesce(json_agg(json_build_object('subscription', p.subscription, 'tenant', p.tenant, 'by', p.by)), '[]'::json)::text from comity.pauses p) as pauses,
    (select coalesce(max(begun_at)::text, '') from comity.incarnations) as "begunAt", comity.life_begun()::text as begun,
    (select greatest(1, count(*))::text from comity.processes p where p.beat_at > clock_timestamp() - interval '30 seconds') as processes,
    (select coalesce(json_agg(s.name), '[]'::json)::text from comity.subscriptions s where exists (select from comity.waiting_keys k
      where k.subscription = s.name and k.reason = 'not-yet' and (k.next_at <= clock_timestamp() or k.wants is not null))
      and not exists (select from comity.pauses p where p.subscription = s.name and p.tenant = '')) as due,
    (select coalesce(json_agg(s.name), '[]'::json)::text from comity.subscriptions s where exists (select from comity.waiting_keys k
      where k.subscription = s.name and k.reason = 'parked' and ${UNFIT})
      and not exists (select from comity.pauses p where p.subscription = s.name and p.tenant = '')) as unread,
    (select coalesce(json_agg(s.name), '[]'::json)::text from comity.subscriptions s where exists (select from comity.waiting_keys k
      where k.subscription = s.name and k.reason in ('paused', 'overflow')
        and not exists (select from comity.pauses p where p.subscription in (k.subscription, '') and p.tenant in ('', k.tenant)))) as held`

/* After a restore, or a mere restart: nobody can tell these apart. Until it has been done nothing is consumed. */
const BEGIN_LIFE = 'select comity.begin_life() as moved'

interface State {
  readonly subscriptions: readonly {
    readonly name: string
    readonly generation: number
    readonly seeking: boolean
    readonly brokerName: string | null
    readonly handOvers: number
    readonly ended: number | null
    readonly failed: number | null
  }[]
  readonly pauses: readonly { readonly subscription: string; readonly tenant: string; readonly by: 'operator' | 'breaker' }[]
  /** When subscriptions were sent back for the last time; '' = never; undefined: nobody has looked yet. */
  readonly begunAt: string | undefined
  /** Whether that has been done in the life that the database is in. */
  readonly begun: boolean
  /** Of this team, alive. */
  readonly processes: number
  /** Names of subscriptions with lines that can go on. */
  readonly due: readonly string[]
  /** With lines whose heads some process could not read. */
  readonly unread: readonly string[]
  readonly held: readonly string[]
}

/** Looks every second, sends subscriptions back in a new life of the database, passes on what it sees, and keeps the lines going that can go on. Two loops: a long line delays no look. */
export function attention(options: {
  readonly team: string
  readonly database: Queryable
  readonly subscriptions: ReadonlyMap<string, Subscription>
  /** False while this process may not speak for its team. */
  readonly mayRun: () => boolean
  readonly clock?: Clock
  readonly logger: Logger
}): readonly [looking: Loop, running: Loop] {
  const { team, database, subscriptions, clock = systemClock, logger } = options
  let state: State = { subscriptions: [], pauses: [], begunAt: undefined, begun: true, processes: 1, due: [], unread: [], held: [] }

  const looking = loop({
    name: `attention of ${team}`,
    poll: { min: LOOK_EVERY, max: LOOK_EVERY },
    ...{ clock, logger },
    async runOnce() {
      const before = state.begunAt
      state = await look(database)
      if (!state.begun && options.mayRun()) {
        const { rows } = await database.query<{ moved: string | null }>(BEGIN_LIFE)
        for (const subscription of JSON.parse(rows[0]?.moved ?? '[]')) logEvent(logger, 'comity.subscription.sent_back', { subscription })
        state = await look(database)
      }
      for (const row of state.subscriptions) {
        const subscription = subscriptions.get(row.name)
        if (subscription === undefined) continue
        const own = state.pauses.filter((pause) => pause.subscription === row.name || pause.subscription === '')
        const pausedBy = own.find(({ tenant }) => tenant === '')?.by
        const pausedTenants = new Set(own.flatMap(({ tenant }) => (tenant === '' ? [] : [tenant])))
        const { generation, brokerName, handOvers } = row
        // Another process may have brought it to its place already: what was received before is received again.
        const seeking = row.seeking || (before !== undefined && state.begunAt !== before)
        subscription.heed({ generation, seeking, brokerName, pausedBy, pausedTenants, processes: state.processes, handOvers })
        if (pausedBy === undefined) await subscription.observe({ ended: row.ended ?? 0, failed: row.failed ?? 0 })
      }
      if (state.due.length > 0 || state.unread.length > 0 || state.held.length > 0) running.wake()
      return 'idle'
    },
  })
  const running: Loop = loop({
    name: `lines of ${team}`,
    poll: { min: 5, max: 60_000 },
    ...{ clock, logger },
    async runOnce(signal) {
      if (!options.mayRun()) return 'idle'
      const { due, unread, held } = state
      let ran = 0
      for (const name of unread) ran += (await subscriptions.get(name)?.lines.runUnread(signal)) ?? 0
      for (const name of due) ran += (await subscriptions.get(name)?.lines.runNotYet(signal)) ?? 0
      const turns = held.map((name) => subscriptions.get(name)?.lines.runHeld(signal) ?? 0)
      for (const turn of await Promise.all(turns)) ran += turn
      return ran > 0 ? 'busy' : 'idle'
    },
  })
  return [looking, running]
}

async function look(database: Queryable): Promise<State> {
  const row = (await database.query<Readonly<Record<keyof State, string>>>(STATE)).rows[0] as Readonly<Record<keyof State, string>>
  return {
    subscriptions: JSON.parse(row.subscriptions),
    pauses: JSON.parse(row.pauses),
    begunAt: row.begunAt,
    begun: row.begun === 'true',
    processes: Number(row.processes),
    due: JSON.parse(row.due),
    unread: JSON.parse(row.unread),
    held: JSON.parse(row.held),
  }
}

/** In milliseconds. */
const LOOK_EVERY = 1000
