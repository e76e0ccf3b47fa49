-- An entity that goes from one team to another (docs/decisions/0022-handing-over.md).

-- At each team that has to do with it: up to which version it was whose. Who reads it hears that from the team that gives it, in each bucket of its topic.
create table comity.hand_overs (
  topic text not null,
  -- The last of `owner`; what is above it is for `next` to say.
  version bigint not null,
  owner text not null,
  next text not null,
  noted_at timestamptz not null default clock_timestamp(),
  -- At the owner: when it was said in every bucket.
  told_at timestamptz,
  -- At the next one: when its copy became its table.
  taken_at timestamptz,
  -- And above which version of its own it publishes it.
  taken_version bigint,
  primary key (topic, version)
);

-- What is from a team that is not known as its owner may be from the next one: a process that has heard of it goes on.
drop index comity.waiting_keys_unfit;
create index waiting_keys_unfit on comity.waiting_keys (subscription, tried_at)
  where reason = 'parked' and error_code in ('COMITY_INVALID_MESSAGE', 'COMITY_LIFT_FAILED', 'COMITY_LIFTED_INVALID', 'COMITY_FORGED_MESSAGE');

-- To whom an entity of this team's belongs now; NULL: to this team. Also one that was handed on, and one that comes back and was not taken yet.
create function comity.handed_to(topic text) returns text
  language sql stable security definer set search_path = pg_catalog, pg_temp
  return (select h.next from (select l.* from comity.hand_overs l where l.topic = handed_to.topic order by l.version desc limit 1) h
    where not (h.next = (select d.team from comity.database d) and h.taken_at is not null));

/*
 * Gives an entity away, at its owner. Whoever writes it has ended and nobody begins, while its version is drawn: so what was written before is below it and
 * visible, and what somebody still writes is above it. The relay withholds that: it reads this row of the outbox before, or with it.
 */
create function comity.hand_over(topic text, next text) returns bigint
  language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  own text := (select d.team from comity.database d);
  contract comity.contracts;
  last comity.hand_overs;
  source regclass := (select c.source from comity.captures c where c.topic = hand_over.topic and c.released_at is null);
  in_the_way text;
  drawn bigint;
begin
  select * into contract from comity.contracts c where c.topic = hand_over.topic and c.kind = 'entity';
  if not found then
    perform comity.refuse('CM015', format('it is no entity of %s', own), 'name an entity that this team owns');
  end if;
  select * into last from comity.hand_overs h where h.topic = hand_over.topic order by h.version desc limit 1;
  if comity.handed_to(topic) is not null then
    if last.owner <> own or last.next <> hand_over.next then
      perform comity.refuse('CM015', format('it was handed over to %s already', comity.handed_to(topic)), 'go on there: let that team take it with "comity migrate"');
    end if;
    -- Said once more, to whom a broker has lost it.
    update comity.hand_overs h set told_at = null where h.topic = hand_over.topic and h.version = last.version;
    return last.version;
  end if;
  if contract.source = 'captured' and source is null then
    perform comity.refuse('CM015', 'it is not captured now: what was written since nobody was told', 'run "comity migrate" first');
  end if;
  -- Before the lock: writers wait as short as can be.
  select format('%s is withheld', h.key) into in_the_way from comity.withheld h where h.topic = hand_over.topic and h.resolved_at is null limit 1;
  in_the_way := coalesce(in_the_way, (select format('the copy %s is being filled', b.replica) from comity.backfills b
    where b.entity = hand_over.topic and b.state in ('waiting', 'running', 'paused', 'sent') limit 1));
  if in_the_way is not null then
    perform comity.refuse('CM015', in_the_way, 'mend that first: "comity withheld" and "comity backfill" show it');
  end if;
  if source is null then
    lock table comity.heads in share row exclusive mode;
  else
    execute format('lock table %s in share row exclusive mode', source);
  end if;
  perform comity.begin_publish();
  insert into comity.outbox (topic, key, kind, payload, checked)
    values ('comity.owner', hand_over.topic, 'event', to_json(hand_over.next)::text, true) returning id into drawn;
  insert into comity.hand_overs (topic, version, owner, next) values (hand_over.topic, drawn, own, hand_over.next);
  return drawn;
end $$;

-- Why this team can't take an entity over with that copy; null: it can.
create function comity.take_over_problem(topic text, replica text) returns text
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  own text := (select d.team from comity.database d);
  last comity.hand_overs;
  copy comity.replicas;
  passed bigint;
  buckets integer;
  waiting bigint;
  filled text;
