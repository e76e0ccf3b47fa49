-- Audit: the canonical text of what is on the wire, as both the owner's and the consumer's SQL compute it (docs/canonical-form.md), and the
-- records of audits, what they found, and what was repaired.

-- The canonical functions never fail: what can't have been on the wire (the change is withheld) stands for itself.

-- A JSON integer in decimal: 1.0 and 1e2 are integers, too.
create function comity.canonical_integer_of(wire text) returns text
  language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
begin
  return case when wire::numeric = trunc(wire::numeric) then trunc(wire::numeric)::text else wire end;
exception when data_exception then
  return wire;
end $$;
create function comity.canonical_integer(wire text) returns text
  language sql immutable parallel safe
  return case when wire ~ '^(0|-?[1-9][0-9]{0,17})$' then wire else comity.canonical_integer_of(wire) end;

-- The nearest double of a JSON number, as the 16 hexadecimal digits of its bits: libraries spell doubles differently (9.999999999999999e+22
-- and 1e+23 are one). Beyond the doubles it is infinity, closer to zero than the smallest of them it is zero, as a parser of JSON has it.
create function comity.canonical_double(number numeric) returns text
  language sql immutable parallel safe
  return encode(float8send(case
    when abs(number) >= 179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880177904174497792 then case when number > 0 then 'Infinity'::float8 else '-Infinity'::float8 end
    when abs(number) <= 2.4703282292062327e-324 then 0::float8
    else number::float8 end), 'hex');
create function comity.canonical_number(wire text) returns text
  language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
begin
  return comity.canonical_double(wire::numeric);
exception when data_exception then
  return wire;
end $$;

-- JSON as jsonb prints it (members by length of the name in bytes, then by bytes; ", " and ": "), but numbers as they are: integers between
-- ±(2^53 - 1) in decimal, others as # and the bits of the nearest double. NULL for null.
create function comity.canonical_json_of(value jsonb) returns text
  language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
begin
  case jsonb_typeof(value)
    when 'number' then
      return case when abs(value::numeric) <= 9007199254740991 and value::numeric = trunc(value::numeric)
        then trunc(value::numeric)::text else '#' || comity.canonical_double(value::numeric) end;
    when 'array' then
      return '[' || coalesce((select string_agg(comity.canonical_json_of(e.value), ', ' order by e.position)
        from jsonb_array_elements(value) with ordinality e(value, position)), '') || ']';
    when 'object' then
      return '{' || coalesce((select string_agg(to_jsonb(e.key)::text || ': ' || comity.canonical_json_of(e.value), ', '
        order by octet_length(e.key), e.key collate "C") from jsonb_each(value) e), '') || '}';
    else
      return value::text;
  end case;
end $$;
-- Most JSON holds no fraction and no large number: then its text is canonical, or looks (in a string) as if it were not.
create function comity.canonical_json(value jsonb) returns text
  language sql immutable parallel safe
  return case when jsonb_typeof(value) = 'null' then null
    when value::text !~ '[0-9]\.[0-9]|[0-9]{16}' then value::text else comity.canonical_json_of(value) end;

-- RFC 3339 in UTC with microseconds, as a replica's column gives it back.
create function comity.canonical_date_time_of(wire text) returns text
  language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO, YMD' as $$
declare
  at timestamptz;
begin
  at := wire::timestamptz;
  return case when at >= '0001-01-01 00:00:00+00' and at < '10000-01-01 00:00:00+00'
    then to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') else at::text end;
exception when data_exception then
  return wire;
end $$;
create function comity.canonical_date_time(wire text) returns text
  language sql immutable parallel safe
  return case when wire ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z$' then wire
    else comity.canonical_date_time_of(wire) end;

-- The same without a zone, where a column of a copy is one.
create function comity.canonical_timestamp(wire text) returns text
  language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp set datestyle = 'ISO, YMD' as $$
declare
  at timestamp;
begin
  at := wire::timestamp;
  return case when at >= '0001-01-01 00:00:00' and at < '10000-01-01 00:00:00' then to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.US') else at::text end;
exception when data_exception then
  return wire;
end $$;

