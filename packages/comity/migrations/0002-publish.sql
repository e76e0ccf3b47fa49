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

-- Key text of a JSON object: a string as it is, an integer in decimal, several fields as a JSON array without spaces.
create function comity.key_of(data jsonb, fields text[]) returns text
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  field text;
  value jsonb;
  parts text[] := '{}';
begin
  foreach field in array fields loop
    value := data -> field;
    if value is null or jsonb_typeof(value) not in ('string', 'number') or (jsonb_typeof(value) = 'number' and value::text !~ '^-?\d{1,16}$') then
      perform comity.refuse('CM003', format('the key field "%s" is missing, or neither a string nor an integer', field),
                            'put every key field of the contract into the data');
    end if;
    parts := parts || case when cardinality(fields) = 1 then value #>> '{}' else value::text end;
  end loop;
  return case when cardinality(fields) = 1 then parts[1] else '[' || array_to_string(parts, ',') || ']' end;
end $$;

create function comity.check_key(key text) returns void
  language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if key is null or key = '' or octet_length(key) > 256 or key ~ '[\u0001-\u001f\u007f-\u009f]' or key is not nfc normalized then
    perform comity.refuse('CM003', 'the key is empty, longer than 256 bytes, not NFC, or has a control character',
                          'use a short printable key in Unicode normal form C');
  end if;
end $$;

/*
 * Publishes one event, or one state of a published entity; call it after the business statement.
 *   data     the JSON text; for kind 'deleted' NULL is fine when `key` is given
 *   kind     entities only: 'deleted', else found out
 *   key, tenant, checked   only for Comity's own publishers, which have validated the data against its schema already
 * Returns the version. An entity's version is drawn after its key's row is locked: per key, version order is commit order.
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
  if publish.headers is not null and octet_length(publish.headers) > 8192 then
    perform comity.refuse('CM005', 'the headers are larger than 8192 bytes', 'put the content into the data');
  end if;
  if not checked then
    if data is null and announced = 'deleted' and publish.key is not null then
      null;
    else
      if data is null or octet_length(data) > contract.max_bytes then
        perform comity.refuse('CM004', format('the data is missing or larger than %s bytes', contract.max_bytes), 'publish a reference to large content');
      end if;
      begin
        parsed := data::jsonb;
      exception when others then
        perform comity.refuse('CM004', 'the data is not valid JSON: ' || sqlerrm, 'pass the JSON text of one object');
      end;
      if jsonb_typeof(parsed) <> 'object' then
        perform comity.refuse('CM004', 'the data is not a JSON object', 'pass the JSON text of one object');
      end if;
      publish.key := comity.key_of(parsed, contract.key_fields);
      if contract.tenant_field is not null then
        publish.tenant := parsed ->> contract.tenant_field;
        if coalesce(publish.tenant, '') = '' then
          perform comity.refuse('CM004', format('the tenant field "%s" is missing', contract.tenant_field), 'every message of this contract names its tenant');
        end if;
      end if;
      if announced <> 'deleted' then
        select f into missing from unnest(contract.required_fields) f where not parsed ? f limit 1;
        if found then
          perform comity.refuse('CM004', format('the field "%s" is missing', missing), 'pass every field that the contract requires');
        end if;
      end if;
    end if;
    perform comity.check_key(publish.key);
  end if;
  if contract.kind = 'event' and publish.kind is not null and publish.kind <> 'event' then
    perform comity.refuse('CM006', format('"%s" is an event; kind "%s" is for entities', publish.topic, publish.kind), 'leave kind out');
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
        return nullif(head.version, 0);
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
  item record;
begin
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
