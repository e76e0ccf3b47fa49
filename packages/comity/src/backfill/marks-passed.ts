import type { Queryable } from '../postgres/database.ts'
import type { RelayMark } from '../transport/index.ts'

const PASSED = `
  insert into comity.marks as m (subscription, bucket, buckets, version) values ($1::text, $2::int, $3::int, $4::text::bigint)
  on conflict (subscription, bucket) do update set buckets = excluded.buckets, version = excluded.version, passed_at = clock_timestamp()
  where m.version < excluded.version`

/** Everything of a copy's topic up to this version has ended here, in one bucket. */
export async function markPassed(database: Queryable, subscription: string, { version, index, of }: RelayMark): Promise<void> {
  await database.query(PASSED, [subscription, index, of, String(version)])
}
