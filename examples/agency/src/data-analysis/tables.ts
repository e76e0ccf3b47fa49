/** Data Analysis' own tables: what it makes of Marketing's events. It holds no customers. */
export const tables = `
  create table campaigns (
    id text not null,
    agency_id text not null,
    title text not null
  );
  create table emails_sent (
    customer_id text not null,
    campaign_id text not null,
    agency_id text not null,
    year integer not null,
    sent_at timestamptz not null
  );
  create table emails_delivered (
    customer_id text not null,
    campaign_id text not null,
    agency_id text not null
  );
  -- What an analyst says of campaigns whose name has no year.
  create table campaign_years (
    campaign_id text primary key,
    year integer not null
  );`
