-- The outbox, its versions and its incarnations (docs/architecture.md, "Versions and the outbox").
-- Every function that runs inside a business transaction pins its search_path and is SECURITY DEFINER:
-- the application's role needs EXECUTE and nothing else.

create table comity.database (
  only_row boolean primary key default true check (only_row),
  team text not null,
  namespace text not null,
  migrated_at timestamptz not null default now()
);

create table comity.leases (
  name text primary key,
  holder text,
  term bigint not null,
  expires_at timestamptz not null
);

-- CACHE 1: a cached block would let a later transaction draw a smaller version. Starts at microseconds since 2026,
-- so that a new incarnation can always move past anything an older one drew (a safe integer in JavaScript until 2311).
create sequence comity.outbox_id cache 1;

create table comity.outbox (
  id bigint not null default nextval('comity.outbox_id'),
  topic text not null,
  key text not null,
  kind text not null,
  tenant text,
  payload text,
  headers text,
  checked boolean not null default false,
  time timestamptz not null default clock_timestamp(),
  primary key (id)
) partition by range (id);
alter sequence comity.outbox_id owned by comity.outbox.id;

-- The leaves of every partitioned table of ours. The tail is the leaf without an upper bound.
create table comity.partitions (
  parent text not null,
  leaf text not null primary key,
  lower_bound text not null,
  upper_bound text
);

-- One row or more for each life of this database (see comity.notice_incarnation).
create table comity.incarnations (
  identity text not null,
  first_version bigint not null,
  last_survived bigint not null,
  noticed_at timestamptz not null default clock_timestamp()
);

-- Which life has been noticed (a hash of its identity), and the last version before it. Sequences stand outside of transactions:
-- every session sees at once that the versions were moved, whether or not the transaction that moved them ever commits.
create sequence comity.incarnation_mark minvalue 0;
create sequence comity.incarnation_floor minvalue 0;

create function comity.clock_id(at timestamptz default clock_timestamp()) returns bigint
  language sql volatile set search_path = pg_catalog, pg_temp
  return (extract(epoch from at - timestamptz '2026-01-01 00:00:00Z') * 1000000)::bigint;

-- A file copy started without recovery keeps system identifier and timeline; a promoted standby keeps the start
-- time: only all of these together tell one life from another.
create function comity.identity() returns text
  language sql stable security definer set search_path = pg_catalog, pg_temp
  return (select extract(epoch from pg_postmaster_start_time())::text || '/' || c.timeline_id || '/' || s.system_identifier || '/'
      || (select oid from pg_database where datname = current_database()) || '/' || 'comity.outbox'::regclass::oid
    from pg_control_checkpoint() c, pg_control_system() s);

-- Moves the sequence forward to `target` while others draw: only if it is so far ahead that they can't reach it meanwhile
-- (two million draws do not fit into one statement), and one at a time.
create function comity.advance_versions(target bigint) returns bigint
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform pg_advisory_xact_lock(hashtext('comity.incarnation'));
  return (select case when target > s.last_value + 2000000 then setval('comity.outbox_id', target) else s.last_value end from comity.outbox_id s);
end $$;

-- The first to notice a new life of this database moves the versions past everything that a lost history can have drawn:
-- versions grow slower than the clock. Nobody draws beside it, for whoever draws has been here before. The advisory lock is held
-- for this call only: business transactions must not wait for each other here. Until a row is committed others add theirs, alike.
create function comity.notice_incarnation() returns void
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  this text := comity.identity();
  mark bigint := hashtextextended(this, 0) & 9223372036854775807;
  floor bigint;
begin
  if exists (select from comity.incarnations where identity = this) then
    return;
  end if;
  perform pg_advisory_lock(hashtext('comity.incarnation'));
  begin
    if (select m.last_value from comity.incarnation_mark m) <> mark then
      select greatest(s.last_value + 1, comity.clock_id()) into floor from comity.outbox_id s;
      perform setval('comity.outbox_id', floor), setval('comity.incarnation_floor', floor), setval('comity.incarnation_mark', mark);
    else
      select f.last_value into floor from comity.incarnation_floor f;
    end if;
    insert into comity.incarnations (identity, first_version, last_survived)
      values (this, floor + 1, (select coalesce(max(o.id), 0) from comity.outbox o where o.id <= floor));
    perform pg_advisory_unlock(hashtext('comity.incarnation'));
  exception when query_canceled or assert_failure or others then
    perform pg_advisory_unlock(hashtext('comity.incarnation'));
    raise;
  end;
end $$;

