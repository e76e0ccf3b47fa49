import type { Environment } from '../../catalog/environment.ts'
import { requireInstalled } from '../installation.ts'
import { isoTime } from './iso-time.ts'
import { cursorOf, limitOf, type Page, type PageOptions, pageOf } from './page.ts'

/** What waits of one tenant, and where it is paused. Times are ISO 8601. */
export interface TenantReport {
  /** Null: messages without a tenant. */
  readonly tenant: string | null
  /** Keys with a line, by why its head waits. */
  readonly keys: Readonly<Record<'parked' | 'paused' | 'overflow' | 'not-yet', number>>
  /** All of them. */
  readonly waitingKeys: number
  /** Messages in these lines: how far this tenant is behind, beyond what is on its way. */
  readonly waiting: number
  /** Since when the oldest line has been waiting; null = nothing waits. */
  readonly oldest: string | null
  /** Delivered and not ended, as far as the processes' rows say: the top five of each subscription and process. */
  readonly inFlight: number
  /** Where its messages are held; subscription '' = everywhere. */
  readonly paused: readonly { readonly subscription: string; readonly author: string; readonly reason: string; readonly since: string }[]
  /** The three subscriptions with most of its keys waiting. */
  readonly top: readonly { readonly subscription: string; readonly waitingKeys: number }[]
}

const BY = {
  /** Most keys waiting first. */
  waiting: 'keys',
  'dead-letters': 'parked',
  /** The longest wait first. */
  oldest: 'coalesce(-extract(epoch from oldest) * 1000000, -9000000000000000000)',
  tenant: '0',
} as const
export type TenantSort = keyof typeof BY
export const TENANT_SORTS: readonly TenantSort[] = Object.keys(BY) as TenantSort[]

/* `place` sorts the tenants without distinguishing a missing one from one of a name: '' is no tenant's name. */
const tenants = (by: string): string => `
  with lines as materialized (
    select k.subscription, k.tenant, k.reason, count(*)::int as n, min(k.since) as oldest
    from comity.waiting_keys k where $1::text is null or k.subscription = $1::text group by 1, 2, 3
  ), flight as materialized (
    select t.value ->> 'tenant' as tenant, sum((t.value ->> 'inside')::int)::int as n
    from comity.processes p cross join lateral jsonb_each(p.progress -> 'subscriptions') s
    cross join lateral jsonb_array_elements(coalesce(s.value -> 'tenants', '[]'::jsonb)) t
    where p.beat_at > clock_timestamp() - interval '60 seconds' and ($1::text is null or s.key = $1::text) group by 1
  ), all_of as (
    select coalesce(a.tenant, '') as place, a.tenant, l.*
    from (select tenant from lines union select tenant from flight union select tenant from comity.pauses where tenant <> '' and ($1::text is null or subscription in ($1::text, ''))) a
    cross join lateral (
      select coalesce(sum(l.n), 0)::int as keys, coalesce(sum(l.n) filter (where l.reason = 'parked'), 0)::int as parked,
        coalesce(sum(l.n) filter (where l.reason = 'paused'), 0)::int as held, coalesce(sum(l.n) filter (where l.reason = 'overflow'), 0)::int as overflow,
        coalesce(sum(l.n) filter (where l.reason = 'not-yet'), 0)::int as not_yet, min(l.oldest) as oldest
      from lines l where l.tenant is not distinct from a.tenant
    ) l
  ), sorted as (
    select *, (${by})::bigint as weight from all_of
  ), page as materialized (
    select * from sorted s
    where ($2::text is null or (-s.weight, s.place) > ($2::text::bigint, $3::text)) and ($5::text is null or s.tenant = $5::text)
    order by -s.weight, s.place limit $4::int
  ), messages as (
    select coalesce(k.tenant, '') as place, count(*)::int as n from comity.waiting_keys k
    join comity.waiting w on w.subscription = k.subscription and w.key = k.key and w.seq > k.done
    where coalesce(k.tenant, '') in (select p.place from page p) and ($1::text is null or k.subscription = $1::text) group by 1
  )
  select s.place, s.weight::text as weight, s.tenant, coalesce(m.n, 0) as waiting, coalesce((select f.n from flight f where f.tenant = s.tenant), 0) as in_flight, s.keys, s.parked, s.held, s.overflow, s.not_yet, ${isoTime('s.oldest')} as oldest,
    (select coalesce(json_agg(json_build_object('subscription', p.subscription, 'author', p.author, 'reason', p.reason,
        'since', ${isoTime('p.since')}) order by p.subscription), '[]')
      from comity.pauses p where p.tenant = s.tenant and p.tenant <> '')::text as paused,
    (select coalesce(json_agg(json_build_object('subscription', t.subscription, 'waitingKeys', t.n) order by t.n desc, t.subscription), '[]') from (
        select l.subscription, sum(l.n)::int as n from lines l where l.tenant is not distinct from s.tenant group by 1 order by 2 desc, 1 limit 3) t)::text as top
  from page s left join messages m on m.place = s.place
  order by -s.weight, s.place`

interface TenantRow {
  readonly place: string
  readonly weight: string
  readonly tenant: string | null
  readonly waiting: number
  readonly in_flight: number
  readonly keys: number
  readonly parked: number
  readonly held: number
  readonly overflow: number
  readonly not_yet: number
  readonly oldest: string | null
  readonly paused: string
  readonly top: string
}

/** The tenants of whom something waits, is under way or is paused, by default those with most waiting first. */
export async function listTenants(
  environment: Environment,
  asked: {
    readonly subscription?: string | undefined
    readonly tenant?: string | undefined
    readonly sort?: TenantSort | undefined
  } & PageOptions = {},
): Promise<Page<TenantReport>> {
  const limit = limitOf(asked)
  const cursor = cursorOf(asked, 2)
  await requireInstalled(environment)
  const { rows } = await environment.database.query<TenantRow>(tenants(BY[asked.sort ?? 'waiting']), [
    asked.subscription ?? null,
    cursor?.[0] ?? null,
    cursor?.[1] ?? null,
    limit + 1,
    asked.tenant ?? null,
  ])
  return pageOf(rows, limit, ({ weight, place }) => [String(-Number(weight)), place], reportOf)
}

function reportOf({ tenant, waiting, in_flight, keys, parked, held, overflow, not_yet, oldest, paused, top }: TenantRow): TenantReport {
  return {
    tenant,
    keys: { parked, paused: held, overflow, 'not-yet': not_yet },
    waitingKeys: keys,
    waiting,
    inFlight: in_flight,
    oldest,
    paused: JSON.parse(paused),
    top: JSON.parse(top),
  }
}
