-- Partial copies of other teams' entities.

create table comity.replicas (
  -- The subscription that feeds it.
  name text primary key,
  topic text not null,
  table_schema text not null,
  table_name text not null,
  -- [{ "field": …, "column": …, "type": …, "key": true? }]: read in the applying transaction, so that in a rolling
  -- deploy an older process applies the wider list.
  columns jsonb not null,
  created_at timestamptz not null default now(),
  unique (table_schema, table_name)
);

-- A deletion leaves its version here, or a late older state would bring the row back.
create table comity.tombstones (
  replica text not null,
  key text not null,
  version bigint not null,
  deleted_at timestamptz not null default clock_timestamp(),
  primary key (replica, key)
);

-- Same version, other content: the first is kept, the second recorded. Never silent.
create table comity.conflicts (
  replica text not null,
  key text not null,
  version bigint not null,
  noticed_at timestamptz not null default clock_timestamp(),
  primary key (replica, key, version)
);

revoke all on all tables in schema comity from public;
