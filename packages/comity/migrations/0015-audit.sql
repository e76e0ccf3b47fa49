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

-- A sum as 16 hexadecimal digits, modulo 2^64.
create function comity.audit_sum(sum numeric) returns text
  language sql immutable parallel safe
  return (select encode(int8send((case when m >= 9223372036854775808 then m - 18446744073709551616 else m end)::bigint), 'hex')
    from (select mod(mod(coalesce(sum, 0), 18446744073709551616) + 18446744073709551616, 18446744073709551616)) s(m));

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
