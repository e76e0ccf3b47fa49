-- The map: what every team says of itself, in the database of every team. Names of fields only, never values. Times are the broker's.

create table comity.catalog (
  team text primary key,
  declaration jsonb,
  declared_at timestamptz,
  -- A team that is new to this one is told what this one declares (comity.announced).
  first_heard_at timestamptz not null default clock_timestamp(),
  heard_at timestamptz not null,
  -- What it is doing, and with which version of the library, as of heard_at.
  state text,
  library text
);

-- Each contract that a team declares as its own, whole.
create table comity.catalog_contracts (
  team text not null,
  name text not null,
  hash text not null,
  description jsonb not null,
  declared_at timestamptz not null,
  primary key (team, name)
);

-- Since when a team declares that it keeps a field of a contract, and where.
create table comity.catalog_fields (
  team text not null,
  subscription text not null,
  contract text not null,
  field text not null,
  -- schema.table and column of its own database; NULL where an older version of the library does not say.
  copied_to text,
  "column" text,
  since timestamptz not null,
  primary key (team, subscription, field)
);
create index on comity.catalog_fields (contract, field);

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
