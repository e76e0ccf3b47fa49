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

/*
 * Digests. A *source* is SQL of one side's rows, as a JSON object: `key`, the text of a row's key; `texts`, the canonical texts of its fields in the
 * order of their names; `from` and `where`; `within`, what else holds of rows that count (true: they all do); `columns`, [SQL, type] of each column
 * of the key, in the order of an index; of a copy `version`, too. A *place* is the raw texts of these columns.
 *
 * Rows are gone through in slices, from one place to the next, each in a statement of its own (audit/in-slices.ts): a digest of the whole table would
 * be one statement, and hold one snapshot, for minutes. In one process each: an audit takes what is left.
 *
 * These run what they are given, as who calls them: the consumer's side, over its copy.
 */
create function comity.audit_range(source jsonb, after text[], upto text[]) returns text
  language sql stable
  return (
    select case when after is null then '' else format(' and (%s) > (%s)', c.names, c.lowest) end
      || case when upto is null then '' else format(' and (%s) <= (%s)', c.names, c.highest) end
    from (select string_agg(e.value ->> 0, ', ' order by e.i) as names,
        string_agg(format('%L::%s', after[e.i], e.value ->> 1), ', ' order by e.i) as lowest,
        string_agg(format('%L::%s', upto[e.i], e.value ->> 1), ', ' order by e.i) as highest
      from jsonb_array_elements(source -> 'columns') with ordinality e(value, i)) c);

-- The place of the row that ends a slice of so many rows, as a JSON array; NULL: there are not as many. By the index alone, as in backfill_parts.
create function comity.audit_upto(source jsonb, after text[], most integer) returns text
  language plpgsql stable set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set max_parallel_workers_per_gather = 0
  set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'iso_8601' set extra_float_digits = '1' set bytea_output = 'hex' set lc_monetary = 'C'
  set search_path = pg_catalog, pg_temp
  as $$
declare
  upto text;
begin
  -- The texts outside: they are made of one row, and not of each that is passed.
  execute (select format('select json_build_array(%s)::text from (select %s from %s where %s%s order by %s offset $1 limit 1) p',
      string_agg(format('p.p%s::text', e.i), ', ' order by e.i), string_agg(format('%s as p%s', e.value ->> 0, e.i), ', ' order by e.i),
      source ->> 'from', source ->> 'where', comity.audit_range(source, after, null), string_agg(e.value ->> 0, ', ' order by e.i))
    from jsonb_array_elements(source -> 'columns') with ordinality e(value, i)) into upto using most - 1;
  return upto;
end $$;

-- SQL of rows with their `key` and `h`, the keyed hash: $1 to $3 are what the audit's secret is cut into (docs/canonical-form.md). By concatenation: it
-- costs half of what record_send, or a length before each text, does. Ends with OFFSET 0 so that nothing is hashed twice.
create function comity.audit_hashed(source jsonb, condition text) returns text
  language sql stable
  return format('select %s as key%s, sha256(textsend($1 || %s)) as h from %s where %s%s offset 0', source ->> 'key', ', ' || (source ->> 'version') || ' as version',
    (select string_agg(format('coalesce(%s, $3)', e.value), ' || $2 || ' order by e.i)
      from jsonb_array_elements_text(source -> 'texts') with ordinality e(value, i)),
    source ->> 'from', concat_ws(' and ', source ->> 'where', source ->> 'within'), condition);

-- The first bits (24 at most) of what follows the two sums in a hash: the bucket of a row.
create function comity.audit_bucket(depth integer) returns text
  language sql immutable
  return case when depth = 0 then '0'
    when depth <= 8 then format('(get_byte(h.h, 16) >> %s)', 8 - depth)
    when depth <= 16 then format('(((get_byte(h.h, 16) << 8) | get_byte(h.h, 17)) >> %s)', 16 - depth)
    else format('(((get_byte(h.h, 16) << 16) | (get_byte(h.h, 17) << 8) | get_byte(h.h, 18)) >> %s)', 24 - depth) end;

-- Postgres 18 reads integers out of a bytea by itself, which halves the cost.
create function comity.audit_word(at integer) returns text
  language sql stable set search_path = pg_catalog, pg_temp
  return case when current_setting('server_version_num')::int >= 180000 then format('substring(h.h from %s for 8)::bigint', at + 1)
    else format('((get_byte(h.h, %s)::bigint << 56) | (get_byte(h.h, %s)::bigint << 48) | (get_byte(h.h, %s)::bigint << 40) | (get_byte(h.h, %s)::bigint << 32)
      | (get_byte(h.h, %s)::bigint << 24) | ((get_byte(h.h, %s) << 16) | (get_byte(h.h, %s) << 8) | get_byte(h.h, %s))::bigint)',
      at, at + 1, at + 2, at + 3, at + 4, at + 5, at + 6, at + 7) end;

