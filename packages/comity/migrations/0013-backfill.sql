-- Backfill: an owner says again, to one copy, what holds now. What others asked of this team, and what this team has asked of others.

-- What teams that keep something of this one's have asked of it.
create table comity.backfills (
  -- Drawn by who asks.
  id uuid primary key,
  asked_by text not null,
  -- <team>.<name>
  replica text not null,
  entity text not null,
  audience text,
  fields jsonb not null,
  -- waiting → running ⇄ paused → sent (its marks are to come) → done; or cancelled, failed
  state text not null default 'waiting' check (state in ('waiting', 'running', 'paused', 'sent', 'done', 'cancelled', 'failed')),
  paused_by text check (paused_by in ('owner', 'asker')),
  -- Raw texts of the last key that was sent; NULL before the first.
  place jsonb,
  -- Versions drawn for it: of the first and of the last stretch that was sent. 0 = none.
  first_version bigint not null default 0,
  last_version bigint not null default 0,
  -- The lease's term of who works on it: what an older one would write is refused.
  term bigint not null default 0,
  -- Rows a second, as who asked wants it; the owner's own limit holds all the same.
  rate double precision,
  estimate bigint,
  rows bigint not null default 0,
  withheld bigint not null default 0,
  bytes bigint not null default 0,
  -- [{ pid?, prepared?, seconds }]: transactions that it waits for.
  waits_for jsonb,
  error text,
  asked_at timestamptz not null default clock_timestamp(),
  began_at timestamptz,
  moved_at timestamptz,
  ended_at timestamptz
);
create index backfills_open on comity.backfills (asked_at) where state in ('waiting', 'running', 'paused', 'sent');
create index backfills_replica on comity.backfills (replica, asked_at);

