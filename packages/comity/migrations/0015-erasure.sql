-- Erasure: what an owner has erased of one key, who holds something of it, and what each of them says that it has removed.

-- At the owner: one row for each time that a key was erased.
create table comity.erasures (
  -- The operation's.
  id uuid primary key,
  topic text not null,
  key text not null,
  kind text not null check (kind in ('entity', 'event')),
  -- Everything of the key up to it is erased, everywhere.
  version bigint not null,
  removed jsonb not null,
  erased_at timestamptz not null default clock_timestamp(),
  -- Since when everything of it has been sent, and the holders told. The broker keeps what was sent before until then.
  announced_at timestamptz,
  broker_until timestamptz,
  -- A holder has forgotten it: it is to be told once more.
  again boolean not null default false
);
create index erasures_open on comity.erasures (version) where announced_at is null or again;
create index erasures_key on comity.erasures (topic, key);

-- At the owner: what a team says that it has removed. The first one stays.
create table comity.erasure_receipts (
  erasure uuid not null,
  team text not null,
  -- [{ subscription, kind, rows, messages, edited }]
  removed jsonb not null,
  erased_at timestamptz not null,
  broker_until timestamptz not null,
  received_at timestamptz not null default clock_timestamp(),
  primary key (erasure, team)
);

-- At the owner: what other teams say that they read of it.
create table comity.holders (
  subscription text primary key,
  team text not null,
  topic text not null,
  kind text not null check (kind in ('handler', 'replica')),
  -- Beside key and tenant.
  fields jsonb not null,
  audience text,
  heard_at timestamptz not null default clock_timestamp(),
  -- Since when the team has said that it has no such subscription any more.
  gone_at timestamptz
);

-- At the owner: which life of its database a team spoke from last. In another one it may have forgotten what it has erased.
create table comity.holder_lives (
  team text primary key,
  life text not null,
  heard_at timestamptz not null default clock_timestamp()
);

-- At whoever holds something, the owner too: messages of this key up to this version are turned away, whoever brings them.
create table comity.erased (
  topic text not null,
  key text not null,
  version bigint not null,
  erasure uuid not null unique,
  removed jsonb not null,
  erased_at timestamptz not null default clock_timestamp(),
  primary key (topic, key, version)
);

-- The raw texts of a state's key, as a JSON array; NULL where its owner has no such state. Of one snapshot with the statement that calls it.
create function comity.state_key(topic text, key text) returns text
  language plpgsql stable security definer
  set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'iso_8601' set extra_float_digits = '1' set bytea_output = 'hex'
  set lc_monetary = 'C' set row_security = off set jit = off set search_path = pg_catalog, pg_temp as $$
declare
  contract comity.contracts;
  prefix text;
  view regclass;
  parts text[];
  places text[] := '{}';
  condition text := 'v.key = $1';
  type regtype;
  found_key text;
begin
  select * into strict contract from comity.contracts c where c.topic = state_key.topic and c.kind = 'entity';
  if contract.source = 'published' then
    return (select json_build_array(h.key)::text from comity.heads h
      where h.topic = state_key.topic and h.key = state_key.key and not h.deleted);
  end if;
  select c.prefix into prefix from comity.captures c where c.topic = state_key.topic and c.released_at is null;
  view := to_regclass(format('comity.%I', prefix || ' state'));
  if view is null then
    perform comity.refuse('CM010', format('the view of "%s" is gone, which Comity reads', state_key.topic), 'run "comity migrate" to capture its table again');
  end if;
  parts := case when cardinality(contract.key_fields) = 1 then array[key] else array(select json_array_elements_text(key::json)) end;
  for i in 1 .. cardinality(contract.key_fields) loop
    select a.atttypid into type from pg_attribute a where a.attrelid = view and a.attname = format('key_%s', i);
    places := places || format('v.key_%s::text', i);
    -- Where the text on the wire is the value's own, its index finds it.
    if type = any ('{text,varchar,uuid,int2,int4,int8}'::regtype[]) then
      condition := condition || format(' and v.key_%s = %L::%s', i, parts[i], type);
    end if;
  end loop;
  execute format('select json_build_array(%s)::text from %s v where %s limit 1', array_to_string(places, ', '), view, condition)
    into found_key using key;
  return found_key;