-- Of one slice: the rows behind `after` up to `upto`. The sums are exact, in decimal: who adds the slices up takes them modulo 2^64.
create function comity.audit_digests(source jsonb, secret text, after text[], upto text[], depth integer, within_depth integer, within integer[])
  returns table (bucket integer, count integer, a text, b text)
  language plpgsql stable set jit = off set max_parallel_workers_per_gather = 0 set enable_seqscan = on
  set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'iso_8601' set extra_float_digits = '1' set bytea_output = 'hex' set lc_monetary = 'C'
  set client_encoding = 'UTF8' set search_path = pg_catalog, pg_temp
  as $$
begin
  -- Statistics that are old must not make a whole table of a slice.
  if after is not null or upto is not null then
    perform set_config('enable_seqscan', 'off', true);
  end if;
  return query execute format('select %s, count(*)::int, sum(%s)::text, sum(%s)::text from (%s) h %s group by 1',
      comity.audit_bucket(depth), comity.audit_word(0), comity.audit_word(8), comity.audit_hashed(source, comity.audit_range(source, after, upto)),
      case when within is null then '' else format('where %s = any ($4)', comity.audit_bucket(within_depth)) end)
    using left(secret, 32), substring(secret from 33 for 16), substring(secret from 49), within;
end $$;

create function comity.audit_rows(source jsonb, secret text, after text[], upto text[], depth integer, buckets integer[])
  returns table (bucket integer, key text, hash text)
  language plpgsql stable set jit = off set max_parallel_workers_per_gather = 0 set enable_seqscan = on
  set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'iso_8601' set extra_float_digits = '1' set bytea_output = 'hex' set lc_monetary = 'C'
  set client_encoding = 'UTF8' set search_path = pg_catalog, pg_temp
  as $$
begin
  if after is not null or upto is not null then
    perform set_config('enable_seqscan', 'off', true);
  end if;
  return query execute format('select %1$s, h.key, encode(substring(h.h from 1 for 16), ''hex'') from (%2$s) h where %1$s = any ($4)',
      comity.audit_bucket(depth), comity.audit_hashed(source, comity.audit_range(source, after, upto)))
    using left(secret, 32), substring(secret from 33 for 16), substring(secret from 49), buckets;
end $$;

-- The rows of keys ($4), found by their index. Only of keys that the columns can hold.
create function comity.audit_hashed_keys(source jsonb) returns text
  language sql stable
  return comity.audit_hashed(
    source || jsonb_build_object('from', (source ->> 'from') || ' join unnest($4) k(key) on ' || (
      select string_agg(format('%s = (%s)::%s', e.value ->> 0,
        case when jsonb_array_length(source -> 'columns') = 1 then 'k.key' else format('k.key::jsonb ->> %s', e.i - 1) end, e.value ->> 1), ' and ')
      from jsonb_array_elements(source -> 'columns') with ordinality e(value, i))),
    format(' and %s = k.key', source ->> 'key'));

-- SQL of one condition of a subset, of what its field is in a state: what comity.in_subset (migration 0016) says, which takes 80 times as long for
-- each of a million rows. A test compares the two.
create function comity.condition_sql(condition jsonb, value text) returns text
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  kind text := condition ->> 'as';
  bound jsonb := comity.subset_value(condition -> 'value', kind);
  op text := condition ->> 'op';
