import type { Queryable } from '../postgres/database.ts'
import { qualified, quoteIdentifier } from '../postgres/index.ts'
import { ReplicaUnknown } from '../replica/errors.ts'
import type { ReplicaColumn } from '../replica/replica-columns.ts'

/** A copy's table as the database knows it, locked against every other change of it. */
export interface ReplicaTable {
  readonly schema: string
  readonly table: string
  readonly columns: readonly ReplicaColumn[]
  readonly rebuilt: { readonly table: string; readonly columns: readonly ReplicaColumn[] } | undefined
}

const ROW = `
  select name, table_schema, table_name, columns::text as columns, rebuilt::text as rebuilt from comity.replicas where name = $1::text for update`

/** Throws COMITY_REPLICA_UNKNOWN. @param sql a transaction */
export async function lockReplica(sql: Queryable, replica: string): Promise<ReplicaTable> {
  const { rows } = await sql.query<{ table_schema: string; table_name: string; columns: string; rebuilt: string | null }>(ROW, [replica])
  const row = rows[0]
  if (row === undefined) {
    const known = await sql.query<{ name: string }>('select name from comity.replicas order by name')
    throw new ReplicaUnknown({ replica, replicas: known.rows.map(({ name }) => name).join(', ') || 'none' })
  }
  return {
    ...{ schema: row.table_schema, table: row.table_name, columns: JSON.parse(row.columns) },
    rebuilt: row.rebuilt === null ? undefined : JSON.parse(row.rebuilt),
  }
}

/**
 * Before DDL on a copy's table: whoever applies a change has ended, and whoever comes reads what this transaction writes. A reader that is in the
 * way makes it fail soon (SQLSTATE 55P03), because everybody queues behind it meanwhile: to be tried again.
 */
export async function quietReplica(sql: Queryable, replica: string): Promise<void> {
  await sql.query(`select set_config('lock_timeout', '200ms', true) as setting`)
  // In the order in which chunks are applied.
  await sql.query(
    `select 1 from comity.asked_backfills where replica = $1::text and state in ('asking', 'filling', 'settling') order by asked_at for update`,
    [replica],
  )
  await sql.query('select 1 from comity.lanes where subscription = $1::text order by lane for update', [replica])
}

/* What belongs to the old table by its identity, and would not be there any more, or would go on reading it. */
const DEPENDENTS = `
  with t as (select c.* from pg_class c where c.oid = $1::text::regclass)
  select found from (
    select 'it is no plain table' as found from t where t.relkind <> 'r' or t.relpersistence <> 'p' or t.relispartition
    union all select 'row level security' from t where t.relrowsecurity
    union all select 'a replica identity' from t where t.relreplident <> 'd'
    union all select distinct case c.relkind when 'm' then 'the materialized view ' else 'the view ' end || c.oid::regclass from t
      join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = t.oid and d.classid = 'pg_rewrite'::regclass
      join pg_rewrite r on r.oid = d.objid join pg_class c on c.oid = r.ev_class and c.oid <> t.oid
    union all select distinct 'the function ' || d.objid::regprocedure from t
      join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = t.oid and d.classid = 'pg_proc'::regclass
    union all select 'the foreign key ' || f.conname || ' of ' || f.conrelid::regclass from t join pg_constraint f on f.confrelid = t.oid and f.contype = 'f'
    union all select 'the constraint ' || k.conname from t join pg_constraint k on k.conrelid = t.oid and k.contype in ('c', 'f', 'u', 'x')
    union all select 'the trigger ' || g.tgname from t join pg_trigger g on g.tgrelid = t.oid and not g.tgisinternal
    union all select 'the policy ' || p.polname from t join pg_policy p on p.polrelid = t.oid
    union all select 'the rule ' || r.rulename from t join pg_rewrite r on r.ev_class = t.oid
    union all select 'the publication ' || p.pubname from t join pg_publication_rel m on m.prrelid = t.oid join pg_publication p on p.oid = m.prpubid
    union all select 'the table ' || i.inhrelid::regclass || ', which inherits from it' from t join pg_inherits i on i.inhparent = t.oid
    union all select 'the statistics ' || s.stxname from t join pg_statistic_ext s on s.stxrelid = t.oid
    union all select 'the column ' || a.attname || ', which is not of the copy' from t join pg_attribute a on a.attrelid = t.oid
      where a.attnum > 0 and not a.attisdropped and not a.attname = any ($2::text::text[])
    union all select 'the default of ' || a.attname from t join pg_attrdef f on f.adrelid = t.oid join pg_attribute a on a.attrelid = t.oid and a.attnum = f.adnum
      where a.attname = any ($2::text::text[])
  ) f order by found`