exception when data_exception then
  return null; -- no value of that type has such a text
end $$;

-- What is withheld of a key, up to a version. Of an event the relay hears by being asked to try it again: later ones of the key wait for it.
create function comity.erase_withheld(topic text, key text, version bigint) returns integer
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  count integer;
begin
  update comity.withheld w set payload = null, headers = null, reason = 'erased', path = '',
      kind = case when w.kind in ('event', 'erased') then 'erased' else 'deleted' end,
      retry_at = case when w.kind = 'event' and w.resolved_at is null then clock_timestamp() end,
      resolution = case when w.kind = 'event' then w.resolution else coalesce(w.resolution, 'erased') end,
      resolved_at = case when w.kind = 'event' then w.resolved_at else coalesce(w.resolved_at, clock_timestamp()) end
    where w.topic = erase_withheld.topic and w.key = erase_withheld.key and w.id <= erase_withheld.version and w.reason <> 'erased';
  get diagnostics count = row_count;
  return count;
end $$;

/*
 * Takes the payloads of a key out of what its owner keeps beside its own tables, up to a version that nothing of the key can come below any more:
 * `drawn` was drawn, and whoever had drawn before it has ended (see outbox/consistent-read.ts). `there`: the owner still has such a state, and
 * nothing was done. What was not sent yet is sent as a deletion; an event that was not sent yet is not sent.
 */
create function comity.erase_own(topic text, key text, drawn bigint,
                                 out there boolean, out version bigint, out outbox integer, out withheld integer, out scheduled integer)
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  contract comity.contracts;
begin
  select * into strict contract from comity.contracts c where c.topic = erase_own.topic;
  -- One statement, one snapshot: what is drawn later belongs to a state that is younger than the erasure.
  if contract.kind = 'entity' then
    select comity.state_key(erase_own.topic, erase_own.key) is not null,
        greatest(drawn, (select max(o.id) from comity.outbox o where o.id > drawn and o.topic = erase_own.topic and o.key = erase_own.key))
      into there, version;
    if there then
      return;
    end if;
  else
    there := false;
    version := drawn;
  end if;
  -- The one update that the outbox ever sees.
  update comity.outbox o set payload = null, headers = null, kind = case when o.kind = 'event' then 'erased' else 'deleted' end
    where o.topic = erase_own.topic and o.key = erase_own.key and o.id <= erase_own.version
      and (o.payload is not null or o.headers is not null or o.kind not in ('deleted', 'erased'));
  get diagnostics outbox = row_count;
  withheld := comity.erase_withheld(erase_own.topic, erase_own.key, erase_own.version);
  delete from comity.scheduled s where s.topic = erase_own.topic and s.key = erase_own.key;
  get diagnostics scheduled = row_count;
end $$;

-- The version of a message that waits or has waited, as its envelope has it; 0 where that can't be read.
create function comity.version_in(attributes text) returns bigint
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  version text := attributes::json ->> 'ce-comityversion';
begin
  return case when version ~ '^\d{1,16}$' then version::bigint else 0 end;
exception when data_exception then
  return 0;
end $$;