-- Called before every outbox insert of a statement. A session's incarnation is checked once: a session that could
-- write can neither outlive its server nor see its timeline change. A rolled-back check is forgotten with its transaction.
create function comity.begin_publish() returns void
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if current_setting('synchronous_commit') = 'off' then
    -- A killed backend could lose a row that the relay had read already, and its id would be drawn again (measured).
    perform set_config('synchronous_commit', 'on', true);
  end if;
  if current_setting('comity.incarnation', true) is distinct from ('comity.outbox'::regclass::oid)::text then
    perform comity.notice_incarnation();
    perform set_config('comity.incarnation', ('comity.outbox'::regclass::oid)::text, false);
  end if;
  if coalesce(current_setting('comity.tx_floor', true), '') = '' then
    perform set_config('comity.tx_floor', (select last_value::text from comity.outbox_id), true);
  end if;
end $$;

-- The version drawn for a key in this transaction (a token's third part); NULL if it published nothing for that key.
create function comity.token(topic text, key text) returns bigint
  language sql volatile security definer set search_path = pg_catalog, pg_temp
  return (select max(o.id) from comity.outbox o
    where o.id >= nullif(current_setting('comity.tx_floor', true), '')::bigint
      and o.topic = token.topic and o.key = token.key);

-- Partitions. A leaf is a day. The tail is cut two weeks ahead, while it is still empty; if that is late (nobody cared for so
-- long, or the lock was never free), the tail simply takes the rows. An insert never fails for want of a leaf.
create function comity.cut_tail(parent text, upper_bound text) returns void
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  tail comity.partitions;
  next_leaf text;
begin
  perform set_config('lock_timeout', '50ms', true);
  select * into tail from comity.partitions p where p.parent = cut_tail.parent and p.upper_bound is null for update;
  if not found then
    return; -- another process has cut it just now
  end if;
  next_leaf := parent || '_' || translate(upper_bound, '-: +.', '');
  execute format('alter table comity.%I detach partition comity.%I', parent, tail.leaf);
  execute format('alter table comity.%I attach partition comity.%I for values from (%s) to (%L)', parent, tail.leaf,
                 case when tail.lower_bound = 'MINVALUE' then 'MINVALUE' else quote_literal(tail.lower_bound) end, upper_bound);
  execute format('create table comity.%I (like comity.%I including defaults including constraints including indexes)', next_leaf, parent);
  execute format('alter table comity.%I attach partition comity.%I for values from (%L) to (MAXVALUE)', parent, next_leaf, upper_bound);
  update comity.partitions p set upper_bound = cut_tail.upper_bound where p.leaf = tail.leaf;
  insert into comity.partitions (parent, leaf, lower_bound) values (parent, next_leaf, upper_bound);
end $$;

-- To end a tail that holds rows Postgres has to read them all, while writers wait: only few are worth it here.
create function comity.tail_is_small(parent text) returns boolean
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  tail text := (select p.leaf from comity.partitions p where p.parent = tail_is_small.parent and p.upper_bound is null);
  small boolean;
begin
  execute format('select count(*) <= 200000 from (select from comity.%I limit 200001) few', tail) into small;
  return small;
end $$;

-- Cuts the tail at `upper_bound`, if no writer is in the way for longer than 50 ms and it is small. Answers whether it did.
create function comity.try_cut_tail(parent text, upper_bound text) returns boolean
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not comity.tail_is_small(parent) then
    return false;
  end if;
  perform comity.cut_tail(parent, upper_bound);
  return true;
exception when lock_not_available then
  return false;
end $$;

-- Empties and then drops a leaf. TRUNCATE waits for nobody who inserts (they
-- lock other leaves); DROP needs the parent, so it happens when the lock is free within 50 ms, else another time.
create function comity.drop_leaf(leaf text) returns boolean
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  parent text;
begin
  perform set_config('lock_timeout', '50ms', true);
  select p.parent into strict parent from comity.partitions p where p.leaf = drop_leaf.leaf and p.upper_bound is not null for update;
  execute format('truncate comity.%I', leaf);
  begin
    execute format('alter table comity.%I detach partition comity.%I', parent, leaf);
    execute format('drop table comity.%I', leaf);
    delete from comity.partitions p where p.leaf = drop_leaf.leaf;
    return true;
  exception when lock_not_available then
    return false; -- empty all the same
  end;
exception when lock_not_available then
  return false;
end $$;

create table comity.outbox_first partition of comity.outbox for values from (minvalue) to (maxvalue);
insert into comity.partitions (parent, leaf, lower_bound) values ('outbox', 'outbox_first', 'MINVALUE');
select comity.cut_tail('outbox', comity.clock_id(date_trunc('day', now(), 'UTC') + interval '2 days')::text);

select setval('comity.outbox_id', comity.clock_id());

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