-- SQL of the canonical text of a value whose type is `type`.
create function comity.canonical_sql(kind text, type text, value text) returns text
  language sql immutable parallel safe
  return format(case
    when kind = 'json' then case type when 'json' then 'comity.canonical_json(comity.json_text(%s)::jsonb)' else 'comity.canonical_json(to_jsonb(%s))' end
    -- + 0: there is no negative zero on the wire.
    when kind = 'number' then case when type in ('double precision', 'real', 'smallint', 'integer', 'bigint')
      then 'encode(float8send(%s::float8 + 0), ''hex'')' else 'comity.canonical_number(%s::text)' end
    when kind = 'integer' and type not in ('smallint', 'integer', 'bigint') then 'comity.canonical_integer(%s::text)'
    when kind = 'date-time' then 'comity.canonical_date_time(%s::text)'
    when kind = 'timestamp' then 'comity.canonical_timestamp(%s::text)'
    when kind = 'uuid' then 'lower(%s::text collate "C")'
    else '%s::text' end, value);

-- A sum as 16 hexadecimal digits, modulo 2^64.
create function comity.audit_sum(sum numeric) returns text
  language sql immutable parallel safe
  return (select encode(int8send((case when m >= 9223372036854775808 then m - 18446744073709551616 else m end)::bigint), 'hex')
    from (select mod(mod(coalesce(sum, 0), 18446744073709551616) + 18446744073709551616, 18446744073709551616)) s(m));

/*
 * Digests. `source` is SQL of one side's rows: `key`, and `f1` to `f<fields>`, the canonical texts of the fields in the order of their names. A
 * row is hashed as record_send writes it (in the client's encoding, so that is pinned). A row's place is the first 31 bits of the keyed hash of its key; a bucket of depth d is every place
 * that begins with the same d bits. The subqueries end with OFFSET 0 so that nothing is computed twice.
 *
 * These run what they are given, as who calls them: the consumer's side, over its copy. In one process each: an audit takes what is left.
 */
create function comity.audit_hashed(source text, fields integer, keyed boolean, condition text) returns text
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  hash text := format('sha256($2 || record_send(row(%s)))', (select string_agg('f' || i, ', ' order by i) from generate_series(1, fields) i));
  rows text := format('(%s offset 0) s', source);
  place text := '0';
begin
  if keyed and current_setting('server_version_num')::int >= 180000 then
    place := '(substring(sha256($1 || textsend(s.key)) from 1 for 4)::int & 2147483647)';
  elsif keyed then
    rows := format('(select s.*, sha256($1 || textsend(s.key)) as k from %s offset 0) s', rows);
    place := '(((get_byte(s.k, 0) & 127) << 24) | (get_byte(s.k, 1) << 16) | (get_byte(s.k, 2) << 8) | get_byte(s.k, 3))';
  end if;
  if condition = '' then
    return format('select s.*, %s as place, %s as h from %s offset 0', place, hash, rows);
  end if;
  return format('select p.*, %s as h from (select s.*, %s as place from %s offset 0) p %s offset 0', hash, place, rows, condition);
end $$;

-- Postgres 18 reads integers out of a bytea by itself, which halves the cost.
create function comity.audit_word(at integer) returns text
  language sql stable set search_path = pg_catalog, pg_temp
  return case when current_setting('server_version_num')::int >= 180000 then format('substring(h.h from %s for 8)::bigint', at + 1)
    else format('((get_byte(h.h, %s)::bigint << 56) | (get_byte(h.h, %s)::bigint << 48) | (get_byte(h.h, %s)::bigint << 40) | (get_byte(h.h, %s)::bigint << 32)
      | (get_byte(h.h, %s)::bigint << 24) | ((get_byte(h.h, %s) << 16) | (get_byte(h.h, %s) << 8) | get_byte(h.h, %s))::bigint)',
      at, at + 1, at + 2, at + 3, at + 4, at + 5, at + 6, at + 7) end;

create function comity.audit_digests(source text, fields integer, key_secret text, row_secret text, depth integer, within_depth integer, within integer[])
  returns table (bucket integer, count integer, a text, b text)
  language plpgsql stable set jit = off set max_parallel_workers_per_gather = 0
  set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'iso_8601' set extra_float_digits = '1' set bytea_output = 'hex' set lc_monetary = 'C'
  set client_encoding = 'UTF8' set search_path = pg_catalog, pg_temp
  as $$
