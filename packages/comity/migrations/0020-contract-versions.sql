-- Every version of a contract that was registered here: what its readers may still have, and what may still lie in queues and retention,
-- is compared with what is to come (docs/decisions/0020-compatibility.md).
create table comity.contract_versions (
  topic text not null,
  number int not null,
  description jsonb not null,
  registered_at timestamptz not null default clock_timestamp(),
  primary key (topic, number)
);

-- By a trigger, so that what an older version of the library registers in a rolling deploy is there, too.
create function comity.note_contract_version() returns trigger
  language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  newest comity.contract_versions;
begin
  select * into newest from comity.contract_versions v where v.topic = new.topic order by v.number desc limit 1;
  if newest.description is distinct from new.description then
    insert into comity.contract_versions (topic, number, description) values (new.topic, coalesce(newest.number, 0) + 1, new.description);
  end if;
  return null;
end $$;
create trigger comity_note_version after insert or update on comity.contracts for each row execute function comity.note_contract_version();

insert into comity.contract_versions (topic, number, description, registered_at)
  select c.topic, 1, c.description, c.registered_at from comity.contracts c;

-- Lines whose heads did not fit what some process knew of their contract: a process with other code tries them.
create index waiting_keys_unfit on comity.waiting_keys (subscription, tried_at)
  where reason = 'parked' and error_code in ('COMITY_INVALID_MESSAGE', 'COMITY_LIFT_FAILED', 'COMITY_LIFTED_INVALID');

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