-- Takes messages out of the line of a key, and ends by name what had not ended there. Call it under the lock of the key's lane. Answers how many there were.
create function comity.take_from_line(subscription text, key text, messages text[], reason text, author text) returns integer
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  gone record;
begin
  with cursor as (
    select k.done, k.lane from comity.waiting_keys k where k.subscription = take_from_line.subscription and k.key = take_from_line.key for update
  ), removed as (
    delete from comity.waiting w
    where w.subscription = take_from_line.subscription and w.key = take_from_line.key and w.message = any (take_from_line.messages)
    returning w.generation, w.message, w.time, w.tenant, w.seq
  ), ended as (
    select r.* from removed r where r.seq > (select c.done from cursor c)
  ), named as (
    insert into comity.discarded (subscription, message, key, time, reason, tenant, author)
    select take_from_line.subscription, e.message, take_from_line.key, e.time, take_from_line.reason, e.tenant, take_from_line.author from ended e
  ), done as (
    insert into comity.inbox (subscription, generation, message, time)
    select take_from_line.subscription, e.generation, e.message, e.time from ended e where e.time >= comity.inbox_floor() on conflict do nothing
  )
  select (select count(*)::integer from removed) as messages, (select count(*)::integer from ended) as ended,
    coalesce((select c.lane from cursor c), 0) as lane into gone;
  if gone.messages > 0 then
    insert into comity.counts as c (subscription, lane, minute, waiting, discarded)
      values (take_from_line.subscription, gone.lane, floor(extract(epoch from clock_timestamp()) / 60), -gone.ended, gone.ended)
      on conflict on constraint counts_pkey do update set waiting = c.waiting + excluded.waiting, discarded = c.discarded + excluded.discarded;
    -- The next one is the head, and what was known of the last one is over.
    update comity.waiting_keys k set failures = 0, fingerprint = null, error_name = null, error_code = null, error = null, frame = null,
        failed_at = null, wants = null,
        message = (select w.message from comity.waiting w where w.subscription = k.subscription and w.key = k.key and w.seq > k.done order by w.seq limit 1)
      where k.subscription = take_from_line.subscription and k.key = take_from_line.key;
    delete from comity.waiting_keys k where k.subscription = take_from_line.subscription and k.key = take_from_line.key
      and not exists (select from comity.waiting w where w.subscription = k.subscription and w.key = k.key and w.seq > k.done);
  end if;
  return gone.messages;
end $$;

/*
 * Takes the messages of a key up to a version out of everything where a consumer keeps them. What waited ends by name, but for deletions, which are
 * nobody's data and which a handler must still hear of. Call it under the locks of the subscription's lanes. Answers [{ subscription, kind,
 * messages, edited }].
 */
create function comity.erase_messages(topic text, key text, version bigint, author text) returns jsonb
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  item comity.subscriptions;
  gone integer;
  edits integer;
  commands integer;
  answer jsonb := '[]';
begin
  for item in select * from comity.subscriptions s where s.topic = erase_messages.topic order by s.name loop
    gone := comity.take_from_line(item.name, erase_messages.key, array(
      select w.message from comity.waiting w
      where w.subscription = item.name and w.key = erase_messages.key and comity.version_in(w.attributes) <= erase_messages.version
        and w.attributes::json ->> 'ce-comitykind' is distinct from 'deleted'), 'erased', erase_messages.author);
    update comity.edited e set data = '', attributes = '{}'
      where e.subscription = item.name and e.key = erase_messages.key and e.data <> '' and comity.version_in(e.attributes) <= erase_messages.version;
    get diagnostics edits = row_count;
    -- What an operator gave to an edit stands with the act.
    update comity.operations o set arguments = o.arguments - 'data'
      where o.kind = 'edit-message' and o.arguments ? 'data' and o.arguments ->> 'subscription' = item.name and o.arguments ->> 'key' = erase_messages.key
        and coalesce((regexp_match(o.arguments ->> 'message', '-(\d{1,16})(~\d+)?$'))[1]::bigint, 0) <= erase_messages.version;
    get diagnostics commands = row_count;
    delete from comity.conflicts c where c.replica = item.name and c.key = erase_messages.key and c.version <= erase_messages.version;
    delete from comity.backfill_left l where l.replica = item.name and l.key = erase_messages.key;
    update comity.audit_findings f set detail = null from comity.audits a
      where a.id = f.audit and a.replica = item.name and f.key = erase_messages.key and f.detail is not null;
    answer := answer || jsonb_build_object('subscription', item.name, 'kind', item.kind, 'messages', gone, 'edited', edits + commands);
  end loop;
  return answer;
end $$;

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
