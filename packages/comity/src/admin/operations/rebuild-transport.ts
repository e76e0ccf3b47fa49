import type { JsonSchema } from '@comity/contract'
import type { Queryable } from '../../postgres/database.ts'
import type { Operation } from './operation.ts'

/** A version and when its row was written, ISO 8601. */
export interface OutboxPlace {
  readonly version: number
  readonly time: string
}
/** What a rebuild does for one topic of the team. */
export interface RebuiltTopic {
  readonly topic: string
  /** Rows of the outbox that are sent again, from the first to the last. */
  readonly messages: number
  readonly from: OutboxPlace | null
  readonly to: OutboxPlace | null
  /** What the outbox has no more: lost for whoever had not consumed it. Null = it has everything. */
  readonly gone: { readonly since: string; readonly before: OutboxPlace } | null
}
export interface RebuildOutcome {
  readonly topics: readonly RebuiltTopic[]
  /** Who held the relay's lease; until it has surely stopped, in seconds from now. */
  readonly leader: { readonly holder: string; readonly seconds: number } | null
  /** The name under which nobody relays, until `release` or the end of the hold; null = nobody has ever relayed. */
  readonly hold: string | null
}

const CHECKPOINT = `select id::text as id from comity.checkpoint where source = 'outbox' for update`
/* The care of the outbox drops a leaf when it is settled and a day old, and empties it first: a leaf of that age may be empty. */
const FLOOR = `
  select (select min(o.id)::text from comity.outbox o) as version,
    (select to_char(o.time at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') from comity.outbox o order by o.id limit 1) as time,
    s.last_value::text as last, to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as now,
    exists (select from comity.partitions p where p.parent = 'outbox' and p.upper_bound::bigint <= comity.clock_id(now() - interval '1 day'))
      or not exists (select from comity.partitions p where p.parent = 'outbox' and p.lower_bound = 'MINVALUE') as dropped
  from comity.outbox_id s`
const TOPICS = `
  select c.topic, to_char(c.registered_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as since, coalesce(o.n, 0)::int as messages,
    o.first::text as first, o.last::text as last,
    to_char(o.began at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as began, to_char(o.ended at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as ended
  from comity.contracts c left join (
    select topic, count(*) as n, min(id) as first, max(id) as last, min(time) as began, max(time) as ended from comity.outbox group by topic
  ) o on o.topic = c.topic order by c.topic`
/*
 * The leader's term is over, so it can neither renew its lease nor move the checkpoint: also one that has nothing to do finds out at its next
 * renewal. Nobody else leads before it has stopped by its own clock, and as long as the hold lasts.
 */
const END_TERM = `
  with before as (select holder, greatest(extract(epoch from expires_at - clock_timestamp()), 0)::float8 as seconds from comity.leases where name = 'relay' for update)
  update comity.leases l set holder = $1::text, term = l.term + 1,
    expires_at = greatest(l.expires_at, clock_timestamp() + make_interval(secs => $2::int))
  from before where l.name = 'relay' returning l.term::text as term, before.holder, case when before.holder is null then 0 else before.seconds end as seconds`
const GO_BACK = `
  update comity.checkpoint set id = $1::text::bigint, term = greatest(term, $2::text::bigint), moved_at = clock_timestamp() where source = 'outbox'`

/* Of entities that this team has handed over. */
const TELL_AGAIN = 'update comity.hand_overs set told_at = null where owner = (select team from comity.database)'

const ARGUMENTS: JsonSchema = {
  type: 'object',
  properties: { hold: { type: 'integer', minimum: 0, maximum: 600 } },
  required: [],
  additionalProperties: false,
}

/**
 * A broker that was lost for good is filled again: the relay goes back to the oldest row that the outbox has, and sends everything once more, in
 * order, under the same ids. With `hold` nobody relays for so many seconds: time to create topics and subscriptions first.
 */
export const rebuildTransport: Operation<{ readonly hold?: number }> = {
  kind: 'rebuild-transport',
  arguments: ARGUMENTS,
  async run(sql, { id }, { hold = 0 }) {
    await sql.query(CHECKPOINT)
    const floor = await floorOf(sql)
    const name = `comity transport rebuild ${id}`
    const { rows } = await sql.query<{ term: string; holder: string | null; seconds: number }>(END_TERM, [name, hold])
    const ended = rows[0]
    await sql.query(GO_BACK, [String(floor.before.version - 1), ended?.term ?? '0'])
    await sql.query(TELL_AGAIN)
    const leader = ended?.holder ? { holder: ended.holder, seconds: ended.seconds } : null
    return { topics: await topicsOf(sql, floor), leader, hold: ended === undefined ? null : name } as never
  },
}

interface Floor {
  /** The first row that is there. */
  readonly before: OutboxPlace
  readonly dropped: boolean
}

async function floorOf(sql: Queryable): Promise<Floor> {
  const { rows } = await sql.query<{ version: string | null; time: string | null; last: string; now: string; dropped: boolean }>(FLOOR)
  const { version, time, last, now, dropped } = rows[0] as (typeof rows)[number]
  return { before: { version: version === null ? Number(last) + 1 : Number(version), time: time ?? now }, dropped }
}

async function topicsOf(sql: Queryable, { before, dropped }: Floor): Promise<readonly RebuiltTopic[]> {
  const { rows } = await sql.query<
    Readonly<Record<'topic' | 'since', string>> &
      Readonly<Record<'first' | 'last' | 'began' | 'ended', string | null>> & { readonly messages: number }
  >(TOPICS)
  const place = (version: string | null, time: string | null): OutboxPlace | null =>
    version === null || time === null ? null : { version: Number(version), time }
  return rows.map(({ topic, since, messages, first, last, began, ended }) => ({
    ...{ topic, messages, from: place(first, began), to: place(last, ended) },
    gone: dropped && since < before.time ? { since, before } : null,
  }))
}
