/** Billing's own tables: what it will charge its customers for. The copy of CRM's customers is made by `comity migrate`. */
export const tables = `
  create table invoices (
    id bigint generated always as identity primary key,
    customer_id text not null,
    cents bigint not null
  );`
