import type { Declaration } from '../catalog/declaration.ts'
import type { Environment } from '../catalog/environment.ts'
import { captureProblems } from '../outbox/capture/index.ts'
import type { Queryable } from '../postgres/database.ts'
import { quoteIdentifier } from '../postgres/quote.ts'
import { type RequestStanding, requestsStanding } from '../request/standing.ts'
import { type DeprecatedUse, deprecatedUses } from './reads/deprecated-uses.ts'
import { type Backfill, listBackfills } from './reads/list-backfills.ts'
import { type Pause, type SubscriptionStatus, subscriptionStatuses } from './subscription-status.ts'

/** What an operator must see of one team at a glance. Times are ISO 8601, ages and lags in seconds and messages. */
export interface TeamStatus {
  readonly team: string
  readonly at: string
  readonly outbox: OutboxStatus
  readonly subscriptions: readonly SubscriptionStatus[]
  readonly replicas: readonly ReplicaStatus[]
  /** What this team asks of others, and what is asked of it. */
  readonly requests: readonly RequestStanding[]
  /** What this team reads although its owner will stop sending it: no problem yet. */
  readonly deprecated: readonly DeprecatedUse[]
  /** What needs someone, in words; empty = nothing does. */
  readonly problems: readonly string[]
}
export interface OutboxStatus {
  /** The contracts that are announced from here. */
  readonly topics: readonly string[]
  readonly checkpoint: number
  /** Rows above the checkpoint: not sent yet, or sent and not settled. Counted to a million. */
  readonly pending: number
  readonly oldestPendingSeconds: number | null
  readonly withheld: number
  /** Events that wait for their time; counted to a million. */
  readonly scheduled: number
  /** When the first of them is due (ISO 8601); null = none waits. */
  readonly nextDue: string | null
  /** Transactions that have been holding up the checkpoint for a second or more, the oldest first. */
  readonly heldUpBy: readonly Holder[]
  /** Who relays; null while nobody has the lease. */
  readonly relay: { readonly holder: string; readonly term: number } | null
}
/** A transaction that may still commit rows of the outbox: its backend, or its name if it is prepared. */
export interface Holder {
  readonly pid: number | null
  readonly prepared: string | null
  readonly state: string | null
  readonly application: string | null
  readonly seconds: number | null
}
export interface ReplicaStatus {
  readonly entity: string
  readonly table: string
  readonly fields: readonly string[]
  /** Counted to a million; above, what Postgres estimates. */
  readonly rows: number
  /** Seconds behind its owner's topic; 0 = everything sent is here. */
  readonly freshnessSeconds: number | null
  /** What the team declared with `freshness`; null = nothing. */
  readonly freshnessObjectiveSeconds: number | null
  readonly conflicts: number
  /** The last comparison with its owner that has ended; null = none. `named`: keys that were not as the owner has them. */
  readonly audit: { readonly verdict: 'true' | 'drift' | 'inconclusive'; readonly at: string; readonly named: number } | null
  /** The last time that it was filled by its owner; null = never since this version. */
  readonly backfill: Pick<Backfill, 'state' | 'paused' | 'rows' | 'estimate' | 'rate' | 'eta' | 'reason'> | null
}

const OUTBOX = `
  select c.id::text as checkpoint,
    (select count(*)::int from (select from comity.outbox o where o.id > c.id limit 1000000) counted) as pending,
    (select extract(epoch from clock_timestamp() - o.time)::float8 from comity.outbox o where o.id > c.id order by o.id limit 1) as oldest,
    (select count(*)::int from comity.withheld w where w.resolved_at is null) as withheld,
    (select count(*)::int from (select from comity.scheduled limit 1000000) counted) as scheduled,
    (select to_char(min(s.due) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') from comity.scheduled s) as next_due,
    (select l.holder from comity.leases l where l.name = 'relay' and l.expires_at > clock_timestamp()) as holder,
    (select l.term::text from comity.leases l where l.name = 'relay') as term
  from comity.checkpoint c where c.source = 'outbox'`

const REPLICA = (table: string): string => `
  select case when c.reltuples > 1000000 then c.reltuples::float8 else (select count(*)::float8 from ${table}) end as rows,
    (select count(*)::int from comity.conflicts where replica = $1::text) as conflicts,
    (select json_build_object('verdict', a.verdict, 'at', to_char(a.ended_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'named', (select count(*) from comity.audit_findings f where f.audit = a.id and f.class not in ('withheld', 'waiting', 'moving') and f.after is distinct from 'true'))::text
      from comity.audits a where a.replica = $1::text and a.state = 'ended' order by a.ended_at desc limit 1) as audit
  from pg_class c where c.oid = $2::text::regclass`

