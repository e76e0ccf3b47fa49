-- Moving from one broker to another while everything runs: how far each subscription is, so that any process, also after a restart, goes on there.

create table comity.transport_moves (
  -- What the two brokers are called: never a secret.
  from_name text not null,
  to_name text not null,
  -- As the brokers call it; '' = the move of the team as a whole.
  subscription text not null default '',
  started_at timestamptz not null default clock_timestamp(),
  -- Of the whole: when the relay last said that it publishes to both. Not null: no relay may publish to the old one alone any more.
  marked_at timestamptz,
  -- Of a subscription: when, on the new broker's clock, something was sent there that proves that its owner publishes to both.
  sent_at timestamptz,
  proven_at timestamptz,
  -- From here on it is read at the new broker, by every process.
  switched_at timestamptz,
  -- Of the whole: nobody needs the old broker any more, says the operator; who ends it alone with the new one may.
  finished_at timestamptz,
  primary key (from_name, to_name, subscription)
);

revoke all on all functions in schema comity from public;
revoke all on all tables in schema comity from public;
