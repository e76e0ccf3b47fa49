import type { Queryable } from '../postgres/database.ts'
import { sqlStateOf } from '../postgres/index.ts'

/*
 * What Postgres lets nobody take a column away from, or give another type: what is written in terms of the column and kept as it was understood
 * then. Indexes, checks and defaults are not among it: they go with the column, and are made again for another type where that can be.
 */
const DEPENDENTS = `
  select distinct case when f.oid is not null then 'the ' || pg_describe_object('pg_class'::regclass, f.adrelid, f.adnum)
    when d.classid <> 'pg_rewrite'::regclass then 'the ' || pg_describe_object(d.classid, d.objid, d.objsubid)
    else case v.relkind when 'm' then 'the materialized view ' else 'the view ' end || v.oid::regclass end as found
  from pg_depend d join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    left join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid left join pg_class v on v.oid = r.ev_class
    left join pg_attrdef f on d.classid = 'pg_attrdef'::regclass and f.oid = d.objid
    left join pg_constraint k on d.classid = 'pg_constraint'::regclass and k.oid = d.objid
  where d.refclassid = 'pg_class'::regclass and d.refobjid = to_regclass($1::text) and a.attname = any ($2::text::text[])
    and (d.classid in ('pg_rewrite'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass, 'pg_proc'::regclass)
      or f.adnum <> a.attnum
      or $3::text = 'drop' and (k.confrelid = d.refobjid or d.classid = 'pg_publication_rel'::regclass))
  order by 1`

/**
 * What is made from these columns and keeps them from being altered or dropped, in words.
 * @param table quoted. @param columns a literal of their names
 */
export async function columnDependents(sql: Queryable, table: string, columns: string, act: 'alter' | 'drop'): Promise<readonly string[]> {
  const { rows } = await sql.query<{ found: string }>(DEPENDENTS, [table, columns, act])
  return rows.map(({ found }) => found)
}

/** Whether Postgres refuses a change of a table for what stands on it, or can't make again for it: feature_not_supported, and all of class 42 and 2B. */
export function isDependent(error: unknown): boolean {
  return /^(0A000|2B|42)/.test(sqlStateOf(error) ?? '')
}
