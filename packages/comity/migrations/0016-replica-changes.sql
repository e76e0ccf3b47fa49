-- Copies that change: subsets of rows, and a table that is filled anew beside the one that is read.

alter table comity.replicas
  -- [{ "field", "op", "value", "as"? }], all of which hold; NULL: every row. Read in the applying transaction, as the columns are.
  add column subset jsonb,
  -- What it was before, each as text: code that declares one of these is older, and no reason to refuse its start.
  add column former_subsets jsonb not null default '[]',
  -- { "table", "columns" }: what is filled until it takes the table's place. In the same schema.
  add column rebuilt jsonb;

alter table comity.asked_backfills drop constraint asked_backfills_why_check;
alter table comity.asked_backfills add constraint asked_backfills_why_check
  check (why in ('new', 'fields', 'asked', 'subset', 'types', 'rebuild'));

-- What a copy wants of an entity, where it is not every row: its owner says only these.
alter table comity.backfills add column subset jsonb;

-- A value as conditions compare it: of a moment its point in time, of a UUID its bits, whatever way they were spelled.
create function comity.subset_value(value jsonb, kind text) returns jsonb
  language sql immutable parallel safe
  return case when jsonb_typeof(value) is distinct from 'string' then coalesce(value, 'null')
    when kind = 'date-time' then to_jsonb(comity.canonical_date_time(value #>> '{}'))
    when kind = 'uuid' then to_jsonb(lower(value #>> '{}' collate "C"))
    else value end;

-- Texts by their bytes, numbers by their value; what are two kinds of value has no order.
create function comity.subset_compare(value jsonb, bound jsonb) returns integer
  language sql immutable parallel safe
  return case when jsonb_typeof(value) <> jsonb_typeof(bound) then null
    when jsonb_typeof(value) = 'number' then sign(value::numeric - bound::numeric)::integer
    when jsonb_typeof(value) = 'string' then case
      when value #>> '{}' collate "C" < bound #>> '{}' collate "C" then -1
      when value #>> '{}' collate "C" > bound #>> '{}' collate "C" then 1
      else 0 end end;

-- Whether a state, as it is on the wire, is one of a subset: the one place where that is decided, for live changes, backfills and audits, on both
-- sides. A field that is missing is null; an order with null does not hold.
create function comity.in_subset(subset jsonb, state jsonb) returns boolean
  language plpgsql immutable parallel safe security definer set search_path = pg_catalog, pg_temp as $$
declare
  condition jsonb;
  found_value jsonb;
  bound jsonb;
  kind text;
begin
  for condition in select c.item from jsonb_array_elements(subset) c(item) loop
    kind := condition ->> 'as';
    bound := condition -> 'value';
    found_value := comity.subset_value(state -> (condition ->> 'field'), kind);
    if not coalesce(case condition ->> 'op'
        when '=' then found_value = comity.subset_value(bound, kind)
        when 'not' then found_value <> comity.subset_value(bound, kind)
        when 'in' then exists (select from jsonb_array_elements(bound) b(item) where found_value = comity.subset_value(b.item, kind))
        when '<' then comity.subset_compare(found_value, comity.subset_value(bound, kind)) < 0
        when '<=' then comity.subset_compare(found_value, comity.subset_value(bound, kind)) <= 0
        when '>' then comity.subset_compare(found_value, comity.subset_value(bound, kind)) > 0
        when '>=' then comity.subset_compare(found_value, comity.subset_value(bound, kind)) >= 0 end, false) then
      return false;
    end if;
  end loop;
  return true;
end $$;

-- The owner's side of an audit of a subset: see audit_source of migration 0014. From the states as they are on the wire, which costs more than columns.
create function comity.audit_subset_source(topic text, fields jsonb, subset jsonb) returns text
  language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  contract comity.contracts;
  states text;
  view regclass;
begin
  select * into strict contract from comity.contracts c where c.topic = audit_subset_source.topic and c.kind = 'entity';
  if contract.source = 'published' then
    states := format('select h.key, h.state from comity.heads h where h.topic = %L and not h.deleted and h.version > 0', contract.topic);
  else
    select to_regclass(format('comity.%I', c.prefix || ' state')) into view from comity.captures c where c.topic = contract.topic and c.released_at is null;
    if view is null then
      perform comity.refuse('CM009', format('the view of "%s" is gone, which Comity reads', contract.topic), 'run "comity migrate" to capture its table again');
    end if;
    states := format('select v.key, v.state from %s v where v.state is not null and v.withheld is null and v.key_unfit is null', view);
  end if;
  return (select format('select h.key, %s from (%s) h cross join lateral json_to_record(h.state::json) s(%s) where comity.in_subset(%L::jsonb, h.state::jsonb)',
      string_agg(format('%s as f%s', comity.canonical_sql(n.kind, n.type, format('s.%I', n.name)), n.i), ', ' order by n.i), states,
      string_agg(format('%I %s', n.name, n.type), ', ' order by n.i), subset)
    from (select x.name, x.kind, case x.kind when 'json' then 'jsonb' else 'text' end as type, row_number() over (order by x.name collate "C") as i
      from jsonb_to_recordset(fields) x(name text, kind text)) n);
end $$;

create function comity.audit_own_digests(topic text, fields jsonb, subset jsonb, key_secret text, row_secret text, depth integer, within_depth integer, within integer[])
  returns table (bucket integer, count integer, a text, b text)
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return query select * from comity.audit_digests(comity.audit_subset_source(topic, fields, subset), jsonb_array_length(fields), key_secret, row_secret, depth, within_depth, within);
end $$;

create function comity.audit_own_rows(topic text, fields jsonb, subset jsonb, key_secret text, row_secret text, depth integer, buckets integer[])
  returns table (bucket integer, key text, hash text)
  language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return query select * from comity.audit_rows(comity.audit_subset_source(topic, fields, subset), jsonb_array_length(fields), key_secret, row_secret, depth, buckets);
end $$;

-- As audit_own_keys without a subset, but a key that is outside of it has no row. What the inner function sees is of the same moment or later: a
-- change in between makes its key one that moves.
create function comity.audit_own_keys(topic text, fields jsonb, subset jsonb, row_secret text, keys text[], at bigint)
  returns table (key text, hash text, moving boolean, withheld text, version text)
  language plpgsql volatile security definer set jit = off
  set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' set "IntervalStyle" = 'iso_8601' set extra_float_digits = '1' set bytea_output = 'hex' set lc_monetary = 'C'
  set client_encoding = 'UTF8' set search_path = pg_catalog, pg_temp
  as $$
begin
  return query execute format('
    with own as materialized (
      select o.key, encode(substring(o.h from 1 for 16), ''hex'') as hash from (%s) o
    )
    select k.key, o.hash, k.moving, k.withheld, k.version
    from comity.audit_own_keys($3, $5, $6, $1, $4) k left join own o on o.key = k.key',
      comity.audit_hashed(format('select s.* from (%s) s where s.key = any ($1)', comity.audit_subset_source(topic, fields, subset)), jsonb_array_length(fields), false, ''))
    using keys, decode(row_secret, 'hex'), topic, at, fields, row_secret;
end $$;

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
