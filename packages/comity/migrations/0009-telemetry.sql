-- SQL statements that are traced: a session (better: a transaction) says `select set_config('comity.traceparent', '00-…', true)`, and every
-- change that it announces, by a captured table or by comity.publish, carries that W3C trace context. Headers given to comity.publish go before.

-- What is not W3C's form is ignored: no business write fails because of its trace. Without SET or SECURITY DEFINER, so that its text becomes part
-- of the statement that calls it; a captured statement evaluates it once, however many rows it writes. A trigger of the outbox would cost each row.
create function comity.session_headers() returns text
  language sql stable
  return (case when current_setting('comity.traceparent', true) ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'
    then json_build_object('traceparent', current_setting('comity.traceparent', true))::text end);

-- comity.publish begins with it. Its text is taken as the migrations before this one have left it, and not repeated here.
do $migrate$
declare
  before text := pg_get_functiondef('comity.publish(text, text, text, text, text, text, boolean)'::regprocedure);
  after text := regexp_replace(before, '\nbegin\n', E'\nbegin\n  publish.headers := coalesce(publish.headers, comity.session_headers());\n');
begin
  assert after <> before, 'comity.publish has no line of its own that says begin';
  execute after;
end $migrate$;

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
