-- SQL statements that are traced: a session (better: a transaction) says `select set_config('comity.traceparent', '00-…', true)`, and every
-- change that it announces, by a captured table or by comity.publish, carries that W3C trace context. Headers given to comity.publish go before.

-- In the one place that every announcement passes. The condition is evaluated without a call of ours; what is not W3C's form is ignored,
-- for no business write fails because of its trace.
create function comity.carry_traceparent() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  new.headers := json_build_object('traceparent', current_setting('comity.traceparent'))::text;
  return new;
end $$;

create trigger carry_traceparent before insert on comity.outbox for each row
  when (new.headers is null and current_setting('comity.traceparent', true) ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$')
  execute function comity.carry_traceparent();

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
