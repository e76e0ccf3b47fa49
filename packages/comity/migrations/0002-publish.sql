-- Publishing from code or SQL: events, and entities that have no table to capture.

-- What this team owns and publishes, as registered by `comity migrate`.
create table comity.contracts (
  topic text primary key,
  kind text not null check (kind in ('entity', 'event')),
  -- captured: from a table, by triggers; published: by comity.publish.
  source text not null check (source in ('captured', 'published')),
  key_fields text[] not null,
  tenant_field text,
  ordered boolean not null default false,
  required_fields text[] not null default '{}',
  max_bytes integer not null default 1048576,
  description jsonb not null,
  registered_at timestamptz not null default now()
);

-- The newest state of every key of a published entity (what a backfill re-announces), and the lock that gives
-- an ordered event topic its order.
create table comity.heads (
  topic text not null,
  key text not null,
  version bigint not null,
  state text,
  deleted boolean not null default false,
  primary key (topic, key)
);

-- Errors of ours have the class CM and a HINT that says what to do.
create function comity.refuse(code text, message text, hint text) returns void
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception using errcode = code, message = message, hint = hint;
end $$;

-- The parts of a key, and tenants: the same rule as checkKey of @comity/contract.
create function comity.check_key(key text, role text) returns void
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if key is null or key = '' or octet_length(key) > 256 or key ~ '[\u0001-\u001f\u007f-\u009f]' or key is not nfc normalized then
    perform comity.refuse('CM003', format('the %s is empty, longer than 256 bytes, not NFC, or has a control character', role),
                          format('use a short printable %s in Unicode normal form C', role));
  end if;
end $$;

-- Key text of a JSON object: a string as it is, an integer in decimal, several fields as a JSON array without spaces.
-- Integers are safe ones: readers in JavaScript would take two larger ones for one.
create function comity.key_of(data jsonb, fields text[], role text default 'key') returns text
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  field text;
  value jsonb;
  parts text[] := '{}';
  key text;
