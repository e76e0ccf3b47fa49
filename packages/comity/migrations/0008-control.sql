-- Control: what the processes of this team report, what was done to it, and what an operating team has heard of others.

-- One row per running process, written by itself when its progress changed. Silent for a minute = gone; removed after an hour.
create table comity.processes (
  holder text primary key,
  started_at timestamptz not null default clock_timestamp(),
  beat_at timestamptz not null default clock_timestamp(),
  pid integer not null,
  host text not null,
  library text not null,
  progress jsonb not null
);

-- Every act of an operator, of a command or of the library itself, with its author and reason. The id is given by who asks:
-- the row, the work and its outcome are one transaction, so that a command that is delivered again finds what was done.
create table comity.operations (
  id uuid primary key,
  kind text not null,
  arguments jsonb not null,
  author text not null,
  reason text not null,
  origin text not null check (origin in ('cli', 'command', 'breaker', 'library')),
  requested_at timestamptz not null default clock_timestamp(),
  done_at timestamptz,
  outcome jsonb,
  -- { code, message } of what failed: the work was rolled back.
  error jsonb
);
create index on comity.operations (requested_at);

-- What this team has announced about itself last: 'declaration'.
create table comity.announced (
  what text primary key,
  hash text not null,
  at timestamptz not null
);

-- Of an operating team: the newest declaration and heartbeat of each team that it operates. Times are the broker's.
create table comity.teams (
  team text primary key,
  heartbeat jsonb,
  heard_at timestamptz,
  declaration jsonb,
  declared_at timestamptz
);

-- Of an operating team: the answers to its commands. The first one stays.
create table comity.answers (
  command uuid primary key,
  team text not null,
  kind text not null,
  outcome jsonb,
  error jsonb,
  done_at timestamptz not null,
  received_at timestamptz not null default clock_timestamp()
);

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
