import { messageId } from '@comity/contract'
import type { Environment } from '../../catalog/environment.ts'
import { systemClock } from '../../foundation/index.ts'
import type { Queryable } from '../../postgres/index.ts'
import { AppliedKeys, replica } from '../../replica/replica.ts'
import { MessageUnknown, NotAMessageId } from '../errors.ts'
import { requireInstalled } from '../installation.ts'
import { exactTime, isoTime } from './iso-time.ts'

/**
 * The life of one message, over all teams that were asked: at its owner, in each subscription, and what handlers published in the
 * transaction of its effect. Times are ISO 8601; contents stay out. What the outbox no longer keeps is null.
 */
export interface MessageLife {
  readonly id: string
  readonly team: string
  readonly version: number
  readonly topic: string | null
  readonly key: string | null
  readonly tenant: string | null
  readonly kind: string | null
  readonly traceparent: string | null
  /** When it was written. */
  readonly at: string | null
  /** `sent`: at or below the checkpoint. `gone`: settled so long ago that the outbox has let it go. `not-asked`: its owner was not among the teams. */
  readonly state: 'pending' | 'sent' | 'withheld' | 'gone' | 'not-asked'
  readonly withheld: { readonly code: string; readonly reason: string; readonly since: string; readonly resolution: string | null } | null
  readonly subscriptions: readonly SubscriptionLife[]
}
export interface SubscriptionLife {
  readonly team: string
  readonly subscription: string
  readonly kind: 'handler' | 'replica'
  /** `current`: the copy has this version or a later one. `unseen`: not arrived, or so long ago that nothing is known any more. */
  readonly outcome: 'applied' | 'current' | 'waiting' | 'discarded' | 'unseen'
  readonly at: string | null
  readonly generation: number | null
  readonly waiting: {
    /** 1 = the head of its line. */
    readonly position: number
    /** Why the head waits. */
    readonly reason: string
    readonly attempts: number
    readonly errorCode: string | null
    readonly error: string | null
  } | null
  /** Why it was ended without its effect. */
  readonly discarded: { readonly reason: string; readonly author: string | null } | null
  /** The message that an operator put in its place. */
  readonly replacedBy: string | null
  /** Of the copy's row; 0 = nothing is known of the key. */
  readonly replicaVersion: number | null
  /**
   * What its handler published in the same transaction. Null = it can not be told: several messages were handled in that transaction, and
   * this one carries no trace. Of messages that share a trace and a transaction each has the children of all.
   */
  readonly children: readonly MessageLife[] | null
}

const WRITTEN = `
  select o.id::text as id, o.topic, o.key, o.tenant, o.kind, ${isoTime('o.time')} as at, o.headers,
    o.id <= (select c.id from comity.checkpoint c where c.source = 'outbox') as settled
  from comity.outbox o where o.id = $1::text::bigint`
const WITHHELD = `
  select w.topic, w.key, w.tenant, w.kind, ${isoTime('w.time')} as at, w.headers, w.code, w.reason, ${isoTime('w.withheld_at')} as since, w.resolution
  from comity.withheld w where w.id = $1::text::bigint`
/* Each line of it costs look-ups by key, never a scan: it is asked of live databases. */
const SEEN = `
  select s.name, s.kind, i.generation, ${isoTime('i.recorded_at')} as "appliedAt", i.xmin::text as "writtenBy", i.place, ${exactTime('i.recorded_at')} as "appliedExactly",
    w.reason as "waitingReason", w.position, w.attempts, w.error_code as "errorCode", w.error, ${isoTime('w.appended_at')} as "joinedAt",
    d.reason as "discardReason", d.author as "discardAuthor", ${isoTime('d.discarded_at')} as "discardedAt", e.replaced_by as "replacedBy"
  from comity.subscriptions s
  left join lateral (
    select i.generation, i.recorded_at, i.xmin, i.ctid::text as place from generate_series(1, s.generation) g(generation)
    join comity.inbox i on i.subscription = s.name and i.generation = g.generation and i.message = $1::text
    order by i.generation desc limit 1
  ) i on true
  left join lateral (
    select k.reason, w.attempts, w.error_code, w.error, w.appended_at,
      (select count(*)::int from comity.waiting b where b.subscription = w.subscription and b.key = w.key and b.seq > k.done and b.seq <= w.seq) as position
    from generate_series(1, s.generation) g(generation)
    join comity.waiting w on w.subscription = s.name and w.generation = g.generation and w.message = $1::text
    join comity.waiting_keys k on k.subscription = w.subscription and k.key = w.key and w.seq > k.done
    order by w.generation desc limit 1
  ) w on true
  left join lateral (
    select d.reason, d.author, d.discarded_at from comity.discarded d
    where d.subscription = s.name and d.message = $1::text order by d.discarded_at desc limit 1
  ) d on true
  left join comity.edited e on e.subscription = s.name and e.message = $1::text
  where s.topic = $2::text or i.generation is not null or w.attempts is not null or d.reason is not null order by s.name`
