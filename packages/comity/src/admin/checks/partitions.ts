import { type Check, type Finding, ok, warning } from './check.ts'

/* Of the outbox, bounds are versions: microseconds since 2026. */
const LEAVES = `
  select p.parent, count(*)::int as leaves,
    max(extract(epoch from case when p.upper_bound is not null then null when p.parent = 'outbox'
      then timestamptz '2026-01-01 00:00:00Z' + p.lower_bound::float8 * interval '1 microsecond' else p.lower_bound::timestamptz end - now()) / 86400)::float8 as days,
    sum(pg_total_relation_size(to_regclass('comity.' || quote_ident(p.leaf))))::float8 as bytes,
    max(case when p.upper_bound is null then (select c.reltuples from pg_class c where c.oid = to_regclass('comity.' || quote_ident(p.leaf))) end)::float8 as in_tail
  from comity.partitions p group by p.parent order by p.parent`

interface Leaves {
  readonly parent: string
  readonly leaves: number
  /** How far ahead the tail begins. */
  readonly days: number
  readonly bytes: number
  readonly in_tail: number
}

/** Days are cut off ahead of time by the process that runs; in the tail rows would stay for ever. */
export const partitions: Check = {
  name: 'partitions',
  async look(_, { database }) {
    const { rows } = await database.query<Leaves>(LEAVES)
    return rows.map(({ parent, leaves, days, bytes, in_tail }): Finding => {
      const size = `comity.${parent} takes ${(bytes / 2 ** 20).toFixed(0)} MiB in ${leaves} partitions`
      if (days < 1)
        return warning(`${size}, and none is there for tomorrow`, 'start "comity run": it cuts them ahead, one every ten minutes')
      if (in_tail > 200_000)
        return warning(
          `${size}, and the last one holds ${Math.round(in_tail)} rows of too far ahead`,
          'look for a clock that is ahead: times of events come from their owners',
        )
      return ok(size)
    })
  },
}
