import type { Queryable } from '../postgres/database.ts'
import { type Activity, CONTROL_VERSION, type Heartbeat, type SubscriptionReport, WORST_FIRST } from './contracts.ts'
import type { ProcessProgress } from './progress-tracker.ts'

/** Everything that a heartbeat says, in one statement; rows of processes that have been silent for an hour are cleared away. */
const LOOK = `
  with removed as (delete from comity.processes where beat_at < clock_timestamp() - interval '1 hour')
  select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at,
    c.id::text as checkpoint,
    (select count(*)::int from (select from comity.outbox o where o.id > c.id limit 10000) counted) as pending,
    (select count(*)::int from comity.withheld w where w.resolved_at is null) as withheld,
    (select l.holder from comity.leases l where l.name = 'relay' and l.expires_at > clock_timestamp()) as relay_holder,
    exists (select from comity.contracts) as publishes,
    (select a.hash from comity.announced a where a.what = 'declaration' and a.at > clock_timestamp() - interval '1 hour') as declared,
    (select a.hash from comity.announced a where a.what = 'catalog' and a.at > clock_timestamp() - interval '1 hour'
      and not exists (select from comity.catalog t where t.first_heard_at > a.at and t.team <> $1::text)) as catalogued,
    (select coalesce(json_agg(json_build_object('holder', p.holder, 'library', p.library, 'progress', p.progress,
        'startedAt', to_char(p.started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
        'age', extract(epoch from clock_timestamp() - p.beat_at)::int) order by p.started_at), '[]')
      from comity.processes p where p.beat_at >= clock_timestamp() - interval '1 hour')::text as processes,
    (select coalesce(json_agg(json_build_object('name', s.name, 'ended', s.ended, 'waitingKeys', s.waiting_keys) order by s.name), '[]') from (
        select s.name, (select count(*)::int from comity.waiting_keys k where k.subscription = s.name) as waiting_keys,
          json_build_object('applied', sum(n.applied), 'duplicate', sum(n.duplicate), 'stale', sum(n.stale), 'waiting', sum(n.waiting),
            'discarded', sum(n.discarded)) as ended
        from comity.subscriptions s left join comity.counts n on n.subscription = s.name group by s.name) s)::text as subscriptions
  from comity.checkpoint c where c.source = 'outbox'`

interface LookRow {
  readonly at: string
  readonly checkpoint: string
  readonly pending: number
  readonly withheld: number
  readonly relay_holder: string | null
  readonly publishes: boolean
  readonly declared: string | null
  readonly catalogued: string | null
  readonly processes: string
  readonly subscriptions: string
}
interface SeenProcess {
  readonly holder: string
  readonly library: string
  readonly startedAt: string
  readonly age: number
  readonly progress: ProcessProgress
}
interface SeenSubscription {
  readonly name: string
  readonly ended: Readonly<Record<string, number | null>>
  readonly waitingKeys: number
}

/** Silent for longer than this many seconds, a process counts for nothing. */
const GONE_AFTER = 60
/** More of either is left out of a heartbeat. */
const MOST_SUBSCRIPTIONS = 100
const MOST_PROCESSES = 20

/**
 * What the team is doing now, as its database has it; and the hashes of the declaration that was announced within the last hour, to those who
 * operate it and to all teams: null there also while a team is new that has not heard it.
 */
export async function lookAtTeam(
  database: Queryable,
  self: { readonly team: string; readonly library: string },
): Promise<{ readonly heartbeat: Heartbeat; readonly declared: string | null; readonly catalogued: string | null }> {
  const row = (await database.query<LookRow>(LOOK, [self.team])).rows[0] as LookRow
  const processes: readonly SeenProcess[] = JSON.parse(row.processes)
  const alive = processes.filter(({ age }) => age <= GONE_AFTER)
  const subscriptions = (JSON.parse(row.subscriptions) as readonly SeenSubscription[])
    .map((seen) => subscriptionReport(seen, alive))
    .sort((a, b) => rank(a.state) - rank(b.state))
  const relay = relayReport(row, alive)
  const newest = processes.slice(-MOST_PROCESSES)
  const omitted = subscriptions.slice(MOST_SUBSCRIPTIONS).length + processes.length - newest.length
  const heartbeat: Heartbeat = {
    v: CONTROL_VERSION,
    ...self,
    at: row.at,
    state: worst([relay.state, ...subscriptions.map(({ state }) => state)]),
    processes: newest.map(({ holder, library, startedAt, age }) => ({
      ...{ holder, library, startedAt, age },
      ...(age > GONE_AFTER ? { gone: true } : {}),
    })),
    relay,
    subscriptions: subscriptions.slice(0, MOST_SUBSCRIPTIONS),
    ...(omitted > 0 ? { omitted } : {}),
  }
  return { heartbeat, declared: row.declared, catalogued: row.catalogued }
}

function relayReport(row: LookRow, alive: readonly SeenProcess[]): Heartbeat['relay'] {
  const { relay_holder: holder, pending, withheld } = row
  const progress = alive.find((process) => process.holder === holder)?.progress.relay
  const trouble = progress?.troubleSince
  // A team that publishes nothing needs nobody to relay.
  const orphaned: Activity = row.publishes ? 'unattended' : 'idle'
  const attended: Activity = trouble !== undefined ? 'trouble' : pending === 0 ? 'idle' : progress?.still ? 'stuck' : 'working'
  return {
    state: holder === null ? orphaned : attended,
    holder,
    checkpoint: Number(row.checkpoint),
    pending,
    withheld,
    ...(trouble === undefined ? {} : { troubleSince: trouble }),
  }
}

function subscriptionReport({ name, ended, waitingKeys }: SeenSubscription, alive: readonly SeenProcess[]): SubscriptionReport {
  const running = alive.flatMap(({ progress }) => progress.subscriptions[name] ?? [])
  return {
    name,
    state: running.length === 0 ? 'unattended' : worst(running.map(({ state }) => state)),
    inFlight: running.reduce((sum, { inFlight }) => sum + inFlight, 0),
    ended: Object.fromEntries(Object.entries(ended).flatMap(([outcome, n]) => (n ? [[outcome, n]] : []))),
    waitingKeys,
  }
}

/** A state that only a newer version knows, of another process, alarms nobody. */
function rank(state: Activity): number {
  const at = WORST_FIRST.indexOf(state)
  return at < 0 ? WORST_FIRST.length : at
}
function worst(states: readonly Activity[]): Activity {
  return states.reduce((before, state) => (rank(state) < rank(before) ? state : before), 'idle' as Activity)
}

/** What an operator must hear at once when it changes: all but the numbers that change by themselves. */
export function statusLine({ processes, relay, subscriptions }: Heartbeat): string {
  return JSON.stringify([
    processes.map(({ holder, gone }) => [holder, gone]),
    [relay.state, relay.holder, relay.withheld > 0],
    subscriptions.map(({ name, state, waitingKeys }) => [name, state, waitingKeys > 0]),
  ])
}
