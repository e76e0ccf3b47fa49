-- Requests: what this team asks of owners, and what it has decided about what others ask of it (docs/decisions/0019-requests.md).

-- The requests that this team may make, as registered by `comity migrate`. Beside comity.contracts: comity.publish must not know them.
create table comity.asks (
  topic text primary key,
  entity text not null,
  owner text not null,
  key_fields text[] not null,
  tenant_field text,
  required_fields text[] not null default '{}',
  max_bytes integer not null default 1048576,
  description jsonb not null,
  registered_at timestamptz not null default now(),
  -- When it was last known that somebody answers it: seen at the broker, or an outcome has come.
  answered_at timestamptz,
  -- Outcomes that are heard from then on have a handler here. NULL: none has.
  handled_since timestamptz
);

-- What this team has asked, and what it has heard. The outcome is the owner's: nothing here decides one.
create table comity.asked (
  id text primary key check (id ~ '^[A-Za-z0-9._:-]{1,64}$'),
  topic text not null,
  entity text not null,
  owner text not null,
  key text not null,
  tenant text,
  -- NULL: of a request that this database does not remember (it was restored), or that was erased.
  data text,
  deadline timestamptz,
  asked_at timestamptz default clock_timestamp(),
  withdrawing_at timestamptz,
  outcome text check (outcome in ('accepted', 'rejected', 'expired', 'withdrawn')),
  reason text,
  detail text,
  -- Of an accepted one: what the owner has announced of the key with it; this team's copy has the change when it has this version.
  owner_version bigint,
  -- By the owner's clock.
  decided_at timestamptz,
  heard_at timestamptz,
  visible_at timestamptz,
  -- Of an outcome that has a handler: when its effect was committed; else how often it was tried, when it is tried again, and why it failed.
  handled_at timestamptz,
  attempts integer not null default 0,
  retry_at timestamptz,
  problem text
);
create index asked_open on comity.asked (asked_at) where outcome is null;
create index asked_unseen on comity.asked (entity, heard_at) where outcome = 'accepted' and visible_at is null;
create index asked_key on comity.asked (entity, key);
create index asked_ended on comity.asked (heard_at) where outcome is not null;
create index asked_unhandled on comity.asked (topic, heard_at) where outcome is not null and handled_at is null;

-- The life of each request of this team, for people and for other languages.
create view comity.asked_requests as
  select a.id, a.topic as request, a.entity, a.owner, a.key, a.tenant, a.data,
    case when a.visible_at is not null then 'visible' else coalesce(a.outcome, 'requested') end as state,
    a.outcome is null and a.deadline < clock_timestamp() as overdue,
    a.reason, a.detail, a.owner_version, a.asked_at, a.deadline, a.withdrawing_at, a.decided_at, a.heard_at, a.visible_at, a.handled_at, a.problem
  from comity.asked a;

-- The requests that this team answers, as registered by `comity migrate`.
create table comity.answered (
  topic text primary key,
  entity text not null,
  registered_at timestamptz not null default now()
);

-- What this team has decided: one row for each request that was asked of it, for ever one outcome.
create table comity.requests (
  asker text not null,
  id text not null,
  topic text not null,
  entity text not null,
  key text not null,
  tenant text,
  asked_at timestamptz not null,
  deadline timestamptz,
  outcome text not null check (outcome in ('accepted', 'rejected', 'expired', 'withdrawn')),
  reason text,
  detail text,
  owner_version bigint,
  decided_at timestamptz not null default clock_timestamp(),
  -- When the asker was told; asked again, it is told again.
  told_at timestamptz,
  tellings integer not null default 0,
  primary key (asker, id)
);
create index requests_untold on comity.requests (decided_at) where told_at is null;
create index requests_decided on comity.requests (decided_at);
create index requests_key on comity.requests (entity, key);

/*
 * Asks for something, in the caller's transaction: the row here and the message to the owner commit with it, or neither.
 *   id       the request's own: the same one again asks nothing again. Default: a new UUID
 *   expect   {"digest", "fields"} of what the asker's copy says (comity.state_digest)
 *   key, tenant, checked   only for Comity's own askers, which have validated the data against its schema already
 */
create function comity.ask(topic text, data text, id text default null, deadline timestamptz default null, expect text default null,
                           headers text default null, key text default null, tenant text default null, checked boolean default false) returns text
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  contract comity.asks;
  parsed jsonb;
  missing text;
  before comity.asked;
