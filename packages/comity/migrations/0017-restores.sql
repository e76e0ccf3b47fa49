-- A consumer's database that was restored: what it had acknowledged since the copy was taken is gone, here alone. Each of its subscriptions goes
-- back to what this life still knows of, before it consumes anything (docs/architecture.md, "Subscriptions").

-- When the subscriptions of a life had been sent back; NULL: not yet.
alter table comity.incarnations add column begun_at timestamptz;
update comity.incarnations set begun_at = clock_timestamp();

-- Whether this life may consume. A session can't outlive its server, so it asks once.
create function comity.life_begun() returns boolean
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  this text;
begin
  if current_setting('comity.life_begun', true) = ('comity.outbox'::regclass::oid)::text then
    return true;
  end if;
  this := comity.identity();
  -- The first life has nothing to go back to.
  if exists (select from comity.incarnations i where i.identity <> this)
    and not exists (select from comity.incarnations i where i.identity = this and i.begun_at is not null) then
    return false;
  end if;
  perform set_config('comity.life_begun', ('comity.outbox'::regclass::oid)::text, false);
  return true;
end $$;

-- Sends every subscription back, once in a life; answers which. Where to: five minutes before what the lane that is furthest behind has ended, of
-- those that ended something within an hour of the newest. Repeats are known by the inbox, which came back with the database, and by the versions of
-- copies. Nothing is consumed before (see life_begun), so these counts are those of the life before.
create function comity.begin_life() returns text
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  this text := comity.identity();
  moved text;
begin
  if comity.life_begun() then
    return null;
  end if;
  perform comity.notice_incarnation();
  perform pg_advisory_xact_lock(hashtext('comity.begin_life'));
  if exists (select from comity.incarnations i where i.identity = this and i.begun_at is not null) then
    return null;
  end if;
  with lanes as (
    select c.subscription, c.lane, max(c.last_time) as ended, max(c.last_at) as at from comity.counts c group by c.subscription, c.lane
  ), newest as (
    select l.subscription, max(l.at) as at from lanes l group by l.subscription
  ), places as (
    select l.subscription, min(l.ended) - interval '5 minutes' as place from lanes l join newest n on n.subscription = l.subscription
    where l.at > n.at - interval '1 hour' group by l.subscription
  ), back as (
    -- A place that an operator has named, and that was not reached yet, stays.
    update comity.subscriptions s set seek = 'back to ' || to_char(
        greatest(s.declared_at, case when s.kind = 'handler' then nullif(comity.inbox_floor(), '-infinity') end, p.place) at time zone 'UTC',
        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    from comity.subscriptions o left join places p on p.subscription = o.name
    where s.name = o.name and s.seek is null returning s.name
  )
  select coalesce(json_agg(b.name order by b.name), '[]')::text into moved from back b;
  update comity.incarnations set begun_at = clock_timestamp() where identity = this;
  return moved;
end $$;

-- Messages that the broker had removed before they were received, when a copy was last compared for that.
create table comity.audit_gaps (
  replica text primary key,
  expired bigint not null
);

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