/*
 * What was published in the transaction that recorded the effect. Both rows bear its number; numbers come round, so the rows must also be
 * of one time: a version is never ahead of the clock, and no handler runs for longer than an hour.
 */
const CHILDREN = `
  select o.id::text as id from comity.outbox o
  where o.id between $4::text::bigint and $5::text::bigint
    and o.time between $2::text::timestamptz and $2::text::timestamptz + interval '1 hour' and o.xmin::text = $1::text
    and ($3::text is null or o.headers is null or o.headers not like '%traceparent%' or strpos(o.headers, $3::text) > 0)
  order by o.id limit 100`

/* Of one statement, so they stand side by side: this reads a few pages, where a look at all of the inbox would take minutes. */
const TOGETHER = `
  select count(*)::int as n from comity.inbox b
  where b.subscription = $1::text and b.xmin::text = $2::text and b.ctid >= $3::text::tid and b.ctid < $4::text::tid`

interface SeenRow {
  readonly name: string
  readonly kind: 'handler' | 'replica'
  readonly generation: number | null
  readonly appliedAt: string | null
  readonly writtenBy: string | null
  readonly place: string | null
  readonly appliedExactly: string | null
  readonly waitingReason: string | null
  readonly position: number | null
  readonly attempts: number | null
  readonly errorCode: string | null
  readonly error: string | null
  readonly joinedAt: string | null
  readonly discardReason: string | null
  readonly discardAuthor: string | null
  readonly discardedAt: string | null
  readonly replacedBy: string | null
}
interface WrittenRow {
  readonly topic: string
  readonly key: string
  readonly tenant: string | null
  readonly kind: string
  readonly at: string
  readonly headers: string | null
}
interface WithheldRow extends WrittenRow {
  readonly code: string
  readonly reason: string
  readonly since: string
  readonly resolution: string | null
}

/** More are no story any more. */
const MOST_MESSAGES = 200
const DEEPEST = 20

/** @param id `<team>-<version>`. Throws COMITY_NOT_A_MESSAGE_ID, and COMITY_MESSAGE_UNKNOWN when no team knows anything of it. */
export async function trace(environments: readonly Environment[], id: string): Promise<MessageLife> {
  for (const environment of environments) await requireInstalled(environment)
  const life = await new Tracer(environments).lifeOf(id, 0)
  const isKnown = life.topic !== null || life.subscriptions.some(({ outcome }) => outcome !== 'unseen')
  if (!isKnown) throw new MessageUnknown({ id, teams: environments.map(({ team }) => team).join(', ') })
  return life
}

class Tracer {
  readonly #environments: readonly Environment[]
  readonly #told = new Set<string>()

  constructor(environments: readonly Environment[]) {
    this.#environments = environments
  }

