import { type Declaration, inNamespace, subscriptionsOf } from '../catalog/declaration.ts'
import type { Environment } from '../catalog/environment.ts'
import { captureProblems } from '../outbox/capture/index.ts'
import { describeError } from '../postgres/classify-error.ts'
import type { Queryable } from '../postgres/database.ts'
import { quoteIdentifier } from '../postgres/quote.ts'
import type { SubscriptionStats, Transport } from '../transport/index.ts'

/** What an operator must see of one team at a glance. Times are ISO 8601, ages and lags in seconds and messages. */
export interface TeamStatus {
  readonly team: string
  readonly at: string
  readonly outbox: OutboxStatus
  readonly subscriptions: readonly SubscriptionStatus[]
  readonly replicas: readonly ReplicaStatus[]
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
export interface SubscriptionStatus {
  readonly name: string
  readonly topic: string
  readonly kind: 'handler' | 'replica'
  /** Messages that are not acknowledged; null where the broker can't tell. */
  readonly lag: number | null
  readonly oldestSeconds: number | null
  /** Messages that the broker's retention has removed before they were taken; null where the broker can't tell. */
  readonly expired: number | null
  /** Keys with a line, and the messages in their lines. */
  readonly waitingKeys: number
  readonly waiting: number
  readonly ended: {
    readonly applied: number
    readonly duplicate: number
    readonly stale: number
    readonly waiting: number
    readonly discarded: number
  }
  readonly lastAt: string | null
}
export interface ReplicaStatus {
  readonly entity: string
  readonly table: string
  readonly fields: readonly string[]
  /** Counted to a million; above, what Postgres estimates. */
  readonly rows: number
  /** Seconds behind its owner's topic; 0 = everything sent is here. */
  readonly freshnessSeconds: number | null
  readonly conflicts: number
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
    (select count(*)::int from comity.conflicts where replica = $1::text) as conflicts
  from pg_class c where c.oid = $2::text::regclass`

const HOLDERS = `
  select pid, prepared, state, application, seconds from comity.outbox_holders() where seconds is null or seconds >= 1
  order by seconds desc nulls last limit 10`

const PAUSES = `select subscription, tenant, by, reason, author from comity.pauses order by since`

interface Pause {
  readonly subscription: string
  readonly tenant: string
  readonly by: 'operator' | 'breaker'
  readonly reason: string
  readonly author: string
}

const SUBSCRIPTIONS = `
  select s.name,
    (select count(*)::int from comity.waiting_keys k where k.subscription = s.name) as waiting_keys,
    (select count(*)::int from comity.waiting_keys k join comity.waiting w on w.subscription = k.subscription and w.key = k.key and w.seq > k.done
      where k.subscription = s.name) as waiting_messages,
    coalesce(sum(c.applied), 0)::float8 as applied, coalesce(sum(c.duplicate), 0)::float8 as duplicate, coalesce(sum(c.stale), 0)::float8 as stale,
    coalesce(sum(c.waiting), 0)::float8 as waiting, coalesce(sum(c.discarded), 0)::float8 as discarded,
    to_char(max(c.last_at) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as last_at
  from comity.subscriptions s left join comity.counts c on c.subscription = s.name
  group by s.name`

interface SubscriptionRow {
  readonly name: string
  readonly waiting_keys: number
  readonly waiting_messages: number
  readonly applied: number
  readonly duplicate: number
  readonly stale: number
  readonly waiting: number
  readonly discarded: number
  readonly last_at: string | null
}

/** Reads a team's state from its own database, and its lag from the broker. Changes nothing. */
export async function teamStatus(
  declaration: Declaration,
  environment: Pick<Environment, 'team' | 'namespace' | 'transport'> & { readonly database: Queryable },
): Promise<TeamStatus> {
  const { database, transport, namespace, team } = environment
  const declared = subscriptionsOf(declaration)
  const now = Date.now()
  const [outbox, rows, pauses, lags, captures] = await Promise.all([
    outboxStatus(database),
    database.query<SubscriptionRow>(SUBSCRIPTIONS),
    database.query<Pause>(PAUSES),
    Promise.all(declared.map(({ name }) => lagOf(transport, inNamespace(namespace, name)))),
    captureProblems(database),
  ])
  const byName = new Map(rows.rows.map((row) => [row.name, row]))
  const subscriptions = declared.map(({ name, contract, kind }, index): SubscriptionStatus => {
    const row = byName.get(name)
    const stat = lags[index]?.stats
    return {
      name,
      topic: contract.name,
      kind,
      lag: stat?.backlog ?? null,
      oldestSeconds: stat?.oldestSentAt === undefined ? null : Math.max(0, (now - stat.oldestSentAt.getTime()) / 1000),
      expired: stat?.expired ?? null,
      waitingKeys: row?.waiting_keys ?? 0,
      waiting: row?.waiting_messages ?? 0,
      ended: {
        applied: row?.applied ?? 0,
        duplicate: row?.duplicate ?? 0,
        stale: row?.stale ?? 0,
        waiting: row?.waiting ?? 0,
        discarded: row?.discarded ?? 0,
      },
      lastAt: row?.last_at ?? null,
    }
  })
  const replicas = await Promise.all(
    declaration.keeps.map(async (kept): Promise<ReplicaStatus> => {
      const own = subscriptions.find(({ name }) => name === kept.name) as SubscriptionStatus
      const table = `${quoteIdentifier(kept.schema)}.${quoteIdentifier(kept.table)}`
      const { rows } = await database.query<{ rows: number; conflicts: number }>(REPLICA(table), [kept.name, table])
      return {
        entity: kept.entity.name,
        table: `${kept.schema}.${kept.table}`,
        fields: kept.fields,
        rows: rows[0]?.rows ?? 0,
        freshnessSeconds: own.lag === null ? null : own.lag === 0 ? 0 : own.oldestSeconds,
        conflicts: rows[0]?.conflicts ?? 0,
      }
    }),
  )
  const status = { team, at: new Date(now).toISOString(), outbox: { topics: topicsOf(declaration), ...outbox }, subscriptions, replicas }
  const problems = [
    ...captures.map(({ topic, problem, command }) => `${topic}: ${problem}; run "${command}"`),
    ...problemsOf(status),
    ...pauses.rows.map(paused),
    ...subscriptions.flatMap(({ name }, index) => {
      const reason = lags[index]?.reason
      return reason === undefined ? [] : [`the lag of ${name} is unknown: ${reason}`]
    }),
  ]
  return { ...status, problems }
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

interface Lag {
  readonly stats?: SubscriptionStats | undefined
  /** Why it can't be told. */
  readonly reason?: string
}

/** A broker that is down, or a subscription that it does not know, leaves that lag unknown; everything else is still shown. */
async function lagOf(transport: Transport, subscription: string): Promise<Lag> {
  if (transport.stats === undefined) return { reason: `${transport.name} does not count` }
  try {
    return { stats: (await transport.stats([subscription]))[0] }
  } catch (error) {
    return { reason: describeError(error) }
  }
}

function problemsOf(status: Omit<TeamStatus, 'problems'>): readonly string[] {
  const problems: string[] = []
  const { outbox } = status
  if (outbox.withheld > 0) problems.push(`${outbox.withheld} changes are withheld, which "comity withheld" lists with their reasons`)
  if (outbox.topics.length > 0 && outbox.relay === null) problems.push('nobody relays this outbox: is "comity run" running?')
  if ((outbox.oldestPendingSeconds ?? 0) > 60)
    problems.push(`the oldest unsettled change is ${Math.round(outbox.oldestPendingSeconds as number)} s old${heldUp(outbox.heldUpBy)}`)
  for (const { name, expired, waitingKeys } of status.subscriptions) {
    if (waitingKeys > 0) problems.push(`${waitingKeys} keys wait in ${name}`)
    if ((expired ?? 0) > 0)
      problems.push(`${expired} messages for ${name} were not taken in time, and the broker's retention has removed them`)
  }
  for (const { table, conflicts } of status.replicas)
    if (conflicts > 0) problems.push(`${conflicts} versions of ${table} came with two contents`)
  return problems
}

function paused({ subscription, tenant, by, reason, author }: Pause): string {
  const what = [...(tenant === '' ? [] : [`the tenant ${tenant}`]), ...(subscription === '' ? [] : [subscription])].join(' in ')
  return by === 'breaker' ? `${what} is paused by its breaker: ${reason}` : `${what} is paused by ${author}: ${reason}`
}

/** The one that has been in the way for longest, so that somebody can end it. */
function heldUp([holder]: readonly Holder[]): string {
  if (holder === undefined) return ''
  const who = holder.pid === null ? `the prepared transaction ${holder.prepared}` : `pid ${holder.pid}`
  const details = [holder.application, holder.state, holder.seconds === null ? null : `open for ${Math.round(holder.seconds)} s`]
  const shown = details.filter((detail) => detail !== null && detail !== '').join(', ')
  return `: ${who} may still commit earlier ones${shown === '' ? '' : ` (${shown})`}`
}
