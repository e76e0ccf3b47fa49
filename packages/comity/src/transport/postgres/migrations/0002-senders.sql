-- Topics to which other teams than their own may send, too: what is asked of a team comes from many.

create table comity_bus.senders (
  topic_id integer not null references comity_bus.topics (id) on delete cascade,
  team text not null,
  primary key (topic_id, team)
);

-- Not security definer, as may_act_for.
create function comity_bus.require_sender(p_topic comity_bus.topics) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if not comity_bus.may_act_for(p_topic.team)
      and not exists (select from comity_bus.senders s where s.topic_id = p_topic.id and comity_bus.may_act_for(s.team)) then
    perform comity_bus.require_team(p_topic.team);
  end if;
end $$;

-- Answers whether it had to be granted. The operator's.
create function comity_bus.grant_send(p_topic text, p_team text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  insert into comity_bus.senders select t.id, p_team from comity_bus.topics t where t.name = p_topic and t.team <> p_team on conflict do nothing;
  return found;
end $$;

create or replace function comity_bus.buckets_of(p_topic text) returns integer
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_topic comity_bus.topics;
begin
  select * into v_topic from comity_bus.topics where name = p_topic;
  if not found then
    raise exception 'no topic %', p_topic using errcode = 'CB001';
  end if;
  perform comity_bus.require_sender(v_topic);
  return v_topic.buckets;
end $$;

-- As before; who may send is asked otherwise.
create or replace function comity_bus.send(
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
  perform comity_bus.require_sender(v_topic);
  if v_topic.buckets <> p_buckets then
    return 'buckets ' || v_topic.buckets;
  end if;
  if p_team is not null then
    if p_team <> v_topic.team and not exists (select from comity_bus.senders s where s.topic_id = v_topic.id and s.team = p_team) then
      raise exception 'topic % belongs to team %', p_topic, v_topic.team using errcode = 'CB003';
    end if;
    -- Who may send here may be another team than the one it speaks for: nobody moves the fence of another.
    perform comity_bus.require_team(p_team);
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

revoke all on all tables in schema comity_bus from public;
revoke all on all functions in schema comity_bus from public;
