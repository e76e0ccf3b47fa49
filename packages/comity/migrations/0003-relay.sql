-- The relay's own state: how far everything is settled, what is withheld, and the care for partitions.

create table comity.checkpoint (
  source text primary key,
  -- Every row at or below it is sent or withheld, and none can appear there any more.
  id bigint not null,
  -- The lease's term of the relay that wrote it: an older one is refused.
  term bigint not null,
  moved_at timestamptz not null default clock_timestamp()
);
insert into comity.checkpoint (source, id, term) values ('outbox', 0, 0);

-- What could not be published, with its reason, recorded before the checkpoint passes it.
-- An entity's next valid state supersedes it; an event holds back its key's followers here.
create table comity.withheld (
  id bigint primary key,
  topic text not null,
  key text not null,
  kind text not null,
  tenant text,
  payload text,
  headers text,
  time timestamptz not null,
  code text not null,
  path text not null default '',
  reason text not null,
  follows bigint,
  withheld_at timestamptz not null default clock_timestamp(),
  -- Somebody wants it, and with it its key, to be tried again.
  retry_at timestamptz,
  resolution text,
  resolved_at timestamptz
);
create index withheld_open on comity.withheld (topic, key) where resolved_at is null;
create index withheld_retried on comity.withheld (topic, key) where retry_at is not null and resolved_at is null;

-- A horizon: a version `hi`, and the transactions that may still commit rows at or below it. The sequence is read first, the
-- lockers after it: who drew at or below hi took RowExclusiveLock on the outbox before drawing, so is listed here or has ended.
-- A prepared transaction has no backend; it is listed by its own name.
create function comity.horizon() returns table (hi bigint, identity text, lockers text[], prepared text[])
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  select s.last_value into hi from comity.outbox_id s;
  identity := comity.identity();
  select coalesce(array_agg(l.virtualtransaction) filter (where l.pid is not null), '{}'),
         coalesce(array_agg(l.virtualtransaction) filter (where l.pid is null), '{}')
    into lockers, prepared
    from pg_locks l
    where l.relation = 'comity.outbox'::regclass and l.mode = 'RowExclusiveLock' and l.granted
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
      and l.pid is distinct from pg_backend_pid();
  return next;
end $$;

-- Who holds up the checkpoint: transactions that may still commit rows of the outbox. What the owner of the schema may not see is NULL.
create function comity.outbox_holders() returns table (pid integer, prepared text, state text, application text, seconds double precision)
  language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  with held as (
    select l.pid, l.virtualtransaction from pg_locks l
    where l.relation = 'comity.outbox'::regclass and l.mode = 'RowExclusiveLock' and l.granted and l.pid is distinct from pg_backend_pid()
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
  )
  select h.pid, null::text, a.state, a.application_name, extract(epoch from clock_timestamp() - a.xact_start)::double precision
    from held h left join pg_stat_activity a on a.pid = h.pid where h.pid is not null
  union all
  select null, p.gid, 'prepared', null, extract(epoch from clock_timestamp() - p.prepared)::double precision
    from held h join pg_prepared_xacts p on h.virtualtransaction = '-1/' || p.transaction::text where h.pid is null;
end;

-- Daily care, called by the relay; every step gives up at once when a lock is not free and is tried again later.
-- Versions are moved up to the clock's day, so that a leaf (a range of versions) is a day.
create function comity.maintain_outbox(retain interval) returns void
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  settled bigint := (select c.id from comity.checkpoint c where c.source = 'outbox');
  leaf comity.partitions;
  today timestamptz := date_trunc('day', now(), 'UTC');
  tail bigint := (select p.lower_bound::bigint from comity.partitions p where p.parent = 'outbox' and p.upper_bound is null);
  a_day constant bigint := 86400000000;
begin
  perform comity.advance_versions(comity.clock_id(today));
  -- One leaf at a call.
  if tail < comity.clock_id(today) + 14 * a_day then
    perform comity.try_cut_tail('outbox', (greatest(tail, comity.clock_id(today) + a_day) + a_day)::text);
  end if;
  for leaf in
    select * from comity.partitions p
    where p.parent = 'outbox' and p.upper_bound is not null and p.upper_bound::bigint <= least(settled + 1, comity.clock_id(now() - retain))
    order by p.upper_bound::bigint
  loop
    perform comity.drop_leaf(leaf.leaf);
  end loop;
end $$;

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