  async lifeOf(id: string, depth: number): Promise<MessageLife> {
    this.#told.add(id)
    const { team, version } = parseId(id)
    const owner = this.#environments.find((environment) => environment.team === team)
    const [written, withheld] = owner === undefined ? [] : await atOwner(owner.database, version)
    const row = written ?? withheld
    const traceparent = traceparentIn(row?.headers)
    const subscriptions: SubscriptionLife[] = []
    for (const environment of this.#environments) {
      const { rows } = await environment.database.query<SeenRow>(SEEN, [id, row?.topic ?? null])
      for (const seen of rows) subscriptions.push(await this.#subscriptionLife(environment, seen, { row, version, traceparent, depth }))
    }
    const sent = written?.settled ? 'sent' : 'pending'
    const known = withheld !== undefined && withheld.resolution === null ? 'withheld' : written === undefined ? 'gone' : sent
    return {
      ...{ id, team, version },
      topic: row?.topic ?? null,
      key: row?.key ?? null,
      tenant: row?.tenant ?? null,
      kind: row?.kind ?? null,
      traceparent: traceparent ?? null,
      at: row?.at ?? null,
      state: owner === undefined ? 'not-asked' : known,
      withheld:
        withheld === undefined
          ? null
          : { code: withheld.code, reason: withheld.reason, since: withheld.since, resolution: withheld.resolution },
      subscriptions,
    }
  }

  async #subscriptionLife(
    environment: Environment,
    seen: SeenRow,
    of: {
      readonly row: WrittenRow | undefined
      readonly version: number
      readonly traceparent: string | undefined
      readonly depth: number
    },
  ): Promise<SubscriptionLife> {
    const { name, kind, generation, appliedAt, waitingReason, position, attempts, errorCode, error, discardReason, discardAuthor } = seen
    const replicaVersion = kind === 'replica' && of.row !== undefined ? await versionAt(environment.database, name, of.row) : null
    const isCurrent = replicaVersion !== null && replicaVersion >= of.version
    // What was discarded stands in the inbox, too: so that it has no effect when it comes again.
    const ended = discardReason !== null ? 'discarded' : appliedAt !== null ? 'applied' : isCurrent ? 'current' : 'unseen'
    return {
      team: environment.team,
      subscription: name,
      kind,
      outcome: waitingReason !== null ? 'waiting' : ended,
      at: (waitingReason !== null ? seen.joinedAt : (appliedAt ?? seen.discardedAt)) ?? null,
      generation,
      waiting:
        waitingReason === null ? null : { position: position ?? 1, reason: waitingReason, attempts: attempts ?? 0, errorCode, error },
      discarded: discardReason === null ? null : { reason: discardReason, author: discardAuthor },
      replacedBy: seen.replacedBy,
      replicaVersion,
      children: await this.#childrenOf(environment, seen, of.traceparent, of.depth),
    }
  }

  async #childrenOf(
    environment: Environment,
    seen: SeenRow,
    traceparent: string | undefined,
    depth: number,
  ): Promise<readonly MessageLife[] | null> {
    if (seen.writtenBy === null || seen.kind === 'replica' || depth >= DEEPEST) return []
    const { rows } = await environment.database.query<{ id: string }>(CHILDREN, [
      seen.writtenBy,
      seen.appliedExactly,
      // The trace, which a handler's spans share.
      traceparent?.split('-')[1] ?? null,
      versionOfClock(seen.appliedExactly, -2 * 86_400_000),
      versionOfClock(seen.appliedExactly, 3_600_000),
    ])
    if (rows.length > 0 && traceparent === undefined && (await handledTogether(environment.database, seen)) > 1) return null
    const children: MessageLife[] = []
    for (const row of rows) {
      const id = messageId(environment.team, Number(row.id))
      if (this.#told.size < MOST_MESSAGES && !this.#told.has(id)) children.push(await this.lifeOf(id, depth + 1))
    }
    return children
  }
}

async function atOwner(
  database: Queryable,
  version: number,
): Promise<readonly [(WrittenRow & { readonly settled: boolean }) | undefined, WithheldRow | undefined]> {
  const [written, withheld] = await Promise.all([
    database.query<WrittenRow & { readonly settled: boolean }>(WRITTEN, [String(version)]),
    database.query<WithheldRow>(WITHHELD, [String(version)]),
  ])
  return [written.rows[0], withheld.rows[0]]
}

async function handledTogether(database: Queryable, { name, writtenBy, place }: SeenRow): Promise<number> {
  const page = Number(/^\((\d+),/.exec(place ?? '')?.[1] ?? 0)
  const { rows } = await database.query<{ n: number }>(TOGETHER, [name, writtenBy, `(${Math.max(0, page - 2)},0)`, `(${page + 3},0)`])
  return rows[0]?.n ?? 1
}

function parseId(id: string): { readonly team: string; readonly version: number } {
  const match = /^([a-z][a-z0-9-]*)-(\d{1,16})$/.exec(id)
  if (match === null || !Number.isSafeInteger(Number(match[2]))) throw new NotAMessageId({ id: id.slice(0, 200) })
  return { team: match[1] as string, version: Number(match[2]) }
}

function versionAt(database: Queryable, name: string, { topic, key }: WrittenRow): Promise<number> {
  return replica({ name, topic, database, applied: new AppliedKeys(), table: '', clock: systemClock }).versionOf(key)
}

/** What `comity.clock_id` answers at that time, `later` milliseconds later. */
function versionOfClock(time: string | null, later: number): string {
  return String((Date.parse(time ?? '') + later - Date.UTC(2026, 0, 1)) * 1000)
}

function traceparentIn(headers: string | null | undefined): string | undefined {
  if (headers === null || headers === undefined) return undefined
  try {
    return (JSON.parse(headers) as { traceparent?: string }).traceparent
  } catch {
    return undefined
  }
}