const HOLDERS = `
  select pid, prepared, state, application, seconds from comity.outbox_holders() where seconds is null or seconds >= 1
  order by seconds desc nulls last limit 10`

/** Reads a team's state from its own database, and its lag from the broker. Changes nothing. */
export async function teamStatus(
  declaration: Declaration,
  environment: Pick<Environment, 'team' | 'namespace' | 'transport'> & { readonly database: Queryable },
): Promise<TeamStatus> {
  const { database, team } = environment
  const [outbox, subscriptions, captures, requests, deprecated] = await Promise.all([
    outboxStatus(database),
    subscriptionStatuses(declaration, environment),
    captureProblems(database),
    requestsStanding(database, team),
    deprecatedUses(declaration, environment),
  ])
  const replicas = await Promise.all(
    declaration.keeps.map(async (kept): Promise<ReplicaStatus> => {
      const own = subscriptions.find(({ name }) => name === kept.name) as SubscriptionStatus
      const table = `${quoteIdentifier(kept.schema)}.${quoteIdentifier(kept.table)}`
      const { rows } = await database.query<{ rows: number; conflicts: number; audit: string | null }>(REPLICA(table), [kept.name, table])
      return {
        entity: kept.entity.name,
        table: `${kept.schema}.${kept.table}`,
        fields: kept.fields,
        rows: rows[0]?.rows ?? 0,
        freshnessSeconds: own.lag === null ? null : own.lag === 0 ? 0 : own.oldestSeconds,
        freshnessObjectiveSeconds: kept.freshness === undefined ? null : kept.freshness / 1000,
        conflicts: rows[0]?.conflicts ?? 0,
        audit: rows[0]?.audit ? JSON.parse(rows[0].audit) : null,
        backfill: await newestBackfill(environment, kept.name),
      }
    }),
  )
  const status = {
    team,
    at: new Date().toISOString(),
    outbox: { topics: topicsOf(declaration), ...outbox },
    subscriptions,
    replicas,
    requests,
    deprecated,
  }
  const problems = [...captures.map(({ topic, problem, command }) => `${topic}: ${problem}; run "${command}"`), ...problemsOf(status)]
  return { ...status, problems }
}

async function newestBackfill(environment: { readonly database: Queryable }, replica: string): Promise<ReplicaStatus['backfill']> {
  const newest = (await listBackfills(environment, { replica }))
    .filter(({ side }) => side === 'copy')
    .sort((a, b) => b.askedAt.localeCompare(a.askedAt))[0]
  if (newest === undefined) return null
  const { state, paused, rows, estimate, rate, eta, reason } = newest
  return { state, paused, rows, estimate, rate, eta, reason }
}

function topicsOf(declaration: Declaration): readonly string[] {
  return [...declaration.owns.map(({ entity }) => entity.name), ...declaration.publishes.map(({ name }) => name)]
}

async function outboxStatus(database: Queryable): Promise<Omit<OutboxStatus, 'topics'>> {
  const { rows } = await database.query<{
    checkpoint: string
    pending: number
    oldest: number | null
    withheld: number
    scheduled: number
    next_due: string | null
    holder: string | null
    term: string | null
  }>(OUTBOX)
  const row = rows[0] as (typeof rows)[number]
  const holders = row.pending === 0 ? [] : (await database.query<Holder>(HOLDERS)).rows
  return {
    heldUpBy: holders,
    checkpoint: Number(row.checkpoint),
    pending: row.pending,
    oldestPendingSeconds: row.oldest,
    withheld: row.withheld,
    scheduled: row.scheduled,
    nextDue: row.next_due,
    relay: row.holder === null ? null : { holder: row.holder, term: Number(row.term) },
  }
}