begin
  select * into contract from comity.asks c where c.topic = ask.topic;
  if not found then
    perform comity.refuse('CM001', format('"%s" is not asked by this team', ask.topic), 'declare it with .asks(…), and run "comity migrate"');
  end if;
  ask.id := coalesce(ask.id, gen_random_uuid()::text);
  if ask.id !~ '^[A-Za-z0-9._:-]{1,64}$' then
    perform comity.refuse('CM012', 'the id of a request is 1 to 64 letters, digits and the signs . _ : -', 'take a UUID, or leave it out');
  end if;
  if not checked then
    if ask.headers is not null then
      perform comity.check_headers(ask.headers);
    end if;
    parsed := comity.object_of(data, contract.max_bytes);
    ask.key := comity.key_of(parsed, contract.key_fields);
    ask.tenant := case when contract.tenant_field is not null then comity.key_of(parsed, array[contract.tenant_field], 'tenant') end;
    select f into missing from unnest(contract.required_fields) f where not parsed ? f limit 1;
    if found then
      perform comity.refuse('CM004', format('the field "%s" is missing', missing), 'pass every field that the contract requires');
    end if;
  end if;
  insert into comity.asked (id, topic, entity, owner, key, tenant, data, deadline)
    values (ask.id, ask.topic, contract.entity, contract.owner, ask.key, ask.tenant, data, ask.deadline) on conflict do nothing;
  if not found then
    select * into strict before from comity.asked a where a.id = ask.id;
    if before.topic <> ask.topic or before.key <> ask.key or before.data is not null and before.data::jsonb <> ask.data::jsonb then
      perform comity.refuse('CM013', format('this team has asked something else with the id %s', ask.id), 'take a new id for another request');
    end if;
    return ask.id;
  end if;
  perform comity.begin_publish();
  insert into comity.outbox (topic, key, kind, tenant, payload, headers, checked)
    values (ask.topic, ask.key, 'event', ask.tenant, data, comity.request_headers(ask.id, ask.deadline, ask.expect, ask.headers), ask.checked);
  return ask.id;
end $$;

