-- Events for later: they wait here, and become events of the outbox, with a version drawn then, when they are due.

create table comity.scheduled (
  id bigint generated always as identity primary key,
  due timestamptz not null,
  topic text not null,
  key text not null,
  tenant text,
  payload text not null,
  headers text,
  scheduled_at timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create index scheduled_due on comity.scheduled (due, id);
create index scheduled_key on comity.scheduled (topic, key, due, id);

-- Refuses what can't be published for later.
create function comity.check_later(topic text, kind text, not_before timestamptz) returns void
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  contract_kind text := (select c.kind from comity.contracts c where c.topic = check_later.topic);
begin
  if contract_kind is null then
    perform comity.refuse('CM001', format('"%s" is not published by this team', topic),
                          'declare it with .publishes(…) or .owns(…), and run "comity migrate"');
  end if;
  if contract_kind = 'entity' then
    perform comity.refuse('CM010', format('"%s" is an entity: a state is announced when it is one, never for later', topic),
                          'leave not_before out, or publish an event for later');
  end if;
  if coalesce(kind, 'event') <> 'event' then
    perform comity.refuse('CM006', format('"%s" is an event; kind "%s" is for entities', topic, kind), 'leave kind out');
  end if;
  if not isfinite(not_before) or not_before > clock_timestamp() + interval '10 years' then
    perform comity.refuse('CM010', format('not_before = %s is more than ten years ahead, or no point in time', not_before),
                          'give a time within ten years');
  end if;
end $$;

/*
 * Publishes one event, not before a point in time; a time that has come, and NULL, mean at once. An overload, so that the rights on the
 * other `publish` and what processes of an older version call stay as they are; named: `not_before => now() + interval '1 day'`.
 * Returns 0 for an event that waits: its version is drawn when it is due. Everything is checked now, as for an event at once.
 */
create function comity.publish(topic text, data text, not_before timestamptz, kind text default null, headers text default null,
                               key text default null, tenant text default null, checked boolean default false) returns bigint
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  contract comity.contracts;
  parsed jsonb;
  missing text;
begin
  perform comity.check_later(publish.topic, publish.kind, not_before);
  if not checked and not_before > clock_timestamp() then
    select * into strict contract from comity.contracts c where c.topic = publish.topic;
    if publish.headers is not null then
      perform comity.check_headers(publish.headers);
    end if;
    parsed := comity.object_of(data, contract.max_bytes);
    publish.key := comity.key_of(parsed, contract.key_fields);
    publish.tenant := case when contract.tenant_field is not null then comity.key_of(parsed, array[contract.tenant_field], 'tenant') end;
    select f into missing from unnest(contract.required_fields) f where not parsed ? f limit 1;
    if found then
      perform comity.refuse('CM004', format('the field "%s" is missing', missing), 'pass every field that the contract requires');
    end if;
  end if;
  -- The statement takes its lock before it reads the clock: comity.move_scheduled relies on it.
  insert into comity.scheduled (due, topic, key, tenant, payload, headers)
    select not_before, publish.topic, publish.key, publish.tenant, data, publish.headers where not_before > clock_timestamp();
  if found then
    return 0;
  end if;
  return comity.publish(publish.topic, data, publish.kind, publish.headers, publish.key, publish.tenant, checked);
end $$;

-- Many for one point in time. It has no defaults: a shorter call means the other `publish_many`, whatever its arguments look like.
create function comity.publish_many(topic text, datas text[], kinds text[], headers text[], keys text[], tenants text[], checked boolean,
                                    not_before timestamptz) returns bigint[]
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform comity.check_later(topic, null, not_before);
  if not_before > clock_timestamp() then
    return array(select comity.publish(topic, datas[i], not_before, kinds[i], headers[i], keys[i], tenants[i], checked)
                 from generate_subscripts(datas, 1) i order by i);
  end if;
  return comity.publish_many(topic, datas, kinds, headers, keys, tenants, checked);
end $$;

-- Cancels what is scheduled for a key, and says how many. What is being moved at this moment is waited for, and is then an event.
create function comity.cancel_scheduled(topic text, key text) returns integer
  language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
  with found as (
    select s.id from comity.scheduled s where s.topic = cancel_scheduled.topic and s.key = cancel_scheduled.key order by s.due, s.id for update
  ), gone as (
    delete from comity.scheduled s using found f where s.id = f.id returning s.id
  )
  select count(*)::integer from gone;
end;

-- Locks a key's head, if its topic is ordered and nobody has it: the mover waits for nobody, so it is in nobody's way.
create function comity.try_lock_head(topic text, key text) returns boolean
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not coalesce((select c.ordered from comity.contracts c where c.topic = try_lock_head.topic), false) then
    return true;
  end if;
  perform from comity.heads h where h.topic = try_lock_head.topic and h.key = try_lock_head.key for update skip locked;
  if found then
    return true;
  end if;
  if exists (select from comity.heads h where h.topic = try_lock_head.topic and h.key = try_lock_head.key) then
    return false;
  end if;
  -- Its first event. Somebody else may be publishing it, not visible yet.
  perform set_config('lock_timeout', '50ms', true);
  insert into comity.heads (topic, key, version, deleted) values (try_lock_head.topic, try_lock_head.key, 0, true) on conflict do nothing;
  return found;
exception when lock_not_available then
  return false;
end $$;

/*
 * Moves what is due into the outbox, in order of (due, id): up to `most` events or about 4 MB, in one transaction with their removal. One
 * mover at a time; the second goes away with nothing. A row that somebody is cancelling, and an ordered key that somebody is publishing
 * for, hold back their own key only, until the next call. A moved event is judged by the relay, by the contract as it is then.
 *   moved     how many
 *   wait_ms   until the next one is due, at most an hour; 0 = some are due and still here; NULL = none is scheduled
 *   settled   nothing is due before it, nor ever will be: pass it to the next call, which then does not pass over what long
 *             snapshots keep of the rows that were moved. Forget it now and then, for a clock may be set back.
 */
create function comity.move_scheduled(most integer default 1000, since timestamptz default '-infinity',
                                      out moved integer, out wait_ms integer, out settled text)
  language plpgsql volatile security definer set timezone = 'UTC' set datestyle = 'ISO'
  set enable_sort = off -- along the index, whatever the statistics of a table that is mostly empty
  set search_path = pg_catalog, pg_temp as $$
declare
  started timestamptz := clock_timestamp();
  complete boolean := false;
  item record;
  event comity.scheduled;
  drawn bigint;
  bytes integer := 0;
  line text;
  held text[] := '{}';
  first_held timestamptz;
  next_due timestamptz;
  gone bigint[] := '{}';
begin
  moved := 0;
  wait_ms := 0;
  settled := since::text;
  if not pg_try_advisory_xact_lock(hashtext('comity.scheduled')) then
    return;
  end if;
  -- Who schedules locks the table, then reads the clock, and writes only what is due later: when nobody has that lock, everything that
  -- will ever be due until `started` is visible below. Asked rarely, for pg_locks is not free.
  if since < started - interval '10 seconds' then
    complete := not exists (select from pg_locks l
      where l.relation = 'comity.scheduled'::regclass and l.mode = 'RowExclusiveLock' and l.granted and l.pid is distinct from pg_backend_pid()
        and l.database = (select d.oid from pg_database d where d.datname = current_database()));
  end if;
  for item in select s.id, s.due, s.topic, s.key from comity.scheduled s where s.due >= since order by s.due, s.id loop
    if item.due > started or moved >= most or bytes >= 4194304 then
      next_due := item.due;
      exit;
    end if;
    line := item.topic || ' ' || item.key;
    continue when line = any (held);
    select * into event from comity.scheduled s where s.id = item.id for update skip locked;
    if not found or not comity.try_lock_head(item.topic, item.key) then
      held := held || line;
      first_held := coalesce(first_held, item.due);
      continue;
    end if;
    if moved = 0 then
      perform comity.begin_publish();
    end if;
    insert into comity.outbox (topic, key, kind, tenant, payload, headers)
      values (event.topic, event.key, 'event', event.tenant, event.payload, event.headers)
      returning id into drawn;
    update comity.heads h set version = drawn, deleted = false where h.topic = event.topic and h.key = event.key;
    gone := gone || event.id;
    bytes := bytes + octet_length(event.payload);
    moved := moved + 1;
  end loop;
  delete from comity.scheduled s where s.id = any (gone);
  next_due := least(first_held, next_due);
  wait_ms := case when next_due is not null then ceil(least(greatest(extract(epoch from next_due - clock_timestamp()) * 1000, 0), 3600000)) end;
  if complete then
    settled := least(started, next_due)::text;
  end if;
end $$;

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