begin
  select * into last from comity.hand_overs h where h.topic = take_over_problem.topic order by h.version desc limit 1;
  if not found or last.next <> own then
    -- What can be mended only before is said before.
    return format('this database has not heard that %s has handed it over', coalesce(last.next, 'its owner')) || case
      (select a.verdict from comity.audits a where a.replica = take_over_problem.replica and a.state = 'ended' order by a.ended_at desc limit 1)
      when 'true' then '' when 'drift' then '; its copy is not as it has it: mend that before'
      else '; nobody has compared its copy yet: "comity audit run" does' end;
  end if;
  select * into strict copy from comity.replicas r where r.name = take_over_problem.replica;
  if copy.rebuilt is not null or exists (select from comity.asked_backfills b where b.replica = copy.name and b.state in ('asking', 'filling', 'settling')) then
    return 'its copy is being filled ("comity backfill status")';
  end if;
  if exists (select from comity.audits a where a.replica = copy.name and a.state <> 'ended') then
    return 'its copy is being compared';
  end if;
  select count(*), coalesce(max(m.buckets), 1) into passed, buckets from comity.marks m where m.subscription = copy.name and m.version >= last.version;
  if passed < buckets then
    return format('its last changes are on their way: %s of %s buckets of its topic have ended. %s must run until it was told ("comity hand-over list" there), and the code of this team that keeps the copy',
                  passed, buckets, last.owner);
  end if;
  select b.state into filled from comity.asked_backfills b where b.replica = copy.name order by b.asked_at desc limit 1;
  if filled <> 'ready' then
    return format('its copy is not whole: filling it has ended as %s. Put its rows right, and say so: "comity hand-over accept %s"', filled, copy.name);
  end if;
  select count(*) into waiting from comity.waiting_keys k join comity.waiting w on w.subscription = k.subscription and w.key = k.key and w.seq > k.done
    where k.subscription = copy.name;
  if waiting > 0 then
    return format('%s messages wait in %s', waiting, copy.name);
  end if;
  if last.version > comity.clock_id() then
    return format('the clock of %s is ahead by %s s', last.owner, ceil((last.version - comity.clock_id()) / 1000000.0));
  end if;
  return null;
end $$;

/*
 * A copy becomes its owner's table: called in the transaction that captures it. Versions go on above all that the owners before have drawn, so
 * no reader, tombstone or erasure needs to know that another database draws them now.
 */
create function comity.take_over(topic text, replica text) returns void
  language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  copy comity.replicas;
  problem text;
  given bigint := (select max(h.version) from comity.hand_overs h where h.topic = take_over.topic);
  floor bigint;
begin
  -- Whoever applies a change has ended, and whoever comes finds no copy. In the order in which chunks are applied.
  perform 1 from comity.asked_backfills b where b.replica = take_over.replica and b.state in ('asking', 'filling', 'settling') order by b.asked_at for update;
  perform 1 from comity.lanes l where l.subscription = take_over.replica order by l.lane for update;
  select * into copy from comity.replicas r where r.name = take_over.replica for update;
  if not found then
    return; -- another process that migrates has done it
  end if;
  problem := comity.take_over_problem(topic, replica);
  if problem is not null then
    perform comity.refuse('CM016', problem, 'run "comity migrate" again when that is over');
  end if;
  floor := greatest(given, comity.clock_id());
  perform comity.advance_versions(floor);
  -- Too near to be moved to while others draw.
  perform nextval('comity.outbox_id') from generate_series(1, greatest(0, floor - (select s.last_value from comity.outbox_id s)));
  execute format('alter table %I.%I drop column comity_version', copy.table_schema, copy.table_name);
  delete from comity.replicas r where r.name = copy.name;
  delete from comity.tombstones t where t.replica = copy.name;
  -- Code of before that still runs takes no more for it: what it took would wait in lines for ever. What keeps a copy again ends that.
  insert into comity.pauses (subscription, by, reason, author)
    values (copy.name, 'operator', format('its copy is the table of %s: remove the subscription', topic), 'comity migrate')
    on conflict on constraint pauses_pkey do update set by = excluded.by, reason = excluded.reason, author = excluded.author, probe_at = null;
  perform comity.begin_publish();
  insert into comity.outbox (topic, key, kind, checked) values ('comity.owner', take_over.topic, 'event', true) returning id into floor;
  update comity.hand_overs h set taken_at = clock_timestamp(), taken_version = floor where h.topic = take_over.topic and h.version = given;
end $$;

-- Of an entity that has changed hands only what its lost history's own team has said is lost: as in migration 0018, but for that.
create or replace function comity.turn_lost_away(owner text, life bigint, ranges jsonb, topics text[]) returns jsonb
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  item record;
  answer jsonb := '[]';
begin
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
    where s.topic = any (topics) and regexp_replace(w.message, '-\d{1,16}(~\d+)?$', '') = turn_lost_away.owner and comity.is_lost(turn_lost_away.owner, comity.version_in(w.attributes))
    group by w.subscription, w.key
  loop
    perform comity.take_from_line(item.subscription, item.key, item.messages, 'lost', 'the owner ' || turn_lost_away.owner);
    answer := answer || jsonb_build_object('subscription', item.subscription, 'messages', cardinality(item.messages));
  end loop;
  return answer;
end $$;
create or replace function comity.name_lost(owner text, topics text[]) returns jsonb
  language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
  with named as (
    insert into comity.lost_handled (subscription, message, time)
    select i.subscription, i.message, min(i.time)
    from comity.subscriptions s join comity.inbox i on i.subscription = s.name
      cross join lateral (select (regexp_match(i.message, '-(\d{1,16})(~\d+)?$'))[1]::bigint as version) v
    where s.topic = any (topics) and s.kind = 'handler' and regexp_replace(i.message, '-\d{1,16}(~\d+)?$', '') = name_lost.owner
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