begin
  foreach field in array fields loop
    value := data -> field;
    if value is null or jsonb_typeof(value) not in ('string', 'number') or (jsonb_typeof(value) = 'number'
        and (value::text !~ '^-?\d{1,16}$' or abs(value::text::bigint) > 9007199254740991)) then
      perform comity.refuse('CM003', format('the %s field "%s" is missing, or neither a string nor an integer between ±(2^53 - 1)', role, field),
                            format('put every %s field of the contract into the data', role));
    end if;
    perform comity.check_key(value #>> '{}', role);
    parts := parts || case when cardinality(fields) = 1 then value #>> '{}' else value::text end;
  end loop;
  key := case when cardinality(fields) = 1 then parts[1] else '[' || array_to_string(parts, ',') || ']' end;
  perform comity.check_key(key, role);
  return key;
end $$;

create function comity.object_of(data text, max_bytes integer) returns jsonb
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  parsed jsonb;
begin
  if data is null or octet_length(data) > max_bytes then
    perform comity.refuse('CM004', format('the data is missing or larger than %s bytes', max_bytes), 'publish a reference to large content');
  end if;
  begin
    parsed := data::jsonb;
  exception when others then
    perform comity.refuse('CM004', 'the data is not valid JSON: ' || sqlerrm, 'pass the JSON text of one object');
  end;
  if jsonb_typeof(parsed) <> 'object' then
    perform comity.refuse('CM004', 'the data is not a JSON object', 'pass the JSON text of one object');
  end if;
  return parsed;
end $$;

-- Headers become attributes of the message: what no envelope can hold would stop the relay.
create function comity.check_headers(headers text) returns void
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if octet_length(headers) > 8192 then
    perform comity.refuse('CM005', 'the headers are larger than 8192 bytes', 'put the content into the data');
  end if;
  if jsonb_typeof(headers::jsonb) <> 'object' or exists (
      select from jsonb_each(headers::jsonb) h
      where h.key !~ '^[a-z0-9]{1,20}$' or jsonb_typeof(h.value) <> 'string' or octet_length(h.value #>> '{}') > 340
        or h.key in ('id', 'specversion', 'source', 'type', 'subject', 'time', 'dataschema', 'datacontenttype', 'partitionkey', 'data', 'withheld')
        or h.key in ('comityversion', 'comitykind', 'comitytenant')
        or (h.key = 'traceparent' and h.value #>> '{}' !~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$')) then
    raise invalid_parameter_value;
  end if;
exception when data_exception or program_limit_exceeded or statement_too_complex then
  perform comity.refuse('CM005', 'the headers are not a JSON object of short texts, or a name is reserved, or traceparent is not W3C''s',
                        'pass {"traceparent": "00-…"} or extensions of your own: 1 to 20 lower-case letters and digits, texts up to 340 bytes');
end $$;

/*
 * Publishes one event, or one state of a published entity; call it after the business statement.
 *   data     the JSON text; for kind 'deleted' NULL is fine when `key` is given, and the key's fields are enough
 *   kind     entities only: 'deleted', else found out
 *   key, tenant, checked   only for Comity's own publishers, which have validated the data against its schema already
 * Returns the version; 0 where a key was to be deleted that was never published. An entity's version is drawn after its key's row is locked: per key, version order is commit order.
 */
create function comity.publish(topic text, data text, kind text default null, headers text default null,
                               key text default null, tenant text default null, checked boolean default false) returns bigint
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  contract comity.contracts;
  parsed jsonb;
  head comity.heads;
  announced text := coalesce(publish.kind, 'event');
  drawn bigint;
  missing text;
begin
  select * into contract from comity.contracts c where c.topic = publish.topic;
  if not found then
    perform comity.refuse('CM001', format('"%s" is not published by this team', publish.topic),
                          'declare it with .publishes(…) or .owns(…), and run "comity migrate"');
  end if;
  if contract.source = 'captured' then
    perform comity.refuse('CM002', format('"%s" is captured from a table', publish.topic), 'write that table instead of publishing');
  end if;
  if contract.kind = 'event' and coalesce(publish.kind, 'event') <> 'event' then
    perform comity.refuse('CM006', format('"%s" is an event; kind "%s" is for entities', publish.topic, publish.kind), 'leave kind out');
  end if;
  if contract.kind = 'entity' and coalesce(publish.kind, 'deleted') <> 'deleted' then
    perform comity.refuse('CM006', format('"%s" is no kind of a publication', publish.kind), 'leave kind out, or say ''deleted''; created and updated are found out');
  end if;
  if not checked then
    if publish.headers is not null then
      perform comity.check_headers(publish.headers);
    end if;
    if data is null and announced = 'deleted' and publish.key is not null then
      perform comity.check_key(publish.key, 'key');
      if publish.tenant is not null then
        perform comity.check_key(publish.tenant, 'tenant');
      end if;
    else
      parsed := comity.object_of(data, contract.max_bytes);
      publish.key := comity.key_of(parsed, contract.key_fields);
      if contract.tenant_field is not null then
        -- Of a deletion the data may be no more than the key; the tenant is then the last state's.
        publish.tenant := case when announced <> 'deleted' or parsed ? contract.tenant_field
          then comity.key_of(parsed, array[contract.tenant_field], 'tenant') end;
      end if;
      if announced <> 'deleted' then
        select f into missing from unnest(contract.required_fields) f where not parsed ? f limit 1;
        if found then
          perform comity.refuse('CM004', format('the field "%s" is missing', missing), 'pass every field that the contract requires');
        end if;
      end if;
    end if;
  end if;

  perform comity.begin_publish();

  if contract.kind = 'event' and not contract.ordered then
    insert into comity.outbox (topic, key, kind, tenant, payload, headers, checked)
      values (publish.topic, publish.key, 'event', publish.tenant, data, publish.headers, publish.checked)
      returning id into drawn;
    return drawn;
  end if;

  insert into comity.heads (topic, key, version, deleted) values (publish.topic, publish.key, 0, true) on conflict do nothing;
  select * into strict head from comity.heads h where h.topic = publish.topic and h.key = publish.key for update;
  if contract.kind = 'entity' then
    if announced = 'deleted' then
      if head.deleted then
        if head.version = 0 then
          delete from comity.heads h where h.topic = publish.topic and h.key = publish.key;
        end if;
        return head.version;
      end if;
      data := null;
      publish.tenant := coalesce(publish.tenant, head.state::jsonb ->> contract.tenant_field);
    else
      announced := case when head.deleted then 'created' else 'updated' end;
    end if;
  end if;
  insert into comity.outbox (topic, key, kind, tenant, payload, headers, checked)
    values (publish.topic, publish.key, announced, publish.tenant, data, publish.headers, publish.checked)
    returning id into drawn;
  -- Never excluded.version: the id is known only now, after the lock.
  update comity.heads h
    set version = drawn, deleted = announced = 'deleted', state = case when contract.kind = 'entity' then data end
    where h.topic = publish.topic and h.key = publish.key;
  return drawn;
end $$;

-- Many at once, in one call: entities are sorted by key (so that two bulk calls never deadlock) and only the last state of
-- each key is announced; events keep their order. Arrays of the same length; returns the versions in the order given
-- (0 = superseded by a later state in the same call).
create function comity.publish_many(topic text, datas text[], kinds text[], headers text[], keys text[], tenants text[], checked boolean default false)
  returns bigint[] language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  versions bigint[] := array_fill(0::bigint, array[cardinality(datas)]);
  sorted boolean := (select c.kind = 'entity' or c.ordered from comity.contracts c where c.topic = publish_many.topic);
  entity boolean := (select c.kind = 'entity' from comity.contracts c where c.topic = publish_many.topic);
  fields text[] := (select c.key_fields from comity.contracts c where c.topic = publish_many.topic);
  item record;
begin
  if cardinality(datas) <> all (array[cardinality(kinds), cardinality(headers), cardinality(keys), cardinality(tenants)]) then
    perform comity.refuse('CM004', 'the arrays differ in length', 'pass one element of each array for each message; NULL where there is nothing to say');
  end if;
  if not checked and fields is not null then -- their keys are still in the data, and the order below goes by them
    keys := array(select case when datas[i] is null then keys[i] else comity.key_of(comity.object_of(datas[i], 8388608), fields) end
                  from generate_subscripts(datas, 1) i order by i);
  end if;
  for item in
    select i, lead(keys[i]) over (partition by keys[i] order by i) is null as last
    from generate_subscripts(datas, 1) i
    order by case when sorted then keys[i] end, i
  loop
    if item.last or not coalesce(entity, false) then
      versions[item.i] := comity.publish(topic, datas[item.i], kinds[item.i], headers[item.i], keys[item.i], tenants[item.i], checked);
    end if;
  end loop;
  return versions;
end $$;

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
