import type { Queryable } from '../postgres/database.ts'

/** How the requests of one contract stand at one of its two teams. Ages in seconds, 0 = there is none; counted to 100,000, the oldest first. */
export type RequestStanding = AskedStanding | AnsweredStanding
export interface AskedStanding {
  readonly side: 'asked'
  /** The contract's name. */
  readonly request: string
  readonly peer: string
  /** No outcome was heard yet. */
  readonly open: number
  readonly oldestSeconds: number
  /** Of these: the deadline has passed. */
  readonly overdue: number
  /** Outcomes whose handler has not succeeded; 0 where this team has none. */
  readonly unhandled: number
  readonly oldestUnhandledSeconds: number
  /** By what name the handler of outcomes is paused; null where this team has none. */
  readonly handler: string | null
  /** Of this handler; `tenant` null: of all of it. What is paused everywhere in the team stops it too. */
  readonly pauses: readonly OutcomePause[]
}
export interface OutcomePause {
  readonly tenant: string | null
  readonly author: string
  readonly reason: string
  /** ISO 8601. */
  readonly since: string
}
export interface AnsweredStanding {
  readonly side: 'answered'
  readonly request: string
  /** In lines at this team, and not decided. What is still at the broker is the lag of its subscription. */
  readonly open: number
  readonly oldestSeconds: number
}

const STANDING = `
  select 'asked' as side, c.topic as request, c.owner as peer, coalesce(o.open, 0) as open, coalesce(o.oldest, 0)::float8 as "oldestSeconds",
    coalesce(o.overdue, 0) as overdue, u.unhandled, coalesce(u.oldest, 0)::float8 as "oldestUnhandledSeconds",
    case when c.handled_since is not null then h.name end as handler,
    (select coalesce(json_agg(json_build_object('tenant', nullif(p.tenant, ''), 'author', p.author, 'reason', p.reason,
        'since', to_char(p.since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) order by p.tenant), '[]')
      from comity.pauses p where p.subscription = h.name and c.handled_since is not null)::text as pauses
  from comity.asks c
    cross join lateral (select $1::text || '.' || replace(c.topic, '.', '-') as name) h
    left join (
      select topic, count(*)::int as open, extract(epoch from clock_timestamp() - min(asked_at)) as oldest,
        (count(*) filter (where deadline < clock_timestamp()))::int as overdue
      from (select topic, asked_at, deadline from comity.asked where outcome is null order by asked_at limit 100000) a group by topic
    ) o on o.topic = c.topic
    cross join lateral (
      select count(*)::int as unhandled, extract(epoch from clock_timestamp() - min(heard_at)) as oldest
      from (select heard_at from comity.asked a where a.topic = c.topic and outcome is not null and handled_at is null and heard_at >= c.handled_since
        order by heard_at limit 100000) heard
    ) u
  union all
  select 'answered', c.topic, null, count(w.time)::int, coalesce(extract(epoch from clock_timestamp() - min(w.time)), 0)::float8, null, null, null, null, null
  from comity.answered c left join lateral (
    select w.time from comity.subscriptions s join comity.waiting_keys k on k.subscription = s.name
      join comity.waiting w on w.subscription = k.subscription and w.key = k.key and w.seq > k.done
    where s.topic = c.topic and not w.attributes::jsonb ? 'ce-comityask' and not exists (
      select from comity.requests d where d.asker = substring(w.attributes::json ->> 'ce-source' from 8) and d.id = w.attributes::json ->> 'ce-comityrequest')
    order by w.seq limit 100000) w on true
  group by c.topic
  order by side, request`

/** By what name a team's handler of outcomes is paused. It is nothing at the broker, so its length has no limit. */
export function outcomeHandlerName(team: string, request: string): string {
  return `${team}.${request.replaceAll('.', '-')}`
}

/** Of every request that this team has been registered for, by `comity migrate`. */
export async function requestsStanding(database: Queryable, team: string): Promise<readonly RequestStanding[]> {
  type Row = AnsweredStanding | (Omit<AskedStanding, 'pauses'> & { readonly pauses: string })
  const { rows } = await database.query<Row>(STANDING, [team])
  return rows.map((row) => {
    if (row.side === 'asked') return { ...row, pauses: JSON.parse(row.pauses) as readonly OutcomePause[] }
    const { side, request, open, oldestSeconds } = row
    return { side, request, open, oldestSeconds }
  })
}
