import type { Queryable } from '../../postgres/database.ts'
import { isoTime } from './iso-time.ts'

/** One time that a copy is filled, from the side that was asked. Times are ISO 8601, ages and rates in seconds. */
export interface Backfill {
  readonly id: string
  /** `copy`: this team has asked for it; `owner`: this team does it for another. */
  readonly side: 'copy' | 'owner'
  /** `<team>.<name>` */
  readonly replica: string
  readonly entity: string
  /** The other team. */
  readonly with: string
  readonly why: string | null
  /** Of the copy: asking, filling, settling, ready, incomplete, cancelled, refused. Of the owner: waiting, running, paused, sent, done, cancelled, failed. */
  readonly state: string
  /** What the operator wants of one that runs: `pause`. */
  readonly paused: boolean
  readonly rows: number
  readonly estimate: number | null
  readonly withheld: number
  /** Rows that this team could not take; on the side of the copy. */
  readonly refused: number
  /** Rows that their owner does not have; on the side of the copy. */
  readonly removed: number
  /** Rows a second since it began; null before. */
  readonly rate: number | null
  /** Seconds until all rows are there, as it goes now; null where nobody knows. */
  readonly eta: number | null
  /** Transactions of the owner that it waits for. */
  readonly waitsFor: readonly { readonly pid?: number; readonly prepared?: string; readonly seconds: number }[]
  readonly reason: string | null
  readonly askedAt: string
  readonly beganAt: string | null
  readonly endedAt: string | null
}

const COPY = `
  select a.id::text as id, 'copy' as side, a.replica, a.entity, a.owner as "with", a.why, a.state, a.wanted = 'pause' or a.owner_state = 'paused' as paused,
    a.rows::float8 as rows, a.estimate::float8 as estimate, a.withheld::float8 as withheld, a.refused::float8 as refused, a.removed::float8 as removed,
    a.rows / nullif(extract(epoch from coalesce(a.filled_at, a.moved_at) - a.began_at), 0)::float8 as rate, null::text as waits_for, a.reason,
    ${isoTime('a.asked_at')} as "askedAt", ${isoTime('a.began_at')} as "beganAt", ${isoTime('a.ended_at')} as "endedAt"
  from comity.asked_backfills a`
const OWNER = `
  select b.id::text as id, 'owner' as side, b.replica, b.entity, b.asked_by as "with", null::text as why, b.state, b.state = 'paused' as paused,
    b.rows::float8 as rows, b.estimate::float8 as estimate, b.withheld::float8 as withheld, 0::float8 as refused, 0::float8 as removed,
    b.rows / nullif(extract(epoch from b.moved_at - b.began_at), 0)::float8 as rate, b.waits_for::text as waits_for, b.error as reason,
    ${isoTime('b.asked_at')} as "askedAt", ${isoTime('b.began_at')} as "beganAt", ${isoTime('b.ended_at')} as "endedAt"
  from comity.backfills b`
const NEWEST = `
  select * from (${COPY} union all ${OWNER}) f where ($1::text is null or f.replica = $1::text)
  order by f.state in ('ready', 'done', 'cancelled'), f."askedAt" desc, f.id limit $2::int`

type Row = Omit<Backfill, 'eta' | 'waitsFor'> & { readonly waits_for: string | null }

/** What is under way first, then the newest. */
export async function listBackfills(
  { database }: { readonly database: Queryable },
  { replica, limit = 20 }: { readonly replica?: string; readonly limit?: number } = {},
): Promise<readonly Backfill[]> {
  const { rows } = await database.query<Row>(NEWEST, [replica ?? null, limit])
  return rows.map(({ waits_for, ...row }) => {
    const isFilling = ['asking', 'filling', 'waiting', 'running'].includes(row.state) && !row.paused
    const left = row.estimate === null ? null : Math.max(0, row.estimate - row.rows)
    return {
      ...row,
      eta: isFilling && left !== null && row.rate !== null && row.rate > 0 ? Math.round(left / row.rate) : null,
      waitsFor: waits_for === null ? [] : JSON.parse(waits_for),
    }
  })
}
