-- When things go wrong: pauses, what is known of a line's head, jobs over many lines, and a subscription that goes back.

-- What must not be consumed, and who said so. subscription '' = all of the team's; tenant '' = the subscription as a whole.
-- It counts from its commit: every transaction that consumes looks here, under its lane's lock.
create table comity.pauses (
  subscription text not null,
  tenant text not null default '',
  -- 'operator', or 'breaker': too much failed for good, and it tries by itself whether that is over.
  by text not null check (by in ('operator', 'breaker')),
  reason text not null,
  author text not null,
  since timestamptz not null default clock_timestamp(),
  -- The breaker's: how often it has tried, and when it does next.
  probes integer not null default 0,
  probe_at timestamptz,
  primary key (subscription, tenant),
  check (subscription <> '' or tenant <> '')
);

alter table comity.subscriptions
  -- Where the broker's position must go before anything is consumed again: 'beginning', 'end' or a time. Until then nothing is.
  add column seek text,
  -- Messages from before this time are repetitions that somebody asked for.
  add column replayed_until timestamptz,
  -- What the broker calls it, where that is another name: a subscription that was renamed keeps its queue.
  add column broker_name text;

-- A line's head: which lane it is in, when it is tried next, what it waits for, and how it failed.
alter table comity.waiting_keys
  add column lane integer,
  add column next_at timestamptz not null default clock_timestamp(),
  -- { "topic", "key", "version" }: the line is tried when this team's copy has at least that.
  add column wants text,
  add column message text,
  add column failures integer not null default 0,
  -- error class, code and first own frame: equal for what fails alike.
  add column fingerprint text,
  add column error_name text,
  add column error_code text,
  add column error text,
  add column frame text,
  add column failed_at timestamptz;
create index waiting_keys_parked on comity.waiting_keys (fingerprint, tried_at) where reason = 'parked';
create index waiting_keys_tried on comity.waiting_keys (tried_at, subscription, key) where reason = 'parked';
create index waiting_keys_held on comity.waiting_keys (subscription, lane, tenant, since) where reason in ('paused', 'overflow');
create index waiting_keys_not_yet on comity.waiting_keys (next_at) where reason = 'not-yet';

alter table comity.waiting
  -- The message that an operator has put this one in the place of.
  add column edited_from text;
-- How many failed for good: what the breaker goes by. And a row a minute: where one long snapshot keeps every version of a row, each update
-- of a row that is updated all the time walks through all of them. Minute 0 is what older minutes were added up to.
alter table comity.counts
  add column failed bigint not null default 0,
  add column minute bigint not null default 0,
  drop constraint counts_pkey,
  add primary key (subscription, lane, minute);

create function comity.fold_counts() returns void
  language sql security definer set search_path = pg_catalog, pg_temp as $$
  with gone as (
    delete from comity.counts where minute > 0 and minute < floor(extract(epoch from clock_timestamp()) / 60) - 1 returning *
  ), added as (
    select subscription, lane, sum(applied) as applied, sum(duplicate) as duplicate, sum(stale) as stale, sum(waiting) as waiting,
      sum(discarded) as discarded, sum(failed) as failed, max(last_time) as last_time, max(last_at) as last_at
    from gone group by subscription, lane
  )
  insert into comity.counts as c (subscription, lane, minute, applied, duplicate, stale, waiting, discarded, failed, last_time, last_at)
  select subscription, lane, 0, applied, duplicate, stale, waiting, discarded, failed, last_time, last_at from added
  on conflict (subscription, lane, minute) do update set applied = c.applied + excluded.applied, duplicate = c.duplicate + excluded.duplicate,
    stale = c.stale + excluded.stale, waiting = c.waiting + excluded.waiting, discarded = c.discarded + excluded.discarded,
    failed = c.failed + excluded.failed, last_time = greatest(c.last_time, excluded.last_time), last_at = greatest(c.last_at, excluded.last_at);
$$;
-- By which act.
alter table comity.discarded add column tenant text, add column author text, add column job text;

-- The originals of messages that were edited.
create table comity.edited (
  subscription text not null,
  message text not null,
  key text not null,
  attributes text not null,
  data text not null,
  replaced_by text not null,
  author text not null,
  reason text not null,
  edited_at timestamptz not null default clock_timestamp(),
  primary key (subscription, message)
);

-- An act over many lines: what it takes, how far it is, how it ended. One process works on it at a time, any other can go on.
create table comity.jobs (
  id text primary key,
  kind text not null check (kind in ('retry', 'skip', 'discard')),
  -- { subscription?, fingerprint?, key?, tenant?, from?, to?, reasons }
  selection text not null,
  author text not null,
  reason text not null,
  state text not null default 'waiting' check (state in ('waiting', 'running', 'done', 'stopped', 'cancelled')),
  -- The estimate before, in lines and messages.
  lines bigint not null,
  messages bigint not null,
  -- Lines of each stage before all the rest, [1, 10, 100]; [] = all at once.
  stages text not null default '[]',
  stage integer not null default 0,
  -- Lines a second; NULL = as fast as it goes.
  rate double precision,
  -- It stops when more than this share of a stage's lines failed again.
  stop_above double precision not null,
  -- Of this stage, and in all.
  stage_done bigint not null default 0,
  stage_failed bigint not null default 0,
  done bigint not null default 0,
  failed bigint not null default 0,
  ended_messages bigint not null default 0,
  outcome text,
  created_at timestamptz not null default clock_timestamp(),
  started_at timestamptz,
  ended_at timestamptz,
  cancel_asked boolean not null default false,
  -- Who works on it, and until when others leave it to him.
  holder text,
  held_until timestamptz
);
create index jobs_open on comity.jobs (created_at) where state in ('waiting', 'running');

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
