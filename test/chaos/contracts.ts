import { entity, event } from '@comity/contract'
import { z } from 'zod'

/*
 * The shop owns tables with every kind of key, and publishes from code. `mark` is what the history checker follows: one
 * change alone carries it.
 */
export const Account = entity('shop.account', {
  key: 'id',
  state: z.object({ id: z.int(), mark: z.string(), balance: z.int(), secret: z.string() }),
})
export const Product = entity('shop.product', {
  key: 'id',
  state: z.object({
    id: z.string(),
    mark: z.string(),
    title: z.string(),
    price: z.string(),
    tags: z.array(z.string()),
    changedAt: z.string(),
  }),
})
export const Line = entity('shop.line', {
  key: ['order', 'line'],
  state: z.object({ order: z.string(), line: z.int(), mark: z.string(), quantity: z.int().nullable() }),
})
export const Note = entity('shop.note', { key: 'name', state: z.object({ name: z.string(), mark: z.string(), text: z.string() }) })
/** Published by code: no table is captured for it. */
export const Price = entity('shop.price', { key: 'sku', state: z.object({ sku: z.string(), mark: z.string(), cents: z.int() }) })
export const Clicked = event('shop.clicked', {
  key: 'page',
  tenant: 'agency',
  data: z.object({ page: z.string(), agency: z.string(), mark: z.string() }),
})
export const Moved = event('shop.moved', {
  key: 'parcel',
  tenant: 'agency',
  ordered: true,
  data: z.object({ parcel: z.string(), agency: z.string(), mark: z.string(), padding: z.string().optional() }),
})

/** Whose the n-th key of an event is: every key has one tenant. */
export function agencyOf(n: number): string {
  return `agency-${n % 5}`
}

export const CONTRACTS = [Account, Product, Line, Note, Price, Clicked, Moved] as const

/**
 * Ordinary tables that Comity did not design, one with a trigger of its users that writes the row once more; `journal` is the
 * business's own proof that a transaction committed.
 */
export const SHOP_TABLES = `
  create table accounts (id integer primary key, mark text not null, balance integer not null, secret text not null default 'only here', touched timestamptz default now());
  create table products (id uuid primary key, mark text not null, title text not null, price numeric(12,2) not null, tags text[] not null, changed_at timestamptz not null default clock_timestamp());
  create table lines ("order" bigint, line integer, mark text not null, quantity integer, primary key ("order", line));
  create table notes (name text collate "C" primary key, mark text not null, text text not null);
  create table prices (sku text primary key, mark text not null, cents integer not null);
  create function cap_balance() returns trigger language plpgsql as $$
    begin update accounts set balance = 500 where id = new.id; return null; end $$;
  create trigger cap after insert or update on accounts for each row when (new.balance > 500) execute function cap_balance();
  create table journal (op text primary key)`
