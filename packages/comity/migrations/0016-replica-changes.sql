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

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
