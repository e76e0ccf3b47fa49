/** CRM's own tables, as they were before there was Comity: nothing in them is made for it. */
export const tables = `
  create table customers (
    id bigint generated always as identity primary key,
    agency_id text not null,
    email text not null,
    name text not null,
    phone text,
    credit_rating integer not null default 500, -- in no contract: no other team sees it
    last_email timestamptz
  );
  -- What a nightly job hands to the insurers' own systems.
  create table third_party_log (
    id bigint generated always as identity primary key,
    customer_id bigint not null,
    campaign_id text not null,
    sent_at timestamptz not null
  );`
