-- The bus: topics of dense, numbered buckets; subscriptions that are nothing but a position per bucket.
--
-- Rules that hold the whole thing up:
-- * An offset is drawn under its bucket's row lock, which is held until commit. So what is visible of a bucket
--   is always a prefix: a reader that goes on from the last offset can never skip a message.
-- * Rows of comity_bus.buckets are locked in ascending order of bucket: two senders cannot deadlock.
-- * sent_at never decreases inside a bucket, so a position's time is a lower bound that prunes partitions.
-- * A position moves only for the (holder, term) that leases the bucket: what a zombie acknowledges is refused.
-- * Teams hold EXECUTE on functions and nothing else; functions ask who is logged in (session_user), never who claims to be.

create table comity_bus.settings (
  one boolean primary key default true check (one),
  -- Acknowledged messages stay this long, for seek.
  retention interval not null default '7 days',
  -- What a subscription has not acknowledged stays this long; after that it expires, by name (comity_bus.expired).
  keep_unacknowledged interval not null default '31 days',
  -- A team's incarnation that nobody spoke for during this time may be succeeded by a stranger.
  claim_silence interval not null default '15 seconds',
  maintained_at timestamptz not null default '-infinity'
);
insert into comity_bus.settings default values;

-- Which login role speaks for which team.
create table comity_bus.members (
  role name not null,
  team text not null,
  primary key (role, team)
);

create table comity_bus.topics (
  id integer generated always as identity primary key,
  name text not null unique,
  team text not null,
  buckets integer not null check (buckets between 1 and 1024 and buckets & (buckets - 1) = 0)
);

create table comity_bus.buckets (
  topic_id integer not null references comity_bus.topics on delete cascade,
  bucket integer not null,
  next_offset bigint not null default 1,
  last_sent_at timestamptz not null default '-infinity',
  primary key (topic_id, bucket)
) with (fillfactor = 20);

create table comity_bus.subscriptions (
  id integer generated always as identity primary key,
  name text not null unique,
  team text not null,
  topic_id integer not null references comity_bus.topics on delete cascade,
  -- Grows when somebody joins, leaves, gives a bucket back or seeks: everyone else renews at once.
  epoch bigint not null default 0
) with (fillfactor = 50);

create table comity_bus.positions (
  subscription_id integer not null references comity_bus.subscriptions on delete cascade,
  bucket integer not null,
  -- The last acknowledged offset, and a time that is not after the sending of the next.
  position bigint not null,
  acked_at timestamptz not null,
  holder text,
  term bigint not null default 0,
  primary key (subscription_id, bucket)
) with (fillfactor = 20);

-- Who receives a subscription now. A holder's buckets are leased as long as its row here lives.
create table comity_bus.consumers (
  subscription_id integer not null references comity_bus.subscriptions on delete cascade,
  holder text not null,
  joined_at timestamptz not null,
  expires_at timestamptz not null,
  primary key (subscription_id, holder)
) with (fillfactor = 20);

-- The incarnation of each team that may send, and the relay term in it.
create table comity_bus.fences (
  team text primary key,
  incarnation bigint not null,
  term bigint not null,
  holder text not null,
  highest_version bigint not null,
  changed_at timestamptz not null
) with (fillfactor = 20);

-- The processes that speak for a team's incarnation.
create table comity_bus.claimants (
  team text not null,
  holder text not null,
  incarnation bigint not null,
  seen_at timestamptz not null,
  primary key (team, holder)
) with (fillfactor = 20);

-- Messages that a subscription never acknowledged and that were removed all the same.
create table comity_bus.expired (
  subscription_id integer not null references comity_bus.subscriptions on delete cascade,
  bucket integer not null,
  first_offset bigint not null,
  last_offset bigint not null,
  expired_at timestamptz not null
);

create table comity_bus.messages (
  topic_id integer not null,
  bucket integer not null,
  "offset" bigint not null,
  sent_at timestamptz not null,
  size integer not null,
  id text not null,
  key text not null,
  attributes text not null,
  data text not null
) partition by range (sent_at);
-- Takes what no partition was made for, so that a send never fails for want of one.
create table comity_bus.messages_rest partition of comity_bus.messages default;
create unique index messages_rest_offset on comity_bus.messages_rest (topic_id, bucket, "offset");