begin
  if kind in ('date-time', 'uuid') then
    value := format('comity.subset_value(%s, %L)', value, kind);
  end if;
  return case
    when op = '=' then format('%s = %L::jsonb', value, bound)
    when op = 'not' then format('%s <> %L::jsonb', value, bound)
    when op = 'in' then format('%s = any (%L::jsonb[])', value, array(select comity.subset_value(b.value, kind) from jsonb_array_elements(condition -> 'value') b))
    when op in ('<', '<=', '>', '>=') and jsonb_typeof(bound) = 'string' then
      format('case jsonb_typeof(%1$s) when ''string'' then (%1$s #>> ''{}'') collate "C" %2$s %3$L else false end', value, op, bound #>> '{}')
    when op in ('<', '<=', '>', '>=') and jsonb_typeof(bound) = 'number' then
      format('case jsonb_typeof(%1$s) when ''number'' then (%1$s)::numeric %2$s %3$L::numeric else false end', value, op, bound #>> '{}')
    else 'false' end;
end $$;

/*
 * The owner's side: the same over what this team publishes, through the contract view or from the heads, as the owner of the schema, so that the
 * role that answers needs no right on a table. `fields` is [{"name", "kind"}]; `subset` (migration 0016): only rows of it.
 */
create function comity.audit_source(topic text, fields jsonb, subset jsonb default null) returns jsonb
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  contract comity.contracts;
  prefix text;
  view regclass;
  published boolean;
  of_states boolean;
  conditioned text := 'true';
  texts jsonb;
  columns jsonb;
  key text;
begin
  select * into strict contract from comity.contracts c where c.topic = audit_source.topic and c.kind = 'entity';
  published := contract.source = 'published';
  of_states := published;
  if not published then
    select c.prefix into prefix from comity.captures c where c.topic = contract.topic and c.released_at is null;
    if subset is not null then
      -- Where each condition is on a column of which JSON has one form only, it is told from the columns; else from whole states, which cost more.
      select not bool_and(c.value ->> 'as' is null and coalesce(
            a.atttypid in ('text'::regtype, 'varchar'::regtype, 'boolean'::regtype, 'smallint'::regtype, 'integer'::regtype, 'uuid'::regtype), false)),
          string_agg(comity.condition_sql(c.value, format('coalesce(to_jsonb(v.%I), ''null'')', c.value ->> 'field')), ' and ')
        into of_states, conditioned
        from jsonb_array_elements(subset) c
        left join pg_attribute a on a.attrelid = to_regclass(format('comity_public.%I', prefix)) and a.attname = c.value ->> 'field';
    end if;
    view := to_regclass(case when of_states then format('comity.%I', prefix || ' state') else format('comity_public.%I', prefix) end);
    if view is null then
      perform comity.refuse('CM009', format('the view of "%s" is gone, which Comity reads', contract.topic), 'run "comity migrate" to capture its table again');
    end if;
  end if;
  if published then
    columns := '[["v.key", "text"]]';
  else
    select jsonb_agg(jsonb_build_array(format('v.%I', a.attname), format_type(a.atttypid, a.atttypmod)) order by f.i) into columns
      from unnest(contract.key_fields) with ordinality f(name, i)
      join pg_attribute a on a.attrelid = view and a.attname = case when of_states then format('key_%s', f.i) else f.name end;
  end if;
  if of_states then
    return (select jsonb_build_object('key', 'v.key', 'columns', columns,
        'texts', jsonb_agg(comity.canonical_sql(n.kind, n.type, format('s.%I', n.name)) order by n.i),
        'from', format('%s v cross join lateral json_to_record(v.state::json) s(%s)', coalesce(view::text, 'comity.heads'),
          string_agg(format('%I %s', n.name, n.type), ', ' order by n.i)),
        'where', case when published then format('v.topic = %L and not v.deleted and v.version > 0', contract.topic) else 'true' end,
        'within', concat_ws(' and ', case when not published then 'v.state is not null and v.withheld is null and v.key_unfit is null' end,
          (select string_agg(comity.condition_sql(c.value, format('coalesce((v.state::json -> %L)::jsonb, ''null'')', c.value ->> 'field')), ' and ')
            from jsonb_array_elements(subset) c), 'true'))
      from (select x.name, x.kind, case x.kind when 'json' then 'jsonb' else 'text' end as type, row_number() over (order by x.name collate "C") as i
        from jsonb_to_recordset(fields) x(name text, kind text)) n);
  end if;
  select string_agg(case when cardinality(contract.key_fields) = 1 or format_type(a.atttypid, null) in ('smallint', 'integer', 'bigint')
      then format('v.%I::text', f.name) else format('to_json(v.%I::text)::text', f.name) end, ' || '','' || ' order by f.i) into key
    from unnest(contract.key_fields) with ordinality f(name, i) join pg_attribute a on a.attrelid = view and a.attname = f.name;
  if cardinality(contract.key_fields) > 1 then
    key := format('''['' || %s || '']''', key);
  end if;
  select jsonb_agg(comity.canonical_sql(n.kind, format_type(a.atttypid, null), format('v.%I', n.name)) order by n.i) into texts
    from (select x.name, x.kind, row_number() over (order by x.name collate "C") as i from jsonb_to_recordset(fields) x(name text, kind text)) n
    join pg_attribute a on a.attrelid = view and a.attname = n.name;
  return jsonb_build_object('key', key, 'texts', texts, 'from', format('%s v', view), 'where', 'true', 'within', conditioned, 'columns', columns);
end $$;

create function comity.audit_own_upto(topic text, fields jsonb, subset jsonb, after text[], most integer) returns text
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return comity.audit_upto(comity.audit_source(topic, fields, subset), after, most);
end $$;

create function comity.audit_own_digests(topic text, fields jsonb, subset jsonb, secret text, after text[], upto text[], depth integer, within_depth integer, within integer[])
  returns table (bucket integer, count integer, a text, b text)
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return query select * from comity.audit_digests(comity.audit_source(topic, fields, subset), secret, after, upto, depth, within_depth, within);
end $$;

create function comity.audit_own_rows(topic text, fields jsonb, subset jsonb, secret text, after text[], upto text[], depth integer, buckets integer[])
  returns table (bucket integer, key text, hash text)
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return query select * from comity.audit_rows(comity.audit_source(topic, fields, subset), secret, after, upto, depth, buckets);
end $$;

-- Of these keys the ones that the columns of a source's key can hold: what is none of their type would fail.
create function comity.audit_fitting(source jsonb, keys text[]) returns text[]
  language plpgsql stable set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'iso_8601' set search_path = pg_catalog, pg_temp as $$
declare
  single boolean := jsonb_array_length(source -> 'columns') = 1;
  casts text := (select string_agg(format('(%s)::%s', case when single then '$1' else format('$1::jsonb ->> %s', e.i - 1) end, e.value ->> 1), ', ')
    from jsonb_array_elements(source -> 'columns') with ordinality e(value, i));
  fitting text[] := '{}';
  key text;
begin
  if single and source #>> '{columns,0,1}' = 'text' then
    return keys;
  end if;
  foreach key in array keys loop
    begin
      execute 'select ' || casts using key;
      fitting := fitting || key;
    exception when data_exception or integrity_constraint_violation then null;
    end;
  end loop;
  return fitting;
end $$;

-- What holds of these keys at the version `at`, which was drawn and waited for: one statement, one snapshot. `moving`: a newer change of it is
-- visible already, so the row may be newer than `at`. `version`: of its last change up to `at`, where that is still known. A key that is outside of
-- the subset has no row.
create function comity.audit_own_keys(topic text, fields jsonb, subset jsonb, secret text, keys text[], at bigint)
  returns table (key text, hash text, moving boolean, withheld text, version text)
  language plpgsql volatile security definer set jit = off
  set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'iso_8601' set extra_float_digits = '1' set bytea_output = 'hex' set lc_monetary = 'C'
  set client_encoding = 'UTF8' set search_path = pg_catalog, pg_temp
  as $$
declare
  source jsonb := comity.audit_source(topic, fields, subset);
begin
  return query execute format('
    with own as materialized (
      select o.key, encode(substring(o.h from 1 for 16), ''hex'') as hash from (%s) o
    ), changes as materialized (
      select o.key, bool_or(o.id > $6) as moving, max(o.id) filter (where o.id <= $6) as version,
        (array_agg(o.headers::json -> ''withheld'' ->> ''code'' order by o.id desc) filter (where o.id <= $6))[1] as withheld
      from comity.outbox o where o.topic = $5 and o.key = any ($7) group by o.key
    )
    select k.key, o.hash, coalesce(c.moving, false),
      coalesce((select min(w.code) from comity.withheld w where w.topic = $5 and w.key = k.key and w.resolved_at is null),
        c.withheld),
      greatest(h.version, c.version)::text
    from unnest($7) k(key) left join own o on o.key = k.key left join changes c on c.key = k.key
      left join comity.heads h on h.topic = $5 and h.key = k.key and h.version <= $6',
      comity.audit_hashed_keys(source))
    using left(secret, 32), substring(secret from 33 for 16), substring(secret from 49), comity.audit_fitting(source, keys), topic, at, keys;
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

-- The consumer's side of the same: of keys that its copy can hold.
create function comity.audit_copied_keys(source jsonb, secret text, keys text[], replica text)
  returns table (key text, hash text, version text, tombstone text, waiting text)
  language plpgsql stable set jit = off
  set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'iso_8601' set extra_float_digits = '1' set bytea_output = 'hex' set lc_monetary = 'C'
  set client_encoding = 'UTF8' set search_path = pg_catalog, pg_temp
  as $$
begin
  return query execute format('
    with own as materialized (select o.key, o.version, encode(substring(o.h from 1 for 16), ''hex'') as hash from (%s) o)
    select k.key, o.hash, o.version::text, t.version::text, w.reason
    from unnest($4) k(key) left join own o on o.key = k.key
      left join comity.tombstones t on t.replica = $5 and t.key = k.key
      left join comity.waiting_keys w on w.subscription = $5 and w.key = k.key',
      comity.audit_hashed_keys(source))
    using left(secret, 32), substring(secret from 33 for 16), substring(secret from 49), keys, replica;
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
  -- When the sides were compared; of a repair, with what it has added and removed here.
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
