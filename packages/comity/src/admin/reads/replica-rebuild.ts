import type { Queryable } from '../../postgres/database.ts'

/** How far the rebuild of a copy is. */
export interface ReplicaRebuild {
  /** `none`: it is not being rebuilt. Else as its backfill: asking, filling, settling, ready, incomplete, cancelled, refused. */
  readonly state: string
  readonly reason: string | null
  readonly rows: number
  readonly estimate: number | null
  /** Pids of transactions that began before the new table was complete: to these it would look like a part of it. */
  readonly readers: readonly number[]
}

const REBUILD = `
  select b.state, b.reason, b.rows::float8 as rows, b.estimate::float8 as estimate,
    (select coalesce(json_agg(a.pid order by a.pid), '[]')::text from pg_stat_activity a
      where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'
        and a.backend_xmin is not null and a.xact_start <= b.ended_at) as readers
  from comity.replicas r join comity.asked_backfills b on b.replica = r.name and b.why = 'rebuild'
  where r.name = $1::text and r.rebuilt is not null order by b.asked_at desc limit 1`

/** The rebuild that is under way. Readers of other roles are seen by members of pg_read_all_stats only. */
export async function replicaRebuild({ database }: { readonly database: Queryable }, replica: string): Promise<ReplicaRebuild> {
  const { rows } = await database.query<Omit<ReplicaRebuild, 'readers'> & { readonly readers: string }>(REBUILD, [replica])
  const row = rows[0]
  if (row === undefined) return { state: 'none', reason: null, rows: 0, estimate: null, readers: [] }
  return { ...row, readers: JSON.parse(row.readers) as number[] }
}