function problemsOf(status: Omit<TeamStatus, 'problems'>): readonly string[] {
  const problems: string[] = []
  const { outbox } = status
  if (outbox.withheld > 0) problems.push(`${outbox.withheld} changes are withheld, which "comity withheld" lists with their reasons`)
  if (outbox.topics.length > 0 && outbox.relay === null) problems.push('nobody relays this outbox: is "comity run" running?')
  if ((outbox.oldestPendingSeconds ?? 0) > 60)
    problems.push(`the oldest unsettled change is ${Math.round(outbox.oldestPendingSeconds as number)} s old${heldUp(outbox.heldUpBy)}`)
  const everywhere = status.subscriptions[0]?.pausedTenants.filter((pause) => pause.everywhere) ?? []
  if (everywhere.length > 0) problems.push(`${everywhere.length} tenants are paused in all subscriptions (${few(everywhere)})`)
  for (const subscription of status.subscriptions) problems.push(...subscriptionProblems(subscription))
  for (const { table, conflicts, audit, freshnessSeconds: behind, freshnessObjectiveSeconds: objective, backfill } of status.replicas) {
    if (backfill?.state === 'refused') problems.push(`${table} was not filled: ${backfill.reason}`)
    if (backfill?.state === 'incomplete')
      problems.push(`${table} lacks rows that this team could not take: is its contract its owner's? Then "comity backfill start"`)
    if (behind !== null && objective !== null && behind > objective)
      problems.push(`${table} is ${Math.round(behind)} s behind its owner, and its objective is ${objective} s`)
    if (conflicts > 0) problems.push(`${conflicts} versions of ${table} came with two contents`)
    if (audit?.verdict === 'drift')
      problems.push(
        `${audit.named} rows of ${table} are not as their owner has them: "comity audit list" shows which; "comity audit --repair" mends them`,
      )
  }
  for (const one of status.requests) {
    if (one.side === 'answered') continue
    problems.push(...pausedOutcomes(one))
    const { request, peer, overdue, unhandled, oldestUnhandledSeconds: oldest } = one
    if (overdue > 0)
      problems.push(`${overdue} requests ${request} are overdue: ${peer} has not answered; "comity requests --overdue" lists them`)
    if (oldest > 60)
      problems.push(
        `${unhandled} outcomes of ${request} are not handled, the oldest for ${Math.round(oldest)} s: "comity requests show" says why`,
      )
  }
  return problems
}

function subscriptionProblems(subscription: SubscriptionStatus): readonly string[] {
  const { name, state, lagUnknown, expired, waitingKeys, waitingFor, paused, pausedTenants } = subscription
  const problems: string[] = []
  if (state === 'orphaned')
    problems.push(
      `no code declares ${name} any more, and what comes for it piles up: declare it again, or "comity subscriptions rename" or "remove" it`,
    )
  if (paused !== null) problems.push(`${name} is paused ${byWhom(paused)}; "comity resume ${name}" ends that`)
  const here = pausedTenants.filter(({ everywhere }) => !everywhere)
  if (here.length > 0) problems.push(`${here.length} tenants are paused in ${name} (${few(here)})`)
  if (state === 'stuck') problems.push(`${name} has messages in flight and ends none: look for a handler that hangs`)
  if (waitingKeys > 0) {
    const dead = waitingFor.parked === 0 ? '' : `, ${waitingFor.parked} of them dead letters: "comity dead-letters" lists them`
    problems.push(`${waitingKeys} keys wait in ${name}${dead}`)
  }
  if ((expired ?? 0) > 0)
    problems.push(`${expired} messages for ${name} were not taken in time, and the broker's retention has removed them`)
  if (lagUnknown !== null && state !== 'orphaned') problems.push(`the lag of ${name} is unknown: ${lagUnknown}`)
  return problems
}

function pausedOutcomes({ request, handler, pauses }: Extract<RequestStanding, { side: 'asked' }>): readonly string[] {
  const all = pauses.find(({ tenant }) => tenant === null)
  const tenants = pauses.flatMap((pause) => (pause.tenant === null ? [] : [{ tenant: pause.tenant }]))
  const said =
    all &&
    `outcomes of ${request} are not handled, as ${all.author} has paused that since ${all.since}: ${all.reason}; "comity resume ${handler}" ends it`
  return [...(said ? [said] : []), ...(tenants.length > 0 ? [`${tenants.length} tenants are paused in ${handler} (${few(tenants)})`] : [])]
}

function few(pauses: readonly { readonly tenant: string }[]): string {
  const names = pauses.slice(0, 3).map(({ tenant }) => tenant)
  return [...names, ...(pauses.length > 3 ? ['…'] : [])].join(', ')
}

function byWhom({ by, author, reason, since }: Pause): string {
  return by === 'breaker' ? `by the breaker since ${since}: ${reason}` : `by ${author} since ${since}: ${reason}`
}

/** The one that has been in the way for longest, so that somebody can end it. */
function heldUp([holder]: readonly Holder[]): string {
  if (holder === undefined) return ''
  const who = holder.pid === null ? `the prepared transaction ${holder.prepared}` : `pid ${holder.pid}`
  const details = [holder.application, holder.state, holder.seconds === null ? null : `open for ${Math.round(holder.seconds)} s`]
  const shown = details.filter((detail) => detail !== null && detail !== '').join(', ')
  return `: ${who} may still commit earlier ones${shown === '' ? '' : ` (${shown})`}`
}
