/** Marketing's own tables. Its copy of the customers, crm_customer, is made by `comity migrate`. */
export const tables = `
  create table campaigns (
    id text primary key,
    agency_id text not null,
    title text not null,
    starts_at timestamptz not null,
    finished_at timestamptz
  );
  create table sends (
    campaign_id text not null,
    customer_id text not null,
    agency_id text not null,
    email text not null,
    delivered_at timestamptz,
    primary key (campaign_id, customer_id)
  );
  create index sends_on_their_way on sends (campaign_id) where delivered_at is null;`
