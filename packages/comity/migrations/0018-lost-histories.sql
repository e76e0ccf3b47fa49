-- What a restore leaves behind: messages of a history that their owner has lost, and holders that have forgotten what they erased.

-- At the owner: what each of its lives but the first has found out about the one before, before it sent anything. [[above, below]]: of the versions strictly between
-- them none is of this history, however many of them were sent. NULL: a prepared transaction was left over, and nobody can tell.
create table comity.lost_histories (
  identity text primary key,
  first_version bigint not null,
  ranges jsonb,
  noted_at timestamptz not null default clock_timestamp(),
  announced_at timestamptz
);

/*
 * Called by whoever relays, before it moves the checkpoint in this life. Everything up to the checkpoint is settled; above it, up to the
 * first version of this life, what is of this history stands in the outbox: nobody is at work any more who could add to it, but prepared transactions.
 */
create function comity.note_lost_history() returns void
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  this text := comity.identity();
  first bigint := (select min(i.first_version) from comity.incarnations i where i.identity = this);
  settled bigint := (select c.id from comity.checkpoint c where c.source = 'outbox');
begin
  if not exists (select from comity.incarnations i where i.identity <> this) or exists (select from comity.lost_histories h where h.identity = this) then
    return;
  end if;
  insert into comity.lost_histories (identity, first_version, ranges)
    select this, first, case when cardinality(h.prepared) = 0 then (
      with known as (
        select settled as id union all select first
        union all select o.id from comity.outbox o where o.id > settled and o.id < first
      ), gaps as (
        select k.id as above, lead(k.id) over (order by k.id) as below from known k where settled < first
      )
      select coalesce(jsonb_agg(jsonb_build_array(g.above, g.below) order by g.below), '[]')
      from (select * from gaps where below > above + 1 order by below desc limit 1000) g) end
    from comity.horizon() h
  on conflict do nothing;
end $$;

-- At whoever reads something of an owner: what the newest of its lives has said, and which life that was.
create table comity.lost (
  owner text not null,
  life bigint not null,
  above bigint not null,
  below bigint not null,
  primary key (owner, below, above)
);
-- Messages of a lost history whose effect a handler had made before that was known.
create table comity.lost_handled (
  subscription text not null,
  message text not null,
  time timestamptz not null,
  noted_at timestamptz not null default clock_timestamp(),
  primary key (subscription, message)
);

create function comity.is_lost(owner text, version bigint) returns boolean
  language sql stable security definer set search_path = pg_catalog, pg_temp
  return exists (select from comity.lost l where l.owner = is_lost.owner and l.below > is_lost.version and l.above < is_lost.version);

/*
 * From its commit on messages of the owner's lost histories are turned away, in the place of what an earlier life of its has said; those that wait end
 * by name. Answers [{ subscription, messages }]: how many waited.
 */
create function comity.turn_lost_away(owner text, life bigint, ranges jsonb, topics text[]) returns jsonb
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  item record;
  answer jsonb := '[]';
begin
  -- Whoever is at work has ended, and whoever comes reads what is written here.
  perform 1 from comity.lanes l join comity.subscriptions s on s.name = l.subscription where s.topic = any (topics)
    order by l.subscription, l.lane for update of l;
  if exists (select from comity.lost l where l.owner = turn_lost_away.owner and l.life > turn_lost_away.life) then
    return answer;
  end if;
  delete from comity.lost l where l.owner = turn_lost_away.owner;
  insert into comity.lost (owner, life, above, below)
    select turn_lost_away.owner, turn_lost_away.life, (r.pair ->> 0)::bigint, (r.pair ->> 1)::bigint from jsonb_array_elements(ranges) r(pair)
    on conflict do nothing;
  for item in
    select w.subscription, w.key, array_agg(w.message) as messages
    from comity.subscriptions s join comity.waiting_keys k on k.subscription = s.name
      join comity.waiting w on w.subscription = k.subscription and w.key = k.key and w.seq > k.done
    where s.topic = any (topics) and comity.is_lost(turn_lost_away.owner, comity.version_in(w.attributes))
    group by w.subscription, w.key
  loop
    perform comity.take_from_line(item.subscription, item.key, item.messages, 'lost', 'the owner ' || turn_lost_away.owner);
    answer := answer || jsonb_build_object('subscription', item.subscription, 'messages', cardinality(item.messages));
  end loop;
  return answer;
end $$;

/*
 * Names what handlers had done for messages of lost histories; after turn_lost_away nothing is added to it. A message is not older than the version
 * that was drawn for it: versions grow slower than the clock; the day is for clocks and for long transactions. Answers those that are new:
 * [{ subscription, message }].
 */
create function comity.name_lost(owner text, topics text[]) returns jsonb
  language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
  with named as (
    insert into comity.lost_handled (subscription, message, time)
    select i.subscription, i.message, min(i.time)
    from comity.subscriptions s join comity.inbox i on i.subscription = s.name
      cross join lateral (select (regexp_match(i.message, '-(\d{1,16})(~\d+)?$'))[1]::bigint as version) v
    where s.topic = any (topics) and s.kind = 'handler'
      and i.time > timestamptz '2026-01-01 00:00:00Z' + (select min(l.above) from comity.lost l where l.owner = name_lost.owner) * interval '1 microsecond' - interval '1 day'
      and comity.is_lost(name_lost.owner, v.version)
      and not exists (select from comity.discarded d where d.message = i.message and d.subscription = i.subscription)
    group by i.subscription, i.message
    on conflict do nothing returning subscription, message
  )
  select coalesce(jsonb_agg(jsonb_build_object('subscription', n.subscription, 'message', n.message) order by n.subscription, n.message), '[]') from named n;
end;

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
