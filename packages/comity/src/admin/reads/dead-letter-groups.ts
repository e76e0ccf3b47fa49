import type { Environment } from '../../catalog/environment.ts'
import { requireInstalled } from '../installation.ts'
import { type LetterSelection, selecting } from './conditions.ts'
import { isoTime } from './iso-time.ts'
import { cursorOf, limitOf, type Page, type PageOptions, pageOf } from './page.ts'

/** Dead letters that failed alike. Times are ISO 8601. */
export interface DeadLetterGroup {
  /** '' = parked by a version that recorded none. */
  readonly fingerprint: string
  readonly errorName: string | null
  readonly errorCode: string | null
  readonly frame: string | null
  readonly count: number
  /** When the first of its lines began, and when one was last tried. */
  readonly firstSeen: string
  readonly lastSeen: string
  readonly subscriptions: readonly string[]
  /** The ten with most of them. */
  readonly tenants: readonly { readonly tenant: string | null; readonly count: number }[]
  readonly totalTenants: number
  /** The one that was tried last; null where nobody knows how they failed. */
  readonly sample: { readonly subscription: string; readonly key: string; readonly message: string; readonly error: string | null } | null
}

type GroupRow = Omit<DeadLetterGroup, 'subscriptions' | 'tenants' | 'sample'> & {
  readonly subscriptions: string
  readonly tenants: string
  readonly sample: string | null
}

/** By what failed, the largest group first. */
export async function deadLetterGroups(
  environment: Environment,
  asked: LetterSelection & PageOptions = {},
): Promise<Page<DeadLetterGroup>> {
  const limit = limitOf(asked)
  const cursor = cursorOf(asked, 2)
  const where = selecting(asked)
  const selected = where.sql
  const after =
    cursor === undefined
      ? ''
      : `having (-sum(c.n), c.fingerprint) > (${where.parameter(cursor[0])}::text::bigint, ${where.parameter(cursor[1])}::text)`
  await requireInstalled(environment)
  const { rows } = await environment.database.query<GroupRow>(
    `with cells as materialized (
      select coalesce(k.fingerprint, '') as fingerprint, k.subscription, k.tenant, count(*) as n, min(k.since) as first, max(k.tried_at) as last
      from comity.waiting_keys k where k.reason = 'parked' and ${selected} group by 1, 2, 3
    ), groups as (
      select c.fingerprint, sum(c.n)::int as count, min(c.first) as first, max(c.last) as last,
        json_agg(distinct c.subscription)::text as subscriptions
      from cells c group by c.fingerprint ${after} order by -sum(c.n), c.fingerprint limit ${where.parameter(limit + 1)}::int
    ), tenants as (
      select t.fingerprint, count(*)::int as total,
        json_agg(json_build_object('tenant', t.tenant, 'count', t.n) order by t.place) filter (where t.place <= 10)::text as top
      from (
        select c.fingerprint, c.tenant, sum(c.n)::int as n,
          row_number() over (partition by c.fingerprint order by sum(c.n) desc, c.tenant) as place
        from cells c where c.fingerprint in (select fingerprint from groups) group by 1, 2
      ) t group by t.fingerprint
    )
    select g.fingerprint, g.count, ${isoTime('g.first')} as "firstSeen", ${isoTime('g.last')} as "lastSeen", g.subscriptions,
      t.top as tenants, t.total as "totalTenants", s.error_name as "errorName", s.error_code as "errorCode", s.frame,
      case when s.key is not null then json_build_object('subscription', s.subscription, 'key', s.key, 'message', coalesce(s.message, ''), 'error', s.error) end::text as sample
    from groups g join tenants t on t.fingerprint = g.fingerprint
    left join lateral (
      select k.* from comity.waiting_keys k where k.reason = 'parked' and k.fingerprint = g.fingerprint and ${selected}
      order by k.tried_at desc limit 1
    ) s on true
    order by g.count desc, g.fingerprint`,
    where.values,
  )
  return pageOf(rows, limit, ({ count, fingerprint }) => [String(-count), fingerprint], groupOf)
}

function groupOf({ subscriptions, tenants, sample, ...group }: GroupRow): DeadLetterGroup {
  return { ...group, subscriptions: JSON.parse(subscriptions), tenants: JSON.parse(tenants), sample: JSON.parse(sample ?? 'null') }
}