-- What travels beside a request's data: its id, its deadline, what is expected; and the trace that the caller is in.
create function comity.request_headers(id text, deadline timestamptz, expect text, headers text) returns text
  language sql immutable set search_path = pg_catalog, pg_temp
  return (coalesce(headers::jsonb, '{}') || jsonb_strip_nulls(jsonb_build_object('comityrequest', id,
    'comitydeadline', to_char(deadline at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'comityexpect', expect::jsonb ->> 'digest', 'comityfields', expect::jsonb ->> 'fields')))::text;

-- Asks the owner to end a request that is not decided yet. It decides: false, where its outcome is known here already.
create function comity.withdraw_request(id text) returns boolean
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  before comity.asked;
begin
  select * into before from comity.asked a where a.id = withdraw_request.id for update;
  if not found then
    perform comity.refuse('CM014', format('this team has asked nothing with the id %s', withdraw_request.id), 'pass the id that ask answered');
  end if;
  if before.outcome is not null or before.data is null then
    return false;
  end if;
  update comity.asked a set withdrawing_at = coalesce(a.withdrawing_at, clock_timestamp()) where a.id = withdraw_request.id;
  perform comity.begin_publish();
  insert into comity.outbox (topic, key, kind, tenant, payload, headers, checked)
    values (before.topic, before.key, 'event', before.tenant, before.data,
      jsonb_build_object('comityrequest', before.id, 'comityask', 'withdraw')::text, true);
  return true;
end $$;

/*
 * The digest of some fields of a state: SHA-256 over the canonical texts (docs/canonical-form.md), in the order of their names. `fields` is
 * [{"name", "kind"}]. Salted with the request's id: equal states of two requests do not look equal. NULL: there is no such state.
 */
create function comity.state_digest(fields jsonb, state text, salt text) returns text
  language plpgsql immutable set search_path = pg_catalog, pg_temp set extra_float_digits = '1' as $$
declare
  texts text;
  names text;
  digest text;
begin
  if state is null then
    return null;
  end if;
  select string_agg(format('coalesce(%s, $3)', comity.canonical_sql(n.kind, n.type, format('s.%I', n.name))), ' || $2 || ' order by n.i),
      string_agg(format('%I %s', n.name, n.type), ', ' order by n.i)
    into texts, names
    from (select x.name, x.kind, case x.kind when 'json' then 'jsonb' else 'text' end as type, row_number() over (order by x.name collate "C") as i
      from jsonb_to_recordset(fields) x(name text, kind text)) n;
  execute format('select encode(sha256(textsend($4 || %s)), ''hex'') from json_to_record($1) s(%s)', texts, names)
    into digest using state::json, encode(substring(sha256(textsend(salt)) for 8), 'hex'), encode(substring(sha256(textsend(salt)) from 9 for 8), 'hex'), salt;
  return digest;
end $$;

-- The state of a key as this team announces it, its row locked until the transaction ends; NULL: there is none.
create function comity.locked_state(topic text, key text) returns text
  language plpgsql volatile security definer set row_security = off set jit = off
  set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'iso_8601' set extra_float_digits = '1' set bytea_output = 'hex' set lc_monetary = 'C'
  set client_encoding = 'UTF8' set search_path = pg_catalog, pg_temp
  as $$
declare
  contract comity.contracts;
  view regclass;
  condition text;
  state text;
begin
  select * into contract from comity.contracts c where c.topic = locked_state.topic and c.kind = 'entity';
  if not found then
    perform comity.refuse('CM001', format('"%s" is not published by this team', locked_state.topic), 'declare it with .owns(…), and run "comity migrate"');
  end if;
  if contract.source = 'published' then
    -- A first publication waits for this row, too.
    insert into comity.heads (topic, key, version, deleted) values (locked_state.topic, locked_state.key, 0, true) on conflict do nothing;
    select case when not h.deleted then h.state end into state from comity.heads h
      where h.topic = locked_state.topic and h.key = locked_state.key for update;
    return state;
  end if;
  select to_regclass(format('comity.%I', c.prefix || ' state')) into view from comity.captures c where c.topic = contract.topic and c.released_at is null;
  if view is null then
    perform comity.refuse('CM009', format('the view of "%s" is gone, which Comity reads', contract.topic), 'run "comity migrate" to capture its table again');
  end if;
  select string_agg(format('v.key_%s = %s::%s', i,
      case when cardinality(contract.key_fields) = 1 then '$1' else format('($1::jsonb ->> %s)', i - 1) end, format_type(a.atttypid, a.atttypmod)), ' and ')
    into condition
    from generate_series(1, cardinality(contract.key_fields)) i join pg_attribute a on a.attrelid = view and a.attname = format('key_%s', i);
  begin
    -- Two statements: what the second one sees was committed by whoever held the lock.
    execute format('select 1 from %s v where %s for no key update', view, condition) using locked_state.key;
    execute format('select v.state from %s v where %s and v.key = $1', view, condition) into state using locked_state.key;
  exception when data_exception then null; -- a key that no row of the table can have
  end;
  return state;
end $$;

-- Of what is asked: how it stands with what the asker expects. Locks the row.
create function comity.compare_expected(entity text, key text, fields jsonb, salt text, digest text) returns table (matches boolean, state text)
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  current text := comity.locked_state(entity, key);
begin
  return query select coalesce(comity.state_digest(fields, current, salt), 'none') = digest,
    case when current is not null then (select coalesce(json_object_agg(x.name, current::json -> x.name), '{}')::text from jsonb_to_recordset(fields) x(name text)) end;
end $$;

/*
 * What is asked of this team and waits in a line, and ends there: its deadline has passed, its asker has withdrawn it, or an operator has discarded it.
 * When its line runs, its outcome is there. Answers how many.
 */
create function comity.decide_waiting() returns integer
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  decided integer;
begin
  with waiting as materialized (
    select s.topic, w.key, w.tenant, w.time, w.attributes::jsonb as a
    from comity.subscriptions s join comity.answered r on r.topic = s.topic
      join comity.waiting_keys k on k.subscription = s.name
      join comity.waiting w on w.subscription = k.subscription and w.key = k.key and w.seq > k.done
  ), ended as (
    select w.*, case when (w.a ->> 'ce-comitydeadline')::timestamptz <= clock_timestamp() then 'expired' when w.a ->> 'ce-comityask' = 'withdraw' then 'withdrawn' end as outcome,
      null::text as reason from waiting w
    union all
    select s.topic, w.key, w.tenant, w.time, w.attributes::jsonb, 'rejected', 'discarded'
    from comity.discarded d join comity.subscriptions s on s.name = d.subscription join comity.answered r on r.topic = s.topic
      join comity.waiting w on w.subscription = d.subscription and w.key = d.key and w.message = d.message
    where d.discarded_at > clock_timestamp() - interval '1 day' and not w.attributes::jsonb ? 'ce-comityask'
  )
  insert into comity.requests (asker, id, topic, entity, key, tenant, asked_at, deadline, outcome, reason)
    select distinct on (substring(e.a ->> 'ce-source' from 8), e.a ->> 'ce-comityrequest') substring(e.a ->> 'ce-source' from 8), e.a ->> 'ce-comityrequest',
      e.topic, r.entity, e.key, e.tenant, e.time, (e.a ->> 'ce-comitydeadline')::timestamptz, e.outcome, e.reason
    from ended e join comity.answered r on r.topic = e.topic
    where e.outcome is not null and e.a ->> 'ce-source' like '/teams/%' and e.a ? 'ce-comityrequest'
    order by 1, 2, e.outcome
    on conflict do nothing;
  get diagnostics decided = row_count;
  return decided;
end $$;

-- What ended long ago goes, and what was erased goes out of what stays. Answers how many rows went.
create function comity.maintain_requests(retain interval) returns integer
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  gone integer;
  more integer;
begin
  delete from comity.asked a where a.outcome is not null and a.heard_at < clock_timestamp() - retain
    and (a.handled_at is not null or not exists (select from comity.asks c where c.topic = a.topic and a.heard_at >= c.handled_since));
  get diagnostics gone = row_count;
  delete from comity.requests r where r.told_at is not null and r.decided_at < clock_timestamp() - retain;
  get diagnostics more = row_count;
  update comity.asked a set data = null, detail = null from comity.erased e
    where e.topic = a.entity and e.key = a.key and a.asked_at <= e.erased_at and a.outcome is not null and (a.data is not null or a.detail is not null);
  update comity.requests r set detail = null from comity.erasures e
    where e.topic = r.entity and e.key = r.key and r.decided_at <= e.erased_at and r.told_at is not null and r.detail is not null;
  return gone + more;
end $$;

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