begin
  return query execute format('select h.place >> $3, count(*)::int, comity.audit_sum(sum(%s)), comity.audit_sum(sum(%s)) from (%s) h group by 1',
      comity.audit_word(0), comity.audit_word(8),
      comity.audit_hashed(source, fields, true, case when within is null then '' else 'where p.place >> $4 = any ($5)' end))
    using decode(key_secret, 'hex'), decode(row_secret, 'hex'), 31 - depth, 31 - within_depth, within;
end $$;

create function comity.audit_rows(source text, fields integer, key_secret text, row_secret text, depth integer, buckets integer[])
  returns table (bucket integer, key text, hash text)
  language plpgsql stable set jit = off set max_parallel_workers_per_gather = 0
  set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'iso_8601' set extra_float_digits = '1' set bytea_output = 'hex' set lc_monetary = 'C'
  set client_encoding = 'UTF8' set search_path = pg_catalog, pg_temp
  as $$
begin
  return query execute format('select h.place >> $3, h.key, encode(substring(h.h from 1 for 16), ''hex'') from (%s) h',
      comity.audit_hashed(source, fields, true, 'where p.place >> $3 = any ($4)'))
    using decode(key_secret, 'hex'), decode(row_secret, 'hex'), 31 - depth, buckets;
end $$;

/*
 * The owner's side: the same over what this team publishes, through the contract view or from the heads, as the owner of the schema, so that the
 * role that answers needs no right on a table. `fields` is [{"name", "kind"}].
 */
create function comity.audit_source(topic text, fields jsonb) returns text
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  contract comity.contracts;
  view regclass;
  texts text;
  key text;
begin
  select * into strict contract from comity.contracts c where c.topic = audit_source.topic and c.kind = 'entity';
  if contract.source = 'published' then
    return (select format('select h.key, %s from comity.heads h cross join lateral json_to_record(h.state::json) s(%s) where h.topic = %L and not h.deleted and h.version > 0',
        string_agg(format('%s as f%s', comity.canonical_sql(n.kind, n.type, format('s.%I', n.name)), n.i), ', ' order by n.i),
        string_agg(format('%I %s', n.name, n.type), ', ' order by n.i), contract.topic)
      from (select x.name, x.kind, case x.kind when 'json' then 'jsonb' else 'text' end as type, row_number() over (order by x.name collate "C") as i
        from jsonb_to_recordset(fields) x(name text, kind text)) n);
  end if;
  select to_regclass(format('comity_public.%I', c.prefix)) into view from comity.captures c where c.topic = contract.topic and c.released_at is null;
  if view is null then
    perform comity.refuse('CM009', format('the view of "%s" is gone, which Comity reads', contract.topic), 'run "comity migrate" to capture its table again');
  end if;
  select string_agg(case when cardinality(contract.key_fields) = 1 or format_type(a.atttypid, null) in ('smallint', 'integer', 'bigint')
      then format('v.%I::text', f.name) else format('to_json(v.%I::text)::text', f.name) end, ' || '','' || ' order by f.i) into key
    from unnest(contract.key_fields) with ordinality f(name, i) join pg_attribute a on a.attrelid = view and a.attname = f.name;
  if cardinality(contract.key_fields) > 1 then
    key := format('''['' || %s || '']''', key);
  end if;
  select string_agg(format('%s as f%s', comity.canonical_sql(n.kind, format_type(a.atttypid, null), format('v.%I', n.name)), n.i), ', ' order by n.i) into texts
    from (select x.name, x.kind, row_number() over (order by x.name collate "C") as i from jsonb_to_recordset(fields) x(name text, kind text)) n
    join pg_attribute a on a.attrelid = view and a.attname = n.name;
  return format('select %s as key, %s from %s v', key, texts, view);
end $$;

create function comity.audit_own_digests(topic text, fields jsonb, key_secret text, row_secret text, depth integer, within_depth integer, within integer[])
  returns table (bucket integer, count integer, a text, b text)
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return query select * from comity.audit_digests(comity.audit_source(topic, fields), jsonb_array_length(fields), key_secret, row_secret, depth, within_depth, within);
end $$;

create function comity.audit_own_rows(topic text, fields jsonb, key_secret text, row_secret text, depth integer, buckets integer[])
  returns table (bucket integer, key text, hash text)
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return query select * from comity.audit_rows(comity.audit_source(topic, fields), jsonb_array_length(fields), key_secret, row_secret, depth, buckets);
end $$;

