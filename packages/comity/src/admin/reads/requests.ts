import type { Environment } from '../../catalog/environment.ts'
import { NoSuchRequestKnown } from '../errors.ts'
import { requireInstalled } from '../installation.ts'
import { Conditions } from './conditions.ts'
import { exactTime, isoTime } from './iso-time.ts'
import { cursorOf, limitOf, type Page, type PageOptions, pageOf } from './page.ts'

/** Where a request is in its life. At the owner a request that waits in a line is `requested`, and what its asker can see is not known. */
export const REQUEST_STATES = ['requested', 'accepted', 'rejected', 'expired', 'withdrawn', 'visible'] as const
export type RequestState = (typeof REQUEST_STATES)[number]

/** A request as one of its two teams knows it. Its content stays out: it belongs to somebody. Times are ISO 8601. */
export interface RequestRecord {
  /** `asked`: by this team; `answered`: by this team, of another one. */
  readonly side: 'asked' | 'answered'
  readonly id: string
  /** The contract's name. */
  readonly request: string
  readonly entity: string
  readonly key: string
  readonly tenant: string | null
  /** The other team. */
  readonly peer: string
  readonly state: RequestState
  /** Asked by this team, not heard of, and its deadline has passed: the owner decides all the same. */
  readonly overdue: boolean
  readonly reason: string | null
  /** Of the entity's key: what has the change. */
  readonly version: number | null
  readonly askedAt: string | null
  readonly deadline: string | null
  /** When its asker asked to end it. */
  readonly withdrawingAt: string | null
  /** By the owner's clock. */
  readonly decidedAt: string | null
  /** When the asker heard it, or at the owner: when the broker took it. */
  readonly heardAt: string | null
  readonly visibleAt: string | null
  /** When this team's own handler has acted on the outcome, and why it could not yet; both null where it has none. */
  readonly handledAt: string | null
  readonly problem: string | null
}

/** One request with what it says; both are null where they are not kept (any more). */
export interface ShownRequest extends RequestRecord {
  /** What was asked. */
  readonly data: unknown
  /** What was said with a rejection. */
  readonly detail: unknown
}

export interface RequestFilter {
  readonly side?: RequestRecord['side'] | undefined
  readonly state?: RequestState | undefined
  readonly overdue?: boolean | undefined
  readonly request?: string | undefined
  readonly key?: string | undefined
  readonly peer?: string | undefined
}

const ASKED = `
  select 'asked' as side, a.id, a.request, a.entity, a.key, a.tenant, a.owner as peer, a.state, a.overdue, a.reason, a.owner_version as version,
    coalesce(a.asked_at, a.heard_at) as sorted, a.asked_at, a.deadline, a.withdrawing_at, a.decided_at, a.heard_at, a.visible_at, a.data, a.detail, a.handled_at, a.problem
  from comity.asked_requests a`
const ANSWERED = `
  select 'answered', r.id, r.topic, r.entity, r.key, r.tenant, r.asker, r.outcome, false, r.reason, r.owner_version,
    r.asked_at, r.asked_at, r.deadline, null::timestamptz, r.decided_at, r.told_at, null::timestamptz, null::text, r.detail, null::timestamptz, null::text
  from comity.requests r`
/* Not decided: in the lines of its subscription. */
const WAITING = `
  select 'answered', w.attributes::json ->> 'ce-comityrequest', s.topic, c.entity, w.key, w.tenant, substring(w.attributes::json ->> 'ce-source' from 8),
    'requested', false, null::text, null::bigint, w.time, w.time, (w.attributes::json ->> 'ce-comitydeadline')::timestamptz, null::timestamptz,
    null::timestamptz, null::timestamptz, null::timestamptz, w.data, null::text, null::timestamptz, null::text
  from comity.answered c join comity.subscriptions s on s.topic = c.topic join comity.waiting_keys k on k.subscription = s.name
    join comity.waiting w on w.subscription = k.subscription and w.key = k.key and w.seq > k.done
  where w.attributes::jsonb ? 'ce-comityrequest' and not w.attributes::jsonb ? 'ce-comityask' and not exists (
    select from comity.requests d where d.asker = substring(w.attributes::json ->> 'ce-source' from 8) and d.id = w.attributes::json ->> 'ce-comityrequest')`
const COLUMNS = `
  q.side, q.id, q.request, q.entity, q.key, q.tenant, q.peer, q.state, q.overdue, q.reason, q.version::text as version, ${isoTime('q.asked_at')} as "askedAt",
  ${isoTime('q.deadline')} as deadline, ${isoTime('q.withdrawing_at')} as "withdrawingAt", ${isoTime('q.decided_at')} as "decidedAt",
  ${isoTime('q.heard_at')} as "heardAt", ${isoTime('q.visible_at')} as "visibleAt",
  ${isoTime('q.handled_at')} as "handledAt", q.problem`

type Row = Omit<RequestRecord, 'version'> & { readonly version: string | null; readonly exact: string }

/** What this team has asked, and what was asked of it: the newest first. */
export async function listRequests(environment: Environment, asked: RequestFilter & PageOptions = {}): Promise<Page<RequestRecord>> {
  const limit = limitOf(asked)
  const cursor = cursorOf(asked, 3)
  const where = new Conditions()
  for (const name of ['side', 'state', 'request', 'key', 'peer'] as const) {
    const value = asked[name]
    if (value !== undefined) where.add(`q.${name} = ?::text`, value)
  }
  if (asked.overdue) where.add('q.overdue')
  if (cursor !== undefined) where.add('(q.sorted, q.peer, q.id) < (?::text::timestamptz, ?::text, ?::text)', ...cursor)
  await requireInstalled(environment)
  const { rows } = await environment.database.query<Row>(
    `select ${COLUMNS}, ${exactTime('q.sorted')} as exact from (${ASKED} union all ${ANSWERED} union all ${WAITING}) q
     where ${where.sql} order by q.sorted desc, q.peer desc, q.id desc limit ${where.parameter(limit + 1)}::int`,
    where.values,
  )
  return pageOf(rows, limit, ({ exact, peer, id }) => [exact, peer, id], recordOf)
}

/**
 * The request with this id: as this team asked it, and as other teams asked it of this one (each asker has ids of its own). With its content only where
 * that is asked for. Throws COMITY_NO_SUCH_REQUEST_KNOWN.
 */
export async function showRequest(
  environment: Environment,
  id: string,
  { data = false }: { readonly data?: boolean } = {},
): Promise<readonly ShownRequest[]> {
  await requireInstalled(environment)
  const { rows } = await environment.database.query<Row & { readonly data: string | null; readonly detail: string | null }>(
    `select ${COLUMNS}, '' as exact, q.data, q.detail from (${ASKED} union all ${ANSWERED} union all ${WAITING}) q where q.id = $1::text order by q.side, q.peer`,
    [id],
  )
  if (rows.length === 0) throw new NoSuchRequestKnown({ team: environment.team, id })
  const content = (text: string | null): unknown => (!data || text === null ? null : JSON.parse(text))
  return rows.map((row) => ({ ...recordOf(row), data: content(row.data), detail: content(row.detail) }))
}

function recordOf({ exact: _, version, ...row }: Row): RequestRecord {
  return { ...row, version: version === null ? null : Number(version) }
}
