-- The consuming side: lanes, the inbox, and the one place where everything waits.

create table comity.subscriptions (
  name text primary key,
  topic text not null,
  kind text not null check (kind in ('handler', 'replica')),
  -- Which run over history this is: a replay starts the next one, in which each message may have its effect again.
  generation integer not null default 1,
  -- In-process and cross-process order: a key's lane is bucketOf(key, lanes), the same in every process.
  lanes integer not null,
  declared_at timestamptz not null default now()
);

-- One row per lane: every transaction that consumes locks its lane's row first, so that a zombie, a backfill, a repair
-- and the live lane never overlap on a key.
create table comity.lanes (
  subscription text not null,
  lane integer not null,
  primary key (subscription, lane)
);

-- One row per message whose effect happened. Partitioned by the message's own time, so that a repeat meets its first in the same leaf.
create table comity.inbox (
  subscription text not null,
  generation integer not null,
  message text not null,
  time timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  primary key (subscription, generation, message, time)
) partition by range (time);
create table comity.inbox_first partition of comity.inbox for values from (minvalue) to (maxvalue);
insert into comity.partitions (parent, leaf, lower_bound) values ('inbox', 'inbox_first', 'MINVALUE');
select comity.cut_tail('inbox', (date_trunc('day', now(), 'UTC') + interval '2 days')::text);

-- A key that waits, waits as a whole. Appending, running and releasing lock this row; it goes when its line is empty under that lock.
create table comity.waiting_keys (
  subscription text not null,
  key text not null,
  tenant text,
  -- Why the head waits.
  reason text not null check (reason in ('parked', 'paused', 'overflow', 'not-yet')),
  -- The line's cursor: everything up to it has been run, skipped or discarded.
  done bigint not null default 0,
  since timestamptz not null default clock_timestamp(),
  -- When its head was last tried: what waits for something that had not arrived takes turns.
  tried_at timestamptz not null default clock_timestamp(),
  primary key (subscription, key)
);

create sequence comity.waiting_seq cache 1;

-- The messages of the lines, append-only, in order of seq (drawn under the key's lock).
create table comity.waiting (
  subscription text not null,
  generation integer not null,
  key text not null,
  seq bigint not null default nextval('comity.waiting_seq'),
  reason text not null,
  message text not null,
  time timestamptz not null,
  tenant text,
  attributes text not null,
  data text not null,
  attempts integer not null default 0,
  error_code text,
  error text,
  appended_at timestamptz not null default clock_timestamp(),
  primary key (subscription, generation, message, time)
) partition by range (time);
create index on comity.waiting (subscription, key, seq);
create table comity.waiting_first partition of comity.waiting for values from (minvalue) to (maxvalue);
insert into comity.partitions (parent, leaf, lower_bound) values ('waiting', 'waiting_first', 'MINVALUE');
select comity.cut_tail('waiting', (date_trunc('day', now(), 'UTC') + interval '2 days')::text);

-- What was ended without its effect, by name: superseded or too old is counted elsewhere, here stands what someone or a rule discarded.
create table comity.discarded (
  subscription text not null,
  message text not null,
  key text not null,
  time timestamptz not null,
  reason text not null,
  discarded_at timestamptz not null default clock_timestamp()
);

-- Where the messages of a subscription ended: counts since the subscription began, one row a lane (no row is contended).
create table comity.counts (
  subscription text not null,
  lane integer not null,
  applied bigint not null default 0,
  duplicate bigint not null default 0,
  stale bigint not null default 0,
  waiting bigint not null default 0,
  discarded bigint not null default 0,
  last_time timestamptz,
  last_at timestamptz,
  primary key (subscription, lane)
);

-- The oldest time that the inbox can still vouch for; -infinity while nothing has been dropped.
create function comity.inbox_floor() returns timestamptz
  language sql stable security definer set search_path = pg_catalog, pg_temp
  return (select min(case when p.lower_bound = 'MINVALUE' then '-infinity'::timestamptz else p.lower_bound::timestamptz end)
    from comity.partitions p where p.parent = 'inbox');

-- The oldest time for which there is a leaf of lines; -infinity while none has been dropped.
create function comity.waiting_floor() returns timestamptz
  language sql stable security definer set search_path = pg_catalog, pg_temp
  return (select min(case when p.lower_bound = 'MINVALUE' then '-infinity'::timestamptz else p.lower_bound::timestamptz end)
    from comity.partitions p where p.parent = 'waiting');

-- A leaf of lines goes when it is as old, and every message in it has been run, skipped or discarded. It is locked before it is looked at.
create function comity.drop_waiting_leaf(leaf text) returns void
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  open boolean;
begin
  perform set_config('lock_timeout', '50ms', true);
  execute format('lock table comity.%I in access exclusive mode', leaf);
  execute format('select exists (select from comity.%I w join comity.waiting_keys k on k.subscription = w.subscription and k.key = w.key and w.seq > k.done)', leaf)
    into open;
  if not open then
    perform comity.drop_leaf(leaf);
  end if;
exception when lock_not_available then null;
end $$;

-- Cares for the leaves by day of one parent: the tail is cut two weeks ahead, one leaf at a call.
create function comity.look_ahead(parent text) returns void
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  day timestamptz := date_trunc('day', now(), 'UTC');
  tail timestamptz := (select p.lower_bound::timestamptz from comity.partitions p where p.parent = look_ahead.parent and p.upper_bound is null);
begin
  if tail < day + interval '14 days' then
    perform comity.try_cut_tail(parent, (greatest(tail, day + interval '1 day') + interval '1 day')::text);
  end if;
end $$;

-- A leaf of the inbox goes when its newest record is older than `retain` (the transport's redelivery window + 2 days).
create function comity.maintain_inbox(retain interval) returns void
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  leaf comity.partitions;
  newest timestamptz;
begin
  perform comity.look_ahead('inbox');
  for leaf in
    select * from comity.partitions p
    where p.parent = 'inbox' and p.upper_bound is not null and p.upper_bound::timestamptz < now() - retain
    order by p.upper_bound::timestamptz
  loop
    execute format('select max(recorded_at) from comity.%I', leaf.leaf) into newest;
    exit when newest >= now() - retain;
    perform comity.drop_leaf(leaf.leaf);
  end loop;
end $$;

-- In a transaction of its own: holding a leaf of the one table and asking for one of the other would cross those who consume.
create function comity.maintain_waiting(retain interval) returns void
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  leaf comity.partitions;
begin
  perform comity.look_ahead('waiting');
  for leaf in
    select * from comity.partitions p
    where p.parent = 'waiting' and p.upper_bound is not null and p.upper_bound::timestamptz < now() - retain
    order by p.upper_bound::timestamptz
  loop
    perform comity.drop_waiting_leaf(leaf.leaf);
  end loop;
end $$;

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