-- ---------------------------------------------------------------------------------------------------------------
-- Who may

-- Not security definer: called from definer functions, where current_user is the owner, that is the operator.
create function comity_bus.may_act_for(p_team text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (select from comity_bus.members where role = session_user and team = p_team)
      or pg_has_role(session_user, current_user, 'member')
$$;

create function comity_bus.require_team(p_team text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if not comity_bus.may_act_for(p_team) then
    raise exception 'role % does not act for team %', session_user, p_team using errcode = 'CB003';
  end if;
end $$;

create function comity_bus.subscription_of(p_name text, out id integer, out topic_id integer, out team text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  select s.id, s.topic_id, s.team into id, topic_id, team from comity_bus.subscriptions s where s.name = p_name;
  if id is null then
    raise exception 'no subscription %', p_name using errcode = 'CB002';
  end if;
  perform comity_bus.require_team(team);
end $$;

-- ---------------------------------------------------------------------------------------------------------------
-- Sending

create function comity_bus.hello() returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'migrations', (select max(number) from comity_bus.migrations),
    'fsync', current_setting('fsync'),
    'server', current_setting('server_version_num')::integer,
    'recovering', pg_is_in_recovery(),
    'claimSilence', (select extract(epoch from claim_silence) * 1000 from comity_bus.settings))
$$;

create function comity_bus.buckets_of(p_topic text) returns integer
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_topic comity_bus.topics;
begin
  select * into v_topic from comity_bus.topics where name = p_topic;
  if not found then
    raise exception 'no topic %', p_topic using errcode = 'CB001';
  end if;
  perform comity_bus.require_team(v_topic.team);
  return v_topic.buckets;
end $$;

-- The rules of a fence, under the lock of the team's row. A later incarnation is admitted when its holder already spoke
-- for the recorded one (a process that survived its database's restart) or when everyone who did is silent.
-- p_term null: a claim, which leaves the term alone.
create function comity_bus.admit(p_team text, p_incarnation bigint, p_holder text, p_term bigint, p_highest bigint) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_now timestamptz := clock_timestamp();
  v_fence comity_bus.fences;
begin
  select * into v_fence from comity_bus.fences where team = p_team for update;
  if not found then
    insert into comity_bus.fences values (p_team, p_incarnation, coalesce(p_term, 0), p_holder, greatest(p_incarnation, p_highest), v_now)
    on conflict do nothing;
    select * into v_fence from comity_bus.fences where team = p_team for update;
  end if;
  if p_incarnation < v_fence.incarnation then
    return false;
  end if;
  if p_incarnation > v_fence.incarnation then
    if not exists (select from comity_bus.claimants where team = p_team and holder = p_holder)
       and exists (select from comity_bus.claimants
                   where team = p_team and seen_at > v_now - (select claim_silence from comity_bus.settings)) then
      return false;
    end if;
    delete from comity_bus.claimants where team = p_team;
    v_fence.term := 0;
  end if;
  if p_term < v_fence.term then
    return false;
  end if;
  if (p_incarnation, coalesce(p_term, v_fence.term)) is distinct from (v_fence.incarnation, v_fence.term)
     or greatest(p_incarnation, p_highest) > v_fence.highest_version then
    update comity_bus.fences
    set incarnation = p_incarnation, term = coalesce(p_term, v_fence.term), holder = p_holder, changed_at = v_now,
        highest_version = greatest(highest_version, p_incarnation, p_highest)
    where team = p_team;
  end if;
  -- A send every few milliseconds must not write this row every time.
  insert into comity_bus.claimants as c values (p_team, p_holder, p_incarnation, v_now)
  on conflict (team, holder) do update set seen_at = v_now, incarnation = p_incarnation
    where c.seen_at < v_now - interval '1 second' or c.incarnation <> p_incarnation;
  return true;
end $$;

-- Answers 'stored', 'stale', or 'buckets <n>' when the caller computed its buckets for another count.
create function comity_bus.send(
  p_topic text, p_buckets integer,
  p_team text, p_incarnation bigint, p_term bigint, p_holder text, p_highest bigint,
  p_bucket integer[], p_size integer[], p_id text[], p_key text[], p_attributes text[], p_data text[]
) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '10s' as $$
declare
  v_topic comity_bus.topics;
  v_now timestamptz;
begin
  -- An answer must mean that the messages are on disk, whatever the role's or the database's setting is.
  if current_setting('synchronous_commit') in ('off', 'local') then
    perform set_config('synchronous_commit', 'on', true);
  end if;
  select * into v_topic from comity_bus.topics where name = p_topic;
  if not found then
    raise exception 'no topic %', p_topic using errcode = 'CB001';
  end if;
  perform comity_bus.require_team(v_topic.team);
  if v_topic.buckets <> p_buckets then
    return 'buckets ' || v_topic.buckets;
  end if;
  if p_team is not null then
    if p_team <> v_topic.team then
      raise exception 'topic % belongs to team %', p_topic, v_topic.team using errcode = 'CB003';
    end if;
    if not comity_bus.admit(p_team, p_incarnation, p_holder, p_term, p_highest) then
      return 'stale';
    end if;
  end if;
  perform from comity_bus.buckets where topic_id = v_topic.id and bucket = any (p_bucket) order by bucket for update;
  v_now := clock_timestamp();
  with incoming as (
    select *, row_number() over (partition by bucket order by n) as rank
    from unnest(p_bucket, p_size, p_id, p_key, p_attributes, p_data) with ordinality
      as u (bucket, size, id, key, attributes, data, n)
  ), counted as (
    select bucket, count(*) as messages from unnest(p_bucket) as u (bucket) group by bucket
  ), drawn as (
    update comity_bus.buckets b
    set next_offset = b.next_offset + c.messages, last_sent_at = greatest(b.last_sent_at, v_now)
    from counted c
    where b.topic_id = v_topic.id and b.bucket = c.bucket
    returning b.bucket, b.next_offset - c.messages as first_offset, b.last_sent_at
  )
  insert into comity_bus.messages
  select v_topic.id, i.bucket, d.first_offset + i.rank - 1, d.last_sent_at, i.size, i.id, i.key, i.attributes, i.data
  from incoming i left join drawn d using (bucket);
  return 'stored';
end $$;

create function comity_bus.claim(
  p_team text, p_incarnation bigint, p_holder text,
  out granted boolean, out highest_version bigint, out incumbent_incarnation bigint, out incumbent_holder text, out silent_for double precision
)
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '10s' as $$
begin
  perform comity_bus.require_team(p_team);
  granted := comity_bus.admit(p_team, p_incarnation, p_holder, null, 0);
  if granted then
    select f.highest_version into highest_version from comity_bus.fences f where f.team = p_team;
    delete from comity_bus.claimants where team = p_team and seen_at < clock_timestamp() - interval '1 day';
    return;
  end if;
  select f.incarnation, coalesce(c.holder, f.holder), extract(epoch from clock_timestamp() - coalesce(c.seen_at, f.changed_at)) * 1000
  into incumbent_incarnation, incumbent_holder, silent_for
  from comity_bus.fences f left join comity_bus.claimants c using (team)
  where f.team = p_team
  order by c.seen_at desc nulls last limit 1;
end $$;

-- A clean goodbye: whoever comes next need not wait for silence.
create function comity_bus.withdraw(p_team text, p_holder text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
begin
  perform comity_bus.require_team(p_team);
  delete from comity_bus.claimants where team = p_team and holder = p_holder;
end $$;

-- ---------------------------------------------------------------------------------------------------------------
-- Receiving

create function comity_bus.open(p_subscription text, out id integer, out topic text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  select s.id, t.name into id, topic
  from comity_bus.subscription_of(p_subscription) s join comity_bus.topics t on t.id = s.topic_id;
end $$;

-- Is there anything new? One call for all subscriptions of a process; `heads` changes with every send, `epoch` with every
-- change of who receives what. A subscription that is gone is not in the answer.
create function comity_bus.watch(p_subscription integer[]) returns table (subscription integer, epoch bigint, heads bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select s.id, s.epoch, (select sum(b.next_offset)::bigint from comity_bus.buckets b where b.topic_id = s.topic_id)
  from comity_bus.subscriptions s
  where s.id = any (p_subscription) and comity_bus.may_act_for(s.team)
$$;

-- Keeps the caller's leases alive, buries consumers whose time is up, and takes free buckets up to the caller's fair share.
-- Answers every bucket that the caller holds, or one row without a bucket. A caller with more than its share gives back.
create function comity_bus.renew(p_subscription integer[], p_holder text[], p_lease_ms integer)
returns table (subscription integer, holder text, epoch bigint, share integer, bucket integer, term bigint, "position" bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
#variable_conflict use_column
declare
  v_now timestamptz := clock_timestamp();
  v_lease interval := p_lease_ms * interval '1 millisecond';
  v record;
  v_team text;
  v_topic integer;
  v_epoch bigint;
  v_dead text[];
  v_joined boolean;
  v_share integer;
  v_held integer;
begin
  for v in select u.s, u.h from unnest(p_subscription, p_holder) as u (s, h) order by u.s, u.h loop
    select s.team, s.topic_id into v_team, v_topic from comity_bus.subscriptions s where s.id = v.s;
    continue when not found;
    perform comity_bus.require_team(v_team);

    insert into comity_bus.consumers values (v.s, v.h, v_now, v_now + v_lease)
    on conflict (subscription_id, holder) do update set expires_at = excluded.expires_at
    returning xmax = 0 into v_joined;

    with dead as (
      delete from comity_bus.consumers c
      where (c.subscription_id, c.holder) in (
        select d.subscription_id, d.holder from comity_bus.consumers d
        where d.subscription_id = v.s and d.expires_at < v_now for update skip locked)
      returning c.holder
    ) select array_agg(d.holder) into v_dead from dead d;
    if v_dead is not null then
      perform from comity_bus.positions p where p.subscription_id = v.s and p.holder = any (v_dead) order by p.bucket for update;
      update comity_bus.positions p set holder = null where p.subscription_id = v.s and p.holder = any (v_dead);
    end if;
    if v_joined or v_dead is not null then
      update comity_bus.subscriptions s set epoch = s.epoch + 1 where s.id = v.s;
    end if;

    -- Shares differ by one at most; who joined first has the larger, so a newcomer moves as few buckets as possible.
    select t.buckets / c.consumers + case when c.rank <= t.buckets % c.consumers then 1 else 0 end into v_share
    from comity_bus.topics t,
      (select k.holder, row_number() over (order by k.joined_at, k.holder) as rank, count(*) over () as consumers
       from comity_bus.consumers k where k.subscription_id = v.s) c
    where t.id = v_topic and c.holder = v.h;
    select count(*) into v_held from comity_bus.positions p where p.subscription_id = v.s and p.holder = v.h;
    if v_held < v_share then
      update comity_bus.positions p set holder = v.h, term = p.term + 1
      where p.subscription_id = v.s and p.bucket in (
        select f.bucket from comity_bus.positions f
        where f.subscription_id = v.s and f.holder is null
        order by f.bucket limit v_share - v_held for update skip locked);
    end if;

    select s.epoch into v_epoch from comity_bus.subscriptions s where s.id = v.s;
    return query
      select v.s, v.h, v_epoch, v_share, p.bucket, p.term, p.position
      from (select) nothing left join comity_bus.positions p on p.subscription_id = v.s and p.holder = v.h;
  end loop;
end $$;

-- Gives buckets back, and with `p_leave` the place at the table too. Its last acknowledgements ride along.
create function comity_bus.release(p_subscription integer, p_holder text, p_bucket integer[], p_leave boolean) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_team text;
begin
  select team into v_team from comity_bus.subscriptions where id = p_subscription;
  if not found then
    return;
  end if;
  perform comity_bus.require_team(v_team);
  perform from comity_bus.positions
  where subscription_id = p_subscription and holder = p_holder and (p_leave or bucket = any (p_bucket)) order by bucket for update;
  update comity_bus.positions set holder = null
  where subscription_id = p_subscription and holder = p_holder and (p_leave or bucket = any (p_bucket));
  if p_leave then
    delete from comity_bus.consumers where subscription_id = p_subscription and holder = p_holder;
  end if;
  update comity_bus.subscriptions set epoch = epoch + 1 where id = p_subscription;
end $$;

-- The next messages of the caller's buckets: at most p_limit, shared fairly among the buckets that have any, and cut at
-- p_bytes (each bucket gives at least one). Settings: never let statistics of an empty table choose a scan.
create function comity_bus.fetch(
  p_subscription integer, p_holder text, p_bucket integer[], p_term bigint[], p_after bigint[], p_limit integer, p_bytes bigint
) returns table (bucket integer, "offset" bigint, head bigint, sent_at double precision, size integer, id text, key text, attributes text, data text)
language plpgsql stable security definer rows 1000 set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  v_team text;
  v_topic integer;
begin
  select s.team, s.topic_id into v_team, v_topic from comity_bus.subscriptions s where s.id = p_subscription;
  if not found then
    raise exception 'no subscription %', p_subscription using errcode = 'CB002';
  end if;
  perform comity_bus.require_team(v_team);
  return query
    with wanted as materialized (
      select a.bucket, a.after, p.acked_at, b.next_offset - 1 as head, count(*) over () as buckets
      from unnest(p_bucket, p_term, p_after) as a (bucket, term, after)
      join comity_bus.positions p
        on p.subscription_id = p_subscription and p.bucket = a.bucket and p.term = a.term and p.holder = p_holder
      join comity_bus.buckets b on b.topic_id = v_topic and b.bucket = a.bucket and b.next_offset > a.after + 1
    )
    select w.bucket, m."offset", w.head, date_part('epoch', m.sent_at) * 1000, m.size, m.id, m.key, m.attributes, m.data
    from wanted w cross join lateral (
      select n.*, sum(n.size) over (order by n."offset") - n.size as bytes_before
      from (
        select * from comity_bus.messages s
        where s.topic_id = v_topic and s.bucket = w.bucket and s."offset" > w.after and s.sent_at >= w.acked_at
        order by s."offset" limit greatest(1, p_limit / w.buckets)
      ) n
    ) m
    where m.bytes_before < greatest(1, p_bytes / w.buckets);
end $$;

-- Moves positions on. Answers the indexes (from 1) that were refused because the lease belongs to somebody else by now.
-- Asynchronous commit: what a crash loses here comes again, which every receiver must bear anyway.
create function comity_bus.ack(
  p_subscription integer[], p_holder text[], p_bucket integer[], p_term bigint[], p_position bigint[], p_sent_at double precision[]
) returns integer[]
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_refused integer[];
begin
  perform comity_bus.require_team(team) from comity_bus.subscriptions where id = any (p_subscription);
  perform set_config('synchronous_commit', 'off', true);
  perform from comity_bus.positions
  where (subscription_id, bucket) in (select s, b from unnest(p_subscription, p_bucket) as u (s, b))
  order by subscription_id, bucket for update;
  with acks as (
    select * from unnest(p_subscription, p_holder, p_bucket, p_term, p_position, p_sent_at) with ordinality
      as a (subscription, holder, bucket, term, position, sent_at, n)
  ), moved as (
    update comity_bus.positions p
    set position = greatest(p.position, a.position), acked_at = greatest(p.acked_at, to_timestamp(a.sent_at / 1000))
    from acks a
    where p.subscription_id = a.subscription and p.bucket = a.bucket and p.term = a.term and p.holder = a.holder
    returning a.n
  )
  select array_agg(a.n::integer) into v_refused from acks a where a.n not in (select m.n from moved m);
  return coalesce(v_refused, '{}');
end $$;

create function comity_bus.stats(p_subscription text[])
returns table (subscription text, backlog bigint, oldest_sent_at double precision, expired bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  v_name text;
  v_id integer;
  v_topic integer;
begin
  foreach v_name in array p_subscription loop
    select s.id, s.topic_id into v_id, v_topic from comity_bus.subscription_of(v_name) s;
    return query
      select v_name, coalesce(sum(b.next_offset - 1 - p.position), 0)::bigint,
        (extract(epoch from min((
          select m.sent_at from comity_bus.messages m
          where m.topic_id = v_topic and m.bucket = p.bucket and m."offset" > p.position and m.sent_at >= p.acked_at
          order by m."offset" limit 1))) * 1000)::double precision,
        (select coalesce(sum(e.last_offset - e.first_offset + 1), 0)::bigint from comity_bus.expired e where e.subscription_id = v_id)
      from comity_bus.positions p join comity_bus.buckets b on b.topic_id = v_topic and b.bucket = p.bucket
      where p.subscription_id = v_id;
  end loop;
end $$;

-- p_to: 'beginning', 'end', or 'time' with p_time. Every holder keeps its buckets, but under a new term: it starts over from there.
create function comity_bus.seek(p_subscription text, p_to text, p_time timestamptz) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '10s'
set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_id integer;
  v_topic integer;
begin
  select s.id, s.topic_id into v_id, v_topic from comity_bus.subscription_of(p_subscription) s;
  perform from comity_bus.positions where subscription_id = v_id order by bucket for update;
  -- Times come from the messages, never from the clock: a clock that was set back must not hide what is sent next.
  update comity_bus.positions p
  set term = p.term + 1, position = t.position, acked_at = t.sent_at
  from (
    select b.bucket, coalesce(m."offset", b.next_offset) - 1 as position, coalesce(m.sent_at, b.last_sent_at) as sent_at
    from comity_bus.buckets b left join lateral (
      select n."offset", n.sent_at from comity_bus.messages n
      where p_to <> 'end' and n.topic_id = v_topic and n.bucket = b.bucket and n.sent_at >= coalesce(p_time, '-infinity')
      order by n."offset" limit 1) m on true
    where b.topic_id = v_topic
  ) t
  where p.subscription_id = v_id and p.bucket = t.bucket;
  update comity_bus.subscriptions set epoch = epoch + 1 where id = v_id;
end $$;

-- ---------------------------------------------------------------------------------------------------------------
-- The operator's

-- Answers whether it had to be created; the same name with another team or bucket count is an error.
create function comity_bus.create_topic(p_name text, p_team text, p_buckets integer, p_default_buckets integer) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_topic comity_bus.topics;
begin
  insert into comity_bus.topics (name, team, buckets) values (p_name, p_team, coalesce(p_buckets, p_default_buckets))
  on conflict (name) do nothing returning * into v_topic;
  if found then
    insert into comity_bus.buckets (topic_id, bucket) select v_topic.id, n from generate_series(0, v_topic.buckets - 1) n;
    return true;
  end if;
  select * into v_topic from comity_bus.topics where name = p_name;
  if v_topic.team <> p_team or v_topic.buckets <> coalesce(p_buckets, v_topic.buckets) then
    raise exception 'topic % exists with team % and % buckets', p_name, v_topic.team, v_topic.buckets using errcode = 'CB004';
  end if;
  return false;
end $$;

-- The row locks wait for sends that have drawn their offsets: the subscription gets exactly what is sent after them.
create function comity_bus.create_subscription(p_name text, p_team text, p_topic text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_topic integer;
  v_id integer;
  v_existing record;
begin
  select id into v_topic from comity_bus.topics where name = p_topic;
  if not found then
    raise exception 'no topic %', p_topic using errcode = 'CB001';
  end if;
  insert into comity_bus.subscriptions (name, team, topic_id) values (p_name, p_team, v_topic)
  on conflict (name) do nothing returning id into v_id;
  if v_id is not null then
    perform from comity_bus.buckets where topic_id = v_topic order by bucket for update;
    insert into comity_bus.positions (subscription_id, bucket, position, acked_at)
    select v_id, bucket, next_offset - 1, last_sent_at from comity_bus.buckets where topic_id = v_topic;
    return true;
  end if;
  select s.team, t.name as topic into v_existing
  from comity_bus.subscriptions s join comity_bus.topics t on t.id = s.topic_id where s.name = p_name;
  if v_existing.team <> p_team or v_existing.topic <> p_topic then
    raise exception 'subscription % exists with team % and topic %', p_name, v_existing.team, v_existing.topic using errcode = 'CB004';
  end if;
  return false;
end $$;

-- A topic's messages stay until retention takes their partition: ids are never used again.
create function comity_bus.remove(p_topics text[], p_subscriptions text[]) returns void
language sql set search_path = pg_catalog, pg_temp as $$
  delete from comity_bus.subscriptions where name = any (p_subscriptions);
  delete from comity_bus.topics where name = any (p_topics);
$$;

create function comity_bus.enroll(p_role name, p_team text) returns void
language sql set search_path = pg_catalog, pg_temp as $$
  insert into comity_bus.members values (p_role, p_team) on conflict do nothing
$$;

-- Makes the days ahead and drops one day behind, whoever calls it, once in two minutes. Senders never wait for it longer
-- than its lock_timeout; what it cannot lock now it leaves for the next time.
create function comity_bus.maintain() returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '30ms' set timezone = 'UTC' as $$
declare
  v_settings comity_bus.settings;
  v_day timestamptz;
  v_name text;
  v_ends timestamptz;
  v_waited_for boolean;
begin
  select * into v_settings from comity_bus.settings where maintained_at < clock_timestamp() - interval '2 minutes' for update skip locked;
  if not found then
    return false;
  end if;
  update comity_bus.settings set maintained_at = clock_timestamp();

  for v_day in select generate_series(date_trunc('day', now()), date_trunc('day', now()) + interval '3 days', '1 day') loop
    v_name := 'messages_' || to_char(v_day, 'YYYYMMDD');
    continue when to_regclass('comity_bus.' || v_name) is not null;
    begin
      execute format('create table comity_bus.%I (like comity_bus.messages)', v_name);
      execute format('create unique index on comity_bus.%I (topic_id, bucket, "offset")', v_name);
      execute format('alter table comity_bus.messages attach partition comity_bus.%I for values from (%L) to (%L)',
        v_name, v_day, v_day + interval '1 day');
    exception when lock_not_available or check_violation then
      null; -- busy, or this day's messages already lie in messages_rest, which serves as well
    end;
  end loop;

  foreach v_name in array array(
    select c.relname::text from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'comity_bus.messages'::regclass order by c.relname)
  loop
    begin
      if v_name = 'messages_rest' then
        select max(sent_at) into v_ends from comity_bus.messages_rest;
      else
        v_ends := to_date(right(v_name, 8), 'YYYYMMDD')::timestamptz + interval '1 day';
      end if;
      continue when v_ends is null or v_ends > now() - v_settings.retention;
      execute format(
        'select exists (select from comity_bus.positions p
                        join comity_bus.subscriptions s on s.id = p.subscription_id
                        join comity_bus.%I m on m.topic_id = s.topic_id and m.bucket = p.bucket and m."offset" > p.position)',
        v_name) into v_waited_for;
      continue when v_waited_for and v_ends > now() - v_settings.keep_unacknowledged;

      execute format('lock table comity_bus.%I in access exclusive mode', v_name);
      if v_name = 'messages_rest' then
        -- Something may have come in before the lock.
        continue when (select max(sent_at) from comity_bus.messages_rest) > v_ends;
      end if;
      execute format(
        'with last as (select topic_id, bucket, max("offset") as last_offset from comity_bus.%I group by 1, 2),
              gone as (select p.subscription_id, p.bucket, p.position + 1 as first_offset, l.last_offset
                       from comity_bus.positions p
                       join comity_bus.subscriptions s on s.id = p.subscription_id
                       join last l on l.topic_id = s.topic_id and l.bucket = p.bucket
                       where p.position < l.last_offset for update of p),
              moved as (update comity_bus.positions p set position = g.last_offset, acked_at = %L, term = p.term + 1
                        from gone g where p.subscription_id = g.subscription_id and p.bucket = g.bucket
                        returning p.subscription_id),
              told as (update comity_bus.subscriptions set epoch = epoch + 1 where id in (select subscription_id from moved))
         insert into comity_bus.expired select subscription_id, bucket, first_offset, last_offset, now() from gone',
        v_name, v_ends);
      execute format(case v_name when 'messages_rest' then 'truncate comity_bus.%I' else 'drop table comity_bus.%I' end, v_name);
      return true; -- its locks are held until this call commits: one at a time
    exception when lock_not_available then
      null; -- somebody works there now: next time
    end;
  end loop;
  return true;
end $$;

revoke all on schema comity_bus from public;
revoke all on all tables in schema comity_bus from public;
revoke all on all functions in schema comity_bus from public;
