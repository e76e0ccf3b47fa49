import type { Queryable } from '../../postgres/database.ts'

/** What no longer is as `comity migrate` left it. */
export interface CaptureProblem {
  readonly topic: string
  readonly kind:
    | 'table-missing'
    | 'released'
    | 'view-missing'
    | 'function-altered'
    | 'trigger-missing'
    | 'trigger-altered'
    | 'partitions-changed'
    | 'column-altered'
    | 'key-index-missing'
    | 'row-security'
    | 'inherited'
    | 'unlogged'
    | 'replicated'
  /** The relation in question. */
  readonly table: string
  readonly problem: string
  /** What to run, word by word where a command can do it. */
  readonly command: string
  /** Are changes lost, or writes refused, until then? Otherwise it is something to know. */
  readonly severe: boolean
}

/** Verifies every capture of this database; `start()` refuses on severe ones, with the command. */
export async function captureProblems(db: Queryable): Promise<readonly CaptureProblem[]> {
  const { rows } = await db.query<CaptureProblem>(PROBLEMS)
  return rows
}

/** Bits of pg_trigger.tgtype: row 1, before 2, insert 4, delete 8, update 16, truncate 32. */
const PROBLEMS = `
with capture as (
  select c.*, c.source::oid as oid, exists (select from pg_class where oid = c.source::oid) as there,
    to_regprocedure(format('comity.%I()', c.prefix || ' capture')) as trigger_function
  from comity.captures c
), live as (
  select * from capture where there and released_at is null
), relation as (
  select l.topic, l.trigger_function, r.oid, r.root, r.leaf
  from live l cross join lateral (
    select l.oid, true as root, true as leaf
    union all select p.relid, false, p.isleaf from pg_partition_tree(l.oid) p where p.relid <> l.oid
  ) r(oid, root, leaf)
), expected as (
  select r.*, e.event, e.bits from relation r cross join (values ('insert', 4), ('delete', 8), ('update', 16), ('truncate', 34)) e(event, bits)
  where r.leaf or e.event <> 'truncate'
)
select topic, kind, "table", problem, command, severe from (
  select topic, 'table-missing' as kind, source::text as "table", 'the table is gone' as problem,
    'comity release ' || topic as command, true as severe, 1 as rank from capture where not there
  union all
  select topic, 'released', source::text, format('released at %s, nothing is announced since', released_at), 'comity migrate', true, 2
    from capture where there and released_at is not null
  union all
  select l.topic, 'view-missing', l.source::text, format('the view %s is gone', v.name), 'comity migrate', v.severe, 3
    from live l cross join lateral (values (format('comity_public.%I', l.prefix), false), (format('comity.%I', l.prefix || ' state'), true)) v(name, severe)
    where to_regclass(v.name) is null
  union all
  select l.topic, 'function-altered', l.source::text,
    case when p.oid is null then 'the trigger function is gone'
      when not p.prosecdef or p.proconfig is null or not p.proconfig @> array['row_security=off', 'search_path=pg_catalog, pg_temp', 'TimeZone=UTC'] then 'the trigger function has lost SECURITY DEFINER or settings'
      else 'the trigger function may be executed by PUBLIC' end,
    'comity migrate', true, 4
    from live l left join pg_proc p on p.oid = l.trigger_function
    where p.oid is null or not p.prosecdef or p.proconfig is null or not p.proconfig @> array['row_security=off', 'search_path=pg_catalog, pg_temp', 'TimeZone=UTC']
      or exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where a.grantee = 0)
  union all
  select e.topic, 'trigger-missing', e.oid::regclass::text,
    format('%s has no trigger for %s%s', e.oid::regclass, string_agg(upper(e.event), ', ' order by e.event),
      case when e.root then '' else ': statements that name this partition are not announced' end), 'comity migrate', true, 5
    from expected e
    where not exists (select from pg_trigger t where t.tgrelid = e.oid and t.tgfoid = e.trigger_function and (t.tgtype & 62) = e.bits)
    group by e.topic, e.oid, e.root
  union all
  select e.topic, 'trigger-altered', e.oid::regclass::text,
    format('the trigger %I of %s is not ENABLE ALWAYS, or not the one that was made', t.tgname, e.oid::regclass),
    case when t.tgqual is null and (t.tgtype & 1) = 0 then format('alter table only %s enable always trigger %I', e.oid::regclass, t.tgname) else 'comity migrate' end, true, 6
    from expected e join pg_trigger t on t.tgrelid = e.oid and t.tgfoid = e.trigger_function and (t.tgtype & 62) = e.bits
    where t.tgenabled <> 'A' or t.tgqual is not null or (t.tgtype & 1) = 1
  union all
  select l.topic, 'partitions-changed', l.source::text,
    format('partitions came (%s) or went (%s) since %s: rows that come and go with them are announced by nobody',
      coalesce((select string_agg(n.name, ', ') from unnest(now.names) n(name) where n.name <> all (l.partitions)), 'none'),
      coalesce((select string_agg(n.name, ', ') from unnest(l.partitions) n(name) where n.name <> all (now.names)), 'none'), l.captured_at),
    'comity migrate', false, 7
    from live l cross join lateral (
      select array(select format('%I.%I', s.nspname, c.relname) from pg_partition_tree(l.oid) p join pg_class c on c.oid = p.relid
        join pg_namespace s on s.oid = c.relnamespace where p.relid <> l.oid) as names) now
    where not (now.names @> l.partitions and now.names <@ l.partitions)
  union all
  select l.topic, 'column-altered', l.source::text,
    format('the column %s is %s, it was captured as %s', f ->> 'column', format_type(x.type, null), f ->> 'type'), 'comity migrate', true, 8
    from live l cross join lateral jsonb_array_elements(l.fields) f
      join pg_attribute a on a.attrelid = l.oid and a.attname = f ->> 'column' and not a.attisdropped
      cross join lateral (
        with recursive d(type) as (select a.atttypid union all select t.typbasetype from d join pg_type t on t.oid = d.type where t.typtype = 'd')
        select d.type from d join pg_type t on t.oid = d.type where t.typtype <> 'd') x
      cross join lateral (values (format_type(x.type, null), f ->> 'type')) t(now, was)
    -- With or without its schema, as the search_path of whoever looks has it.
    where t.now <> t.was and right(t.now, length(t.was) + 1) <> '.' || t.was and right(t.was, length(t.now) + 1) <> '.' || t.now
  union all
  select l.topic, 'key-index-missing', l.source::text,
    format('no unique index has exactly the key columns (%s) any more', k.names), format('create unique index concurrently on %s (%s)', l.source, k.names), true, 9
    from live l cross join lateral (
      select array_agg(distinct d.refobjsubid order by d.refobjsubid) as columns, string_agg(distinct quote_ident(a.attname), ', ') as names
      from pg_proc p join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.refclassid = 'pg_class'::regclass and d.refobjid = l.oid and d.refobjsubid > 0
        join pg_attribute a on a.attrelid = l.oid and a.attnum = d.refobjsubid
      where p.pronamespace = 'comity'::regnamespace and p.proname = l.prefix || ' key') k
    where k.columns is not null and not exists (
      select from pg_index i where i.indrelid = l.oid and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null
        and array(select n::int from unnest(i.indkey::int2[]) with ordinality u(n, o) where u.o <= i.indnkeyatts order by 1) = k.columns::int[])
  union all
  select l.topic, 'row-security', l.source::text, 'a row-level security policy hides rows from the owner of the capture: writes fail',
    format('alter table %s no force row level security', l.source), true, 10
    from live l join pg_proc p on p.oid = l.trigger_function join pg_class c on c.oid = l.oid join pg_roles r on r.oid = p.proowner
    where c.relrowsecurity and not r.rolsuper and not r.rolbypassrls and (c.relforcerowsecurity or not pg_has_role(p.proowner, c.relowner, 'usage'))
  union all
  select l.topic, 'inherited', l.source::text, format('%s inherits from it: its rows are seen in it, and announced by nobody', string_agg(i.inhrelid::regclass::text, ', ')),
    format('alter table %s no inherit %s', min(i.inhrelid::regclass::text), l.source), true, 11
    from live l join pg_class c on c.oid = l.oid and c.relkind = 'r' join pg_inherits i on i.inhparent = l.oid group by l.topic, l.source
  union all
  select l.topic, 'unlogged', l.source::text, 'it is UNLOGGED: a crash empties it, and nobody is told', format('alter table %s set logged', l.source), true, 12
    from live l join pg_class c on c.oid = l.oid and c.relpersistence = 'u'
  union all
  select l.topic, 'replicated', l.source::text, 'logical replication writes this table, and fires no triggers of statements',
    'announce these changes where they are made', false, 13
    from live l where exists (select from pg_subscription_rel s where s.srrelid = l.oid)
) found order by topic, rank, "table", problem`
