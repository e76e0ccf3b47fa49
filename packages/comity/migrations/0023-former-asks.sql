-- How a request was described here before: in a rolling deploy a process of the earlier code may restart, and is not refused.
alter table comity.asks add column former jsonb not null default '[]';
