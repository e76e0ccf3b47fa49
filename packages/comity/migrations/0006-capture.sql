-- Capture of existing tables: what is captured, and what its generated views and triggers call.

-- The contract views, for everyone who may read a table's published fields in their wire form.
create schema comity_public;

create table comity.captures (
  topic text primary key,
  entity text not null,
  source regclass not null,
  -- All generated objects are named `<prefix> <what>`.
  prefix text not null unique,
  -- [{ "field": …, "column": …, "type": … } | { "field": …, "sql": …, "type": … }]
  fields jsonb not null,
  -- The partitions that have triggers: rows that come and go by ATTACH or DROP of one are announced by nobody.
  partitions text[] not null,
  -- Of the statements that made it: `comity migrate` does nothing while it is the same.
  fingerprint text not null,
  captured_at timestamptz not null default now(),
  -- Between release and the next capture nothing is announced: what changed then must be found by an audit.
  released_at timestamptz,
  unannounced_since timestamptz
);

-- May this text be a key or a tenant? The same rule as checkKey of @comity/contract. The first line answers for most keys
-- (a bounded repetition in a pattern, `{1,256}`, would cost twenty times as much).
create function comity.key_fits(text) returns boolean
  language sql immutable parallel safe
  return octet_length($1) between 1 and 256 and ($1 !~ '[^ -~]' collate "C"
    or ($1 !~ '[\u0001-\u001f\u007f-\u009f]' collate "C" and $1 is nfc normalized));

-- What stands in the outbox for a key that does not fit: the same text for the same key, so that its changes stay in order.
create function comity.unfit_key(text) returns text
  language sql immutable parallel safe
  return 'sha256:' || encode(sha256(convert_to($1, 'UTF8')), 'hex');

-- json keeps what jsonb can't hold (\u0000, endless numbers); NULL for these, for no copy could keep them.
create function comity.json_text(json) returns text
  language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
begin
  return $1::jsonb::text;
exception when data_exception or program_limit_exceeded then
  return null;
end $$;

-- Bytes of a value's text, asked before a text of a gigabyte is built (which would be an error).
create function comity.text_bytes(anyelement) returns bigint
  language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp as $$
begin
  return octet_length($1::text);
exception when program_limit_exceeded or out_of_memory then
  return 9223372036854775807 / 4096;
end $$;

-- Did this transaction, or one of its savepoints, write the row version with this xmin? Under REPEATABLE READ and
-- SERIALIZABLE a row that another transaction has deleted is still visible beside the one that has its key now.
create function comity.written_here(xmin xid) returns boolean
  language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  own bigint := pg_current_xact_id()::text::bigint;
  -- An xmin has 32 bits of the transaction's 64; savepoints come after their transaction.
  after bigint := mod(xmin::text::bigint - mod(own, 4294967296) + 4294967296, 4294967296);
begin
  return after = 0 or after < 2147483648 and pg_xact_status((own + after)::text::xid8) = 'in progress';
exception when invalid_parameter_value then
  return false; -- the xmin of a row frozen long ago reads like one of the future
end $$;

-- Raised where the business write can't go on, because the table no longer is what was captured.
create function comity.capture_broken(topic text, source regclass) returns void
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if row_security_active(source) then
    raise exception using errcode = 'CM008',
      message = format('a row-level security policy of %s hides rows from Comity, which announces "%s" from it', source, topic),
      hint = format('run "comity release %s" to go on without announcing it, or exempt the owner of the table (alter table %s no force row level security)', topic, source);
  end if;
  raise exception using errcode = 'CM009',
    message = format('the view of "%s" is gone, which Comity announces from %s', topic, source),
    hint = format('run "comity migrate" to capture it again, or "comity release %s" to go on without announcing it', topic);
end $$;

-- Takes a capture out: its triggers, views and functions. The record stays and says since when nothing is announced.
create function comity.release_capture(topic text) returns void
  language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  capture comity.captures;
  item record;
begin
  select * into capture from comity.captures c where c.topic = release_capture.topic;
  if not found then
    return;
  end if;
  for item in
    select t.tgname, t.tgrelid::regclass as source from pg_trigger t join pg_proc p on p.oid = t.tgfoid
    where p.pronamespace = 'comity'::regnamespace and p.proname = capture.prefix || ' capture' and not t.tgisinternal
    order by t.tgrelid, t.tgname
  loop
    execute format('drop trigger %I on %s', item.tgname, item.source);
  end loop;
  execute format('drop view if exists comity_public.%I', capture.prefix);
  execute format('drop view if exists comity.%I', capture.prefix || ' state');
  -- Triggers call key functions, those of keys call those of expressions: newest first.
  for item in
    select p.oid::regprocedure as signature from pg_proc p
    where p.pronamespace = 'comity'::regnamespace and starts_with(p.proname, capture.prefix || ' ')
    order by p.oid desc
  loop
    execute format('drop function %s', item.signature);
  end loop;
  update comity.captures c set released_at = now(), unannounced_since = coalesce(c.unannounced_since, now())
    where c.topic = release_capture.topic and c.released_at is null;
end $$;

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