-- What holds of these keys at the version `at`, which was drawn and waited for: one statement, one snapshot. `moving`: a newer change of it is
-- visible already, so the row may be newer than `at`. `version`: of its last change up to `at`, where that is still known.
create function comity.audit_own_keys(topic text, fields jsonb, row_secret text, keys text[], at bigint)
  returns table (key text, hash text, moving boolean, withheld text, version text)
  language plpgsql volatile security definer set jit = off
  set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'iso_8601' set extra_float_digits = '1' set bytea_output = 'hex' set lc_monetary = 'C'
  set client_encoding = 'UTF8' set search_path = pg_catalog, pg_temp
  as $$
begin
  return query execute format('
    with own as materialized (
      select o.key, encode(substring(o.h from 1 for 16), ''hex'') as hash from (%s) o
    ), changes as materialized (
      select o.key, bool_or(o.id > $4) as moving, max(o.id) filter (where o.id <= $4) as version,
        (array_agg(o.headers::json -> ''withheld'' ->> ''code'' order by o.id desc) filter (where o.id <= $4))[1] as withheld
      from comity.outbox o where o.topic = $3 and o.key = any ($1) group by o.key
    )
    select k.key, o.hash, coalesce(c.moving, false),
      coalesce((select min(w.code) from comity.withheld w where w.topic = $3 and w.key = k.key and w.resolved_at is null),
        c.withheld),
      greatest(h.version, c.version)::text
    from unnest($1) k(key) left join own o on o.key = k.key left join changes c on c.key = k.key
      left join comity.heads h on h.topic = $3 and h.key = k.key and h.version <= $4',
      comity.audit_hashed(format('select s.* from (%s) s where s.key = any ($1)', comity.audit_source(topic, fields)), jsonb_array_length(fields), false, ''))
    using keys, decode(row_secret, 'hex'), topic, at;
end $$;

-- The newest states of these keys, for a repair; read after the version that they get was drawn and waited for. Each key by its index: a key that
-- can't be one of the table's is not there.
create function comity.audit_own_states(topic text, keys text[]) returns table (key text, state text, withheld text)
  language plpgsql volatile security definer set row_security = off set jit = off
  set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'iso_8601' set extra_float_digits = '1' set bytea_output = 'hex' set lc_monetary = 'C'
  set client_encoding = 'UTF8' set search_path = pg_catalog, pg_temp
  as $$
#variable_conflict use_column
declare
  contract comity.contracts;
  view regclass;
  condition text;
begin
  select * into strict contract from comity.contracts c where c.topic = audit_own_states.topic and c.kind = 'entity';
  if contract.source = 'published' then
    return query select k.key, h.state, null::text from unnest(keys) k(key)
      left join comity.heads h on h.topic = audit_own_states.topic and h.key = k.key and not h.deleted and h.version > 0;
    return;
  end if;
  select to_regclass(format('comity.%I', c.prefix || ' state')) into view from comity.captures c where c.topic = contract.topic and c.released_at is null;
  if view is null then
    perform comity.refuse('CM009', format('the view of "%s" is gone, which Comity reads', contract.topic), 'run "comity migrate" to capture its table again');
  end if;
  select string_agg(format('v.key_%s = %s::%s', i,
      case when cardinality(contract.key_fields) = 1 then '$1' else format('($1::jsonb ->> %s)', i - 1) end, format_type(a.atttypid, a.atttypmod)), ' and ')
    into condition
    from generate_series(1, cardinality(contract.key_fields)) i join pg_attribute a on a.attrelid = view and a.attname = format('key_%s', i);
  foreach key in array keys loop
    state := null;
    withheld := null;
    begin
      execute format('select v.state, coalesce(v.key_unfit, v.withheld)::json -> ''withheld'' ->> ''code'' from %s v where %s and v.key = $1', view, condition)
        into state, withheld using key;
    exception when data_exception then null;
    end;
    return next;
  end loop;
end $$;