/** What keeps another table from taking this one's place, in words. @param columns a literal of the names of the copy's own columns */
export async function dependentsOf(sql: Queryable, { schema, table }: ReplicaTable, columns: string): Promise<readonly string[]> {
  const { rows } = await sql.query<{ found: string }>(DEPENDENTS, [qualified(schema, table), columns])
  return rows.map(({ found }) => found)
}

/* Its owner, settings, rights and indexes (but for the primary key), each as a statement for another table. */
const LIKENESS = `
  with t as (select c.* from pg_class c where c.oid = $1::text::regclass)
  select text, kind from (
    select 'owner' as kind, 0 as n, format('alter table %s owner to %I', $2::text, pg_get_userbyid(t.relowner)) as text from t
    union all select 'owner', 1, format('alter table %s set (%s)', $2::text, array_to_string(t.reloptions, ', ')) from t where t.reloptions is not null
    union all select distinct 'right', 2, format('revoke all on %s from %s', $2::text, case g.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end)
      from pg_class m left join pg_attribute a on a.attrelid = m.oid and a.attacl is not null
        cross join lateral (select * from aclexplode(m.relacl) union all select * from aclexplode(a.attacl)) g
      where m.oid = $2::text::regclass and g.grantee <> m.relowner
    union all select 'right', 3, format('grant %s on %s to %s%s', g.privilege_type, $2::text,
        case g.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end, case when g.is_grantable then ' with grant option' else '' end)
      from t cross join aclexplode(t.relacl) g where g.grantee <> t.relowner
    union all select 'right', 4, format('grant %s (%I) on %s to %s%s', g.privilege_type, a.attname, $2::text,
        case g.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end, case when g.is_grantable then ' with grant option' else '' end)
      from t join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and a.attname = any ($3::text::text[]) cross join aclexplode(a.attacl) g
      where g.grantee <> t.relowner
    union all select 'index', 5, format('create %sindex %I on %s%s', case when i.indisunique then 'unique ' else '' end, 'comity_rebuilt_' || i.indexrelid, $2::text,
        substring(d.text from position(' USING ' in d.text)))
      from t join pg_index i on i.indrelid = t.oid and not i.indisprimary and i.indisvalid cross join lateral pg_get_indexdef(i.indexrelid) d(text)
  ) l order by n, text`

/** What makes a new table, `like`, one that stands for this one: statements by kind. @param columns a literal of the names of the new one's columns */
export async function likenessSql(
  sql: Queryable,
  { schema, table }: ReplicaTable,
  like: string,
  columns: string,
): Promise<readonly { readonly text: string; readonly kind: 'owner' | 'right' | 'index' }[]> {
  const { rows } = await sql.query<{ text: string; kind: 'owner' | 'right' | 'index' }>(LIKENESS, [
    ...[qualified(schema, table), qualified(schema, like), columns],
  ])
  return rows
}

/* Names that the new table's primary key and indexes get when the old ones are gone. */
const NAMES = `
  with t as (select c.* from pg_class c where c.oid = $1::text::regclass), n as (select c.* from pg_class c where c.oid = $2::text::regclass)
  select text from (
    select format('alter table %s rename constraint %I to %I', $3::text, k.conname, o.conname) as text
      from t join pg_constraint o on o.conrelid = t.oid and o.contype = 'p', n join pg_constraint k on k.conrelid = n.oid and k.contype = 'p'
    union all select format('alter index %I.%I rename to %I', s.nspname, 'comity_rebuilt_' || i.indexrelid, c.relname)
      from t join pg_index i on i.indrelid = t.oid and not i.indisprimary and i.indisvalid join pg_class c on c.oid = i.indexrelid
        join pg_namespace s on s.oid = c.relnamespace
  ) s`
/* Indexes of the old table that the new one does not have: made since. */
const UNMATCHED = `
  select 'the index ' || i.indexrelid::regclass || ', made or changed since' as found from pg_index i
  where i.indrelid = $1::text::regclass and not i.indisprimary and i.indisvalid and not exists (
    select from pg_index n join pg_class c on c.oid = n.indexrelid where n.indrelid = $2::text::regclass and c.relname = 'comity_rebuilt_' || i.indexrelid)`

/** Puts the rebuilt table in the place of the one that is read. @param sql a transaction that holds the old table exclusively */
export async function takePlace(sql: Queryable, { schema, table }: ReplicaTable, rebuilt: string): Promise<readonly string[]> {
  const [old, made] = [qualified(schema, table), qualified(schema, rebuilt)]
  const { rows: unmatched } = await sql.query<{ found: string }>(UNMATCHED, [old, made])
  if (unmatched.length > 0) return unmatched.map(({ found }) => found)
  const { rows: names } = await sql.query<{ text: string }>(NAMES, [old, made, old])
  await sql.query(`drop table ${old}`)
  await sql.query(`alter table ${made} rename to ${quoteIdentifier(table)}`)
  for (const { text } of names) await sql.query(text)
  return []
}