-- What this team has asked of owners, one row for each time that a copy is filled.
create table comity.asked_backfills (
  id uuid primary key default gen_random_uuid(),
  replica text not null,
  owner text not null,
  entity text not null,
  why text not null check (why in ('new', 'fields', 'asked')),
  -- asking → filling → settling → ready, or incomplete (rows that this team can't take); or cancelled, refused
  state text not null default 'asking' check (state in ('asking', 'filling', 'settling', 'ready', 'incomplete', 'cancelled', 'refused')),
  -- What the owner is to do, what it was told last, and what it last said that it does.
  wanted text not null default 'run' check (wanted in ('run', 'pause', 'cancel')),
  told text,
  owner_state text,
  reason text,
  rate double precision,
  -- The last part of a stretch that was applied, as its owner named it (see backfill/contracts.ts).
  term bigint not null default 0,
  version bigint not null default 0,
  part integer not null default 0,
  parts integer not null default 0,
  follows bigint not null default 0,
  first_version bigint not null default 0,
  last_version bigint not null default 0,
  estimate bigint,
  rows bigint not null default 0,
  applied bigint not null default 0,
  withheld bigint not null default 0,
  refused bigint not null default 0,
  removed bigint not null default 0,
  asked_at timestamptz not null default clock_timestamp(),
  -- When the owner is to be asked (again), and how often it was.
  ask_at timestamptz not null default clock_timestamp(),
  asks integer not null default 0,
  began_at timestamptz,
  moved_at timestamptz,
  filled_at timestamptz,
  ended_at timestamptz
);
-- One at a time for each copy.
create unique index asked_backfills_open on comity.asked_backfills (replica) where state in ('asking', 'filling', 'settling');
create index asked_backfills_replica on comity.asked_backfills (replica, asked_at);

-- Keys that the owner has and could not say, or this team could not take, in the backfill of a copy that runs or ran last: they are not extra.
create table comity.backfill_left (
  replica text not null,
  key text not null,
  why text not null check (why in ('withheld', 'refused')),
  reason text,
  primary key (replica, key)
);

-- How far everything of a topic's bucket has ended here: the newest mark of its owner's relay that was passed.
create table comity.marks (
  subscription text not null,
  bucket integer not null,
  -- How many buckets the topic has.
  buckets integer not null,
  version bigint not null,
  passed_at timestamptz not null default clock_timestamp(),
  primary key (subscription, bucket)
);

-- A version without a row: see outbox/consistent-read.ts.
create function comity.draw_version() returns bigint
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform comity.begin_publish();
  return nextval('comity.outbox_id');
end $$;

-- What stands in a captured topic's state view, or in heads, behind a place, in the order of its key's index: one statement, so one snapshot. By the
-- index alone: a plan that sorts reads all that is left for each stretch. One row for each part of part_rows rows, whose states are one JSON array, in the order
-- of `keys`: a row of the database's for each row would cost as much again on both sides. `place` is the raw text of the part's last key. Rows
-- end where they have max_bytes of state together. What is outside of a subset (migration 0016) is passed: what can't be said is named all the same, for
-- nobody knows whether it is one of it. Nobody's table is locked.
-- Asked for `fields`, a part of a captured table has no JSON but one text, `cells`: rows are separated by RS (U+001E), their fields by DEL (U+007F), a NULL
-- is GS (U+001D), and `kinds` says of each field whether a cell is a string ("t") or JSON ("j"). Null: a row of it can't be said so. Where there
-- are no `kinds`, nothing of this topic can.
create function comity.backfill_parts(topic text, after text[], most integer, max_bytes integer, part_rows integer, subset jsonb default null, fields text[] default null)
  returns table (rows integer, bytes integer, place text, keys text, states text, withheld text, cells text, kinds text)
  language plpgsql volatile security definer
  set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'iso_8601' set extra_float_digits = '1' set bytea_output = 'hex'
  set lc_monetary = 'C' set row_security = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off set search_path = pg_catalog, pg_temp as $$
declare
  contract comity.contracts;
  prefix text;
  source text := 'comity.heads';
  view regclass;
  chosen text := format('v.topic = %L and not v.deleted and v.version > 0', backfill_parts.topic);
  unfit text := 'null::text';
  columns text[] := '{v.key}';
  bounds text[] := array[format('%L', after[1])];
  places text[] := '{}';
  placed text;
  followed text;
  captured jsonb;
  said text[];
begin
  select * into strict contract from comity.contracts c where c.topic = backfill_parts.topic and c.kind = 'entity';
  if contract.source <> 'published' then
    select c.prefix, c.fields into prefix, captured from comity.captures c where c.topic = backfill_parts.topic and c.released_at is null;
    view := to_regclass(format('comity.%I', prefix || ' state'));
    if view is null then
      perform comity.refuse('CM009', format('the view of "%s" is gone, which Comity reads', backfill_parts.topic), 'run "comity migrate" to capture its table again');
    end if;
    source := view::text;
    chosen := 'true';
    unfit := 'coalesce(v.key_unfit, v.withheld)';
    columns := '{}';
    bounds := '{}';
    for i in 1 .. cardinality(contract.key_fields) loop
      columns := columns || format('v.key_%s', i);
      bounds := bounds || (select format('%L::%s', after[i], format_type(a.atttypid, a.atttypmod))
        from pg_attribute a where a.attrelid = view and a.attname = format('key_%s', i));
    end loop;
  end if;
  for i in 1 .. cardinality(columns) loop
    places := places || format('(array_agg(m.place_%s))[count(*)]', i);
  end loop;
  placed := (select string_agg(format('%s::text as place_%s', c, i), ', ' order by i) from unnest(columns) with ordinality c(c, i));
  followed := case when after is null then 'true' else format('(%s) > (%s)', array_to_string(columns, ', '), array_to_string(bounds, ', ')) end;
  if view is not null and fields is not null and subset is null then
    said := (select array_agg(a.attname order by w.n)
      from unnest(fields) with ordinality w(field, n)
      join jsonb_array_elements(captured) with ordinality c(field, i) on c.field ->> 'field' = w.field
      join pg_attribute a on a.attrelid = view and a.attname in ('text_' || c.i, 'json_' || c.i));
    if cardinality(said) = cardinality(fields) then
      return query execute format($sql$
        select count(*)::int, sum(m.bytes)::int, json_build_array(%1$s)::text, null::text, null::text, null::text,
          case when bool_and(m.fit) then string_agg(m.cells, E'\x1e') end, %2$L
        from (
          select r.*, sum(r.bytes) over (order by r.n rows unbounded preceding) as upto, r.fits and r.bytes <= r.cells_most as fit from (
            select q.*, octet_length(q.cells) as bytes from (
              select row_number() over () as n, %3$s, v.cells_fit and v.key_unfit is null as fits, v.cells_most, concat_ws(E'\x7f', %4$s) as cells from (
                select * from %5$s v where %6$s order by %7$s limit %8$s) v) q) r) m
        where m.upto - m.bytes < %9$s
        group by (m.n - 1) / %10$s order by (m.n - 1) / %10$s$sql$,
        array_to_string(places, ', '),
        (select string_agg(left(c, 1), '' order by i) from unnest(said) with ordinality c(c, i)),
        placed,
        (select string_agg(format('coalesce(v.%I, E''\x1d'')', c), ', ' order by i) from unnest(said) with ordinality c(c, i)),
        source, followed, array_to_string(columns, ', '), most, max_bytes, part_rows);
      return;
    end if;
  end if;
  return query execute format($sql$
    select count(*)::int, sum(m.bytes)::int, json_build_array(%1$s)::text, coalesce(json_agg(m.key) filter (where m.good), '[]')::text,
      '[' || coalesce(string_agg(m.state, ',') filter (where m.good), '') || ']', coalesce(json_agg(m.key) filter (where not m.good and not m.outside), '[]')::text,
      null::text, null::text
    from (
      select r.*, sum(r.bytes) over (order by r.n rows unbounded preceding) as upto, r.fit and not r.outside as good from (
        select q.*, q.fit and %11$s as outside from (
        select row_number() over () as n, %2$s, v.key, v.state, v.state is not null and v.unfit is null as fit, coalesce(octet_length(v.state), 0) as bytes from (
          select v.*, %3$s as unfit from %4$s v where %5$s and %6$s order by %7$s limit %8$s) v) q) r) m
    where m.upto - m.bytes < %9$s
    group by (m.n - 1) / %10$s order by (m.n - 1) / %10$s$sql$,
    array_to_string(places, ', '),
    placed, unfit, source, chosen, followed, array_to_string(columns, ', '), most, max_bytes, part_rows,
    case when subset is null then 'false' else format('not comity.in_subset(%L::jsonb, case when q.fit then q.state::jsonb end)', subset) end);
end $$;

-- States of a published entity from before its first publication: heads that nobody has announced, for backfills to say. What has been published
-- already is newer, and stays. Answers how many were taken.
create function comity.seed(topic text, states text[]) returns integer
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  contract comity.contracts;
  drawn bigint;
  taken integer;
begin
  select * into contract from comity.contracts c where c.topic = seed.topic;
  if not found or contract.kind <> 'entity' or contract.source <> 'published' then
    perform comity.refuse('CM011', format('"%s" is no entity that this team publishes by code', seed.topic), 'a captured table needs no seed: a backfill reads it');
  end if;
  perform comity.begin_publish();
  drawn := nextval('comity.outbox_id');
  insert into comity.heads (topic, key, version, state, deleted)
    select distinct on (s.key) seed.topic, s.key, drawn, s.state, false
    from (select comity.key_of(comity.object_of(t.state, contract.max_bytes), contract.key_fields) as key, t.state, t.n
      from unnest(states) with ordinality t(state, n)) s
    order by s.key, s.n desc
  on conflict do nothing;
  get diagnostics taken = row_count;
  return taken;
end $$;

/*
 * About how many rows there are. Of a table that nobody has analysed, or only while it was empty, a thousand of its pages are looked at, spread over it: all of them,
 * if it has no more. Of any other one the statistics, at the size that it has now.
 */
create function comity.backfill_estimate(topic text) returns bigint
  language plpgsql stable security definer set row_security = off set search_path = pg_catalog, pg_temp as $$
declare
  contract comity.contracts;
  leaf record;
  pages bigint;
  found bigint;
  total double precision := 0;
begin
  select * into contract from comity.contracts c where c.topic = backfill_estimate.topic;
  if contract.source = 'published' then
    return (select count(*) from comity.heads h where h.topic = backfill_estimate.topic and not h.deleted);
  end if;
  for leaf in
    select r.oid::regclass as relation, r.reltuples, r.relpages
    from comity.captures p cross join lateral (
      select p.source as relid where not exists (select from pg_partition_tree(p.source))
      union all select t.relid from pg_partition_tree(p.source) t where t.isleaf) l
    join pg_class r on r.oid = l.relid
    where p.topic = backfill_estimate.topic
  loop
    pages := pg_relation_size(leaf.relation) / current_setting('block_size')::bigint;
    if leaf.reltuples >= 0 and leaf.relpages > 0 then
      total := total + leaf.reltuples * pages / leaf.relpages;
    elsif pages > 0 then
      execute format('select count(*) from only %s tablesample system (%s)', leaf.relation, least(100, 100000.0 / pages)) into found;
      total := total + found * greatest(1, pages / 1000.0);
    end if;
  end loop;
  return round(total);
end $$;

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