-- The consumer's side of the same: of keys that its copy can hold. `source` has `version`, too.
create function comity.audit_copied_keys(source text, fields integer, row_secret text, keys text[], replica text)
  returns table (key text, hash text, version text, tombstone text, waiting text)
  language plpgsql stable set jit = off
  set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'iso_8601' set extra_float_digits = '1' set bytea_output = 'hex' set lc_monetary = 'C'
  set client_encoding = 'UTF8' set search_path = pg_catalog, pg_temp
  as $$
begin
  return query execute format('
    with own as materialized (select o.key, o.version, encode(substring(o.h from 1 for 16), ''hex'') as hash from (%s) o)
    select k.key, o.hash, o.version::text, t.version::text, w.reason
    from unnest($1) k(key) left join own o on o.key = k.key
      left join comity.tombstones t on t.replica = $3 and t.key = k.key
      left join comity.waiting_keys w on w.subscription = $3 and w.key = k.key',
      comity.audit_hashed(source, fields, false, ''))
    using keys, decode(row_secret, 'hex'), replica;
end $$;

-- What this team has had compared, one row for each audit of a copy.
create table comity.audits (
  -- Its operation's, where an operator asked for it.
  id uuid primary key default gen_random_uuid(),
  replica text not null,
  -- full: every declared field; keys: only which rows there are.
  extent text not null default 'full' check (extent in ('full', 'keys')),
  -- Whether what has drifted is repaired at once.
  repair boolean not null default false,
  -- What it is for: 'operator', 'schedule', 'incarnation', 'transport', 'gap', 'retry', 'backfill'.
  cause text not null,
  author text not null,
  reason text not null,
  -- asked → comparing → settling → (repairing →) ended
  state text not null default 'asked' check (state in ('asked', 'comparing', 'settling', 'repairing', 'ended')),
  verdict text check (verdict in ('true', 'drift', 'inconclusive')),
  -- Why it is inconclusive, or what failed.
  problem text,
  our_rows bigint,
  their_rows bigint,
  -- Keys that differed when both sides looked, and those of them that nobody could settle.
  suspects integer,
  unsettled integer,
  -- There was more drift than an audit names.
  truncated boolean not null default false,
  bytes bigint not null default 0,
  asked_at timestamptz not null default clock_timestamp(),
  began_at timestamptz,
  ended_at timestamptz,
  -- Who works on it, and until when nobody else does.
  holder text,
  held_until timestamptz
);
create index audits_open on comity.audits (asked_at) where state <> 'ended';
create index audits_replica on comity.audits (replica, asked_at);

-- Every key that is not as its owner has it, by name; never with its values.
create table comity.audit_findings (
  audit uuid not null references comity.audits (id) on delete cascade,
  key text not null,
  class text not null check (class in ('missing', 'extra', 'stale', 'ahead', 'different', 'withheld', 'waiting', 'moving')),
  -- Why: the owner's code of what is withheld, the reason of the line that waits.
  detail text,
  -- Of the copy's row or tombstone, of the owner's last change as far as it is known, and that at which the two were compared.
  version bigint,
  owner_version bigint,
  compared_at bigint,
  -- Of a repair: what became of it.
  after text check (after in ('true', 'missing', 'extra', 'stale', 'ahead', 'different', 'withheld', 'waiting', 'moving')),
  primary key (audit, key)
);

-- The copies that have asked this team for something, and when they were last told to have themselves compared.
create table comity.audit_copies (
  replica text primary key,
  told_at timestamptz not null default clock_timestamp()
);

-- Versions up to which somebody waits for marks of this team's relay on a topic; a row goes when they are sent.
create table comity.audit_marks (
  id uuid primary key default gen_random_uuid(),
  entity text not null,
  audience text,
  version bigint not null,
  at timestamptz not null default clock_timestamp()
);

-- What owners have answered to the questions of audits that run, until they are read.
create table comity.audit_answers (
  question uuid not null,
  answer uuid not null,
  part integer not null,
  parts integer not null,
  told text not null,
  at timestamptz not null default clock_timestamp(),
  primary key (question, answer, part)
);

-- The proof of a repair: who had which keys said anew, when, and what was then found.
create table comity.repairs (
  id uuid primary key default gen_random_uuid(),
  audit uuid not null,
  replica text not null,
  author text not null,
  reason text not null,
  keys integer not null,
  -- Drawn by the owner for what it said.
  version bigint,
  clean integer,
  began_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz
);

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
