import { type Declaration, inNamespace, subscriptionsOf } from '../catalog/declaration.ts'
import type { Observe, Telemetry } from '../foundation/telemetry/index.ts'
import type { Queryable } from '../postgres/database.ts'
import { requestsStanding } from '../request/standing.ts'
import type { WaitingReason } from '../subscription/waiting-line.ts'
import type { SubscriptionStats, Transport } from '../transport/transport.ts'
import type { Parts } from './parts.ts'
import type { VitalSigns } from './vital-signs.ts'

interface Counted {
  readonly pending: number
  readonly oldest: number | null
  readonly withheld: number
  /** JSON: of each subscription and reason, keys and messages. */
  readonly waiting: string
  /** JSON: of each replica. */
  readonly conflicts: string
}

/* Everything that is counted in the database, in one statement of a few milliseconds: nothing is counted further than it is worth. */
const COUNT = `
  select
    (select count(*)::int from (select from comity.outbox o where o.id > c.id limit 100000) counted) as pending,
    (select extract(epoch from clock_timestamp() - o.time)::float8 from comity.outbox o where o.id > c.id order by o.id limit 1) as oldest,
    (select count(*)::int from (select from comity.withheld w where w.resolved_at is null limit 100000) counted) as withheld,
    (select coalesce(json_agg(json_build_object('subscription', w.subscription, 'reason', w.reason, 'keys', w.keys, 'messages', w.messages)), '[]')
      from (select subscription, reason, count(distinct key)::int as keys, count(seq)::int as messages from (
          select k.subscription, k.reason, k.key, w.seq from comity.waiting_keys k
            left join comity.waiting w on w.subscription = k.subscription and w.key = k.key and w.seq > k.done limit 100000) counted
        group by subscription, reason) w)::text as waiting,
    (select coalesce(json_object_agg(r.replica, r.conflicts), '{}')
      from (select replica, count(*)::int as conflicts from comity.conflicts group by replica) r)::text as conflicts
  from comity.checkpoint c where c.source = 'outbox'`

/** Between two such statements, and two questions to the broker, in milliseconds, however many collect. */
const FRESH_FOR = 5000

/**
 * What a team's process shows to whoever collects metrics: counters that it has anyway, and counts of its database and of the broker, asked for
 * only then, and at most every few seconds.
 * @returns ends it
 */
export function gauges(options: {
  readonly telemetry: Telemetry
  readonly declaration: Declaration
  readonly namespace: string
  readonly database: Queryable
  readonly transport: Transport
  readonly parts: Parts
  readonly vitalSigns: VitalSigns
}): () => void {
  const { telemetry, declaration, namespace, database, transport, vitalSigns } = options
  const { clearance, relay, subscriptions } = options.parts
  const team = { 'comity.team': declaration.team } as const
  const of = (subscription: string) => ({ ...team, 'messaging.destination.subscription.name': subscription }) as const

  const counts = seldom(async () => (await database.query<Counted>(COUNT)).rows[0])
  const lags = seldom(async (): Promise<ReadonlyMap<string, SubscriptionStats>> => {
    const names = subscriptionsOf(declaration).map(({ name }) => inNamespace(namespace, name))
    if (transport.stats === undefined) return ownLags()
    const stats = names.length === 0 ? [] : await transport.stats(names)
    return new Map(stats.map((stat: SubscriptionStats) => [stat.subscription, stat]))
  })

  const standing = seldom(() => requestsStanding(database, declaration.team))

  const ending = [
    telemetry.observe(OWN, (observe) => {
      observe('comity.cleared', clearance.identity === undefined ? 0 : 1, team)
      const troubles = [relay, ...subscriptions.values()].map((part) => part?.progress.troubleSince)
      observe('comity.broker.trouble', troubles.some((since) => since !== undefined) ? 1 : 0, team)
      if (relay) observe('comity.relay.leading', relay.progress.leading ? 1 : 0, team)
      for (const [name, { progress }] of subscriptions) {
        observe('comity.subscription.in_flight', vitalSigns.inFlight(name), of(name))
        for (const [outcome, ended] of Object.entries(progress.ended))
          observe('comity.subscription.ended', ended, { ...of(name), 'comity.outcome': outcome })
      }
      for (const { name, freshness } of declaration.keeps)
        if (freshness !== undefined) observe('comity.replica.freshness.objective', freshness / 1000, of(name))
    }),

    telemetry.observe(COUNTED, async (observe) => showCounts(await counts(), observe)),
    telemetry.observe(LAGS, async (observe) => {
      const [now, stats] = [Date.now(), await lags()]
      for (const { name, kind } of subscriptionsOf(declaration)) {
        const stat = stats.get(inNamespace(namespace, name))
        if (stat === undefined) continue
        const age = stat.oldestSentAt === undefined ? 0 : Math.max(0, (now - stat.oldestSentAt.getTime()) / 1000)
        observe('comity.subscription.lag', stat.backlog, of(name))
        observe('comity.subscription.oldest_age', age, of(name))
        if (kind === 'replica') observe('comity.replica.freshness', stat.backlog === 0 ? 0 : age, of(name))
      }
    }),
    ...(declaration.asks.length + declaration.answers.length > 0 ? [telemetry.observe(REQUESTS, showRequests)] : []),
  ]

  async function showRequests(observe: Observe): Promise<void> {
    const [now, all] = [Date.now(), await standing()]
    const on = (request: string) => ({ ...team, 'messaging.destination.name': request }) as const
    for (const one of all) {
      if (one.side === 'answered' || !declaration.asks.some(({ name }) => name === one.request)) continue
      observe('comity.request.open', one.open, on(one.request))
      observe('comity.request.open_age', one.oldestSeconds, on(one.request))
      observe('comity.request.overdue', one.overdue, on(one.request))
      observe('comity.request.unhandled_age', one.oldestUnhandledSeconds, on(one.request))
    }
    // A broker that does not answer leaves out what is at the broker.
    const stats = await lags().catch((): Awaited<ReturnType<typeof lags>> => new Map())
    for (const { name, contract } of declaration.answers) {
      const waiting = all.find(({ side, request }) => side === 'answered' && request === contract.name)?.oldestSeconds ?? 0
      const sentAt = stats.get(inNamespace(namespace, name))?.oldestSentAt?.getTime() ?? now
      observe('comity.request.unanswered_age', Math.max(waiting, (now - sentAt) / 1000, 0), on(contract.name))
    }
  }

  /** What this process has received and not ended, where the broker does not count. */
  function ownLags(): ReadonlyMap<string, SubscriptionStats> {
    return new Map(
      [...subscriptions].map(([name, { progress }]) => {
        const subscription = inNamespace(namespace, name)
        const { inFlight: backlog, oldestSentAt } = progress
        return [subscription, { subscription, backlog, ...(oldestSentAt === undefined ? {} : { oldestSentAt }) }]
      }),
    )
  }

  function showCounts(row: Counted | undefined, observe: Observe): void {
    if (row === undefined) return
    observe('comity.outbox.pending', row.pending, team)
    observe('comity.outbox.oldest_age', row.oldest ?? 0, team)
    observe('comity.withheld', row.withheld, team)
    const lines = JSON.parse(row.waiting) as { subscription: string; reason: string; keys: number; messages: number }[]
    const conflicts = JSON.parse(row.conflicts) as Record<string, number>
    for (const { name, kind } of subscriptionsOf(declaration)) {
      if (kind === 'replica') observe('comity.replica.conflicts', conflicts[name] ?? 0, of(name))
      const own = lines.filter(({ subscription }) => subscription === name)
      for (const reason of new Set([...REASONS, ...own.map((line) => line.reason)])) {
        const line = own.find((one) => one.reason === reason)
        observe('comity.waiting.keys', line?.keys ?? 0, { ...of(name), 'comity.waiting.reason': reason })
        observe('comity.waiting.messages', line?.messages ?? 0, { ...of(name), 'comity.waiting.reason': reason })
      }
    }
  }

  return () => {
    for (const end of ending) end()
  }
}

/** Always shown, also as 0: an alert that is over has to see it. */
const REASONS: readonly WaitingReason[] = ['parked', 'paused', 'overflow', 'not-yet']

const OWN = [
  'comity.cleared',
  'comity.broker.trouble',
  'comity.relay.leading',
  'comity.subscription.in_flight',
  'comity.subscription.ended',
  'comity.replica.freshness.objective',
] as const
const COUNTED = [
  'comity.outbox.pending',
  'comity.outbox.oldest_age',
  'comity.withheld',
  'comity.waiting.keys',
  'comity.waiting.messages',
  'comity.replica.conflicts',
] as const
const REQUESTS = [
  'comity.request.open',
  'comity.request.open_age',
  'comity.request.overdue',
  'comity.request.unhandled_age',
  'comity.request.unanswered_age',
] as const
const LAGS = ['comity.subscription.lag', 'comity.subscription.oldest_age', 'comity.replica.freshness'] as const

/** Asks again only when the last answer is old; who asks meanwhile gets the same. A failure is not kept. */
function seldom<Answer>(ask: () => Promise<Answer>): () => Promise<Answer> {
  let last: { readonly at: number; readonly answer: Promise<Answer> } | undefined
  return () => {
    if (last === undefined || performance.now() - last.at > FRESH_FOR) {
      const answer = ask()
      last = { at: performance.now(), answer }
      answer.catch(() => {
        if (last?.answer === answer) last = undefined
      })
    }
    return last.answer
  }
}
