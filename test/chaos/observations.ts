import { setTimeout as pause } from 'node:timers/promises'
import { keyOf } from '@comity/contract'
import type { Observations, OutboxObservation, ReplicaObservation, Row, SubscriptionObservation, TroubleObservation } from 'comity/testing'
import type { Transport } from 'comity/transport'
import type { Pool } from 'pg'
import { CONTRACTS } from './contracts.ts'
import { type AnyTeam, HANDLED, KEPT } from './teams.ts'

/** What the observers in a team's database write down: triggers of ours on tables of theirs. */
export const WATCH_CHECKPOINTS = `
  create table watched_checkpoints (seq bigint generated always as identity, id bigint, term bigint);
  create function watch_checkpoint() returns trigger language plpgsql as $$
    begin insert into watched_checkpoints (id, term) values (new.id, new.term); return null; end $$;
  create trigger watch after update on comity.checkpoint for each row execute function watch_checkpoint()`

export const WATCH_REPLICAS = `
  create table watched_rows (seq bigint generated always as identity, replica text not null, "row" jsonb not null, gone boolean not null);
  create function watch_row() returns trigger language plpgsql as $$
    begin
      insert into watched_rows (replica, "row", gone) values (tg_argv[0], case tg_op when 'DELETE' then to_jsonb(old) else to_jsonb(new) end, tg_op = 'DELETE');
      return null;
    end $$;
  ${Object.entries(KEPT)
    .map(
      ([name, { table }]) =>
        `create trigger watch after insert or update or delete on ${table} for each row execute function watch_row('${name}')`,
    )
    .join(';\n  ')}`

const TIME = `to_char(changed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
/** The owner's rows with the fields that are kept, as texts; and the copy's, by the same expressions but for their types. */
const PROJECTIONS: Readonly<Record<keyof typeof KEPT, { readonly owner: string; readonly copy: string }>> = {
  'stock.account': {
    owner: 'select id, mark, balance::text as balance from accounts',
    copy: 'select id, mark, balance::text as balance, comity_version::text as version from shop_account',
  },
  'stock.product': {
    owner: `select id::text as id, mark, title, price::text as price, to_jsonb(tags)::text as tags, ${TIME} as "changedAt" from products`,
    copy: `select id::text as id, mark, title, price::text as price, tags::text as tags, changed_at::text as "changedAt", comity_version::text as version from shop_product`,
  },
  'stock.line': {
    owner: 'select "order"::text as "order", line, mark, quantity::text as quantity from lines',
    copy: 'select "order"::text as "order", line::integer as line, mark, quantity::text as quantity, comity_version::text as version from shop_line',
  },
  'stock.note': { owner: 'select name, mark from notes', copy: 'select name, mark, comity_version::text as version from shop_note' },
  'stock.price': {
    owner: 'select sku, mark, cents::text as cents from prices',
    copy: 'select sku, mark, cents::text as cents, comity_version::text as version from shop_price',
  },
}

export interface Sources {
  readonly shop: Pool
  readonly mail: Pool
  readonly stock: Pool
  readonly transport: Transport
  /** To ask for what they show of themselves. */
  readonly teams: Readonly<Record<'shop' | 'mail' | 'stock', AnyTeam>>
}

/** The rows of each copy, and those of its owner. */
export async function copiedRows(
  shop: Pool,
  stock: Pool,
): Promise<ReadonlyMap<string, Pick<ReplicaObservation, 'topic' | 'owner' | 'rows'>>> {
  const names = Object.keys(KEPT) as (keyof typeof KEPT)[]
  return new Map(await Promise.all(names.map(async (name) => [name, await observeReplica(shop, stock, name, 0)] as const)))
}

/** Looks at all databases when everything has drained. */
export async function observe(
  sources: Sources,
  run: { readonly faultsScheduled: number; readonly drained: boolean; readonly restored?: boolean; readonly maxLag?: number },
): Promise<Observations> {
  const { shop, mail, stock, transport } = sources
  const names = [...Object.keys(HANDLED), ...Object.keys(KEPT)]
  const left = await leftAtBus(transport, names)
  const backlogOf = (name: string): number => left.get(name) ?? 0
  const journal = await shop.query<{ op: string }>('select op from journal')
  const subscriptions = await Promise.all(
    Object.entries(HANDLED).map(([name, contract]) => observeSubscription(mail, name, contract.name, backlogOf(name))),
  )
  const replicas = await Promise.all(
    (Object.keys(KEPT) as (keyof typeof KEPT)[]).map((name) => observeReplica(shop, stock, name, backlogOf(name))),
  )
  const outbox = await observeOutbox(shop)
  return {
    ...run,
    fenced: transport.guarantees.fencing,
    topics: CONTRACTS.map(({ name, contractKind, ordered }) => ({
      name,
      owner: 'shop',
      promise: contractKind === 'entity' ? 'entity' : ordered ? 'ordered' : 'event',
    })),
    committed: journal.rows.map(({ op }) => op),
    outboxes: [outbox],
    subscriptions,
    replicas,
    troubles: await observeTroubles(sources, outbox, subscriptions, replicas),
  }
}

/** Marks come also when nobody writes any more, while copies are filled and compared, and pass in a moment: what stays was left. */
async function leftAtBus(transport: Sources['transport'], names: readonly string[]): Promise<ReadonlyMap<string, number>> {
  for (const end = performance.now() + 10_000; ; await pause(100)) {
    const stats = (await transport.stats?.(names)) ?? []
    if (stats.every(({ backlog }) => backlog === 0) || performance.now() > end)
      return new Map(stats.map(({ subscription, backlog }) => [subscription, backlog]))
  }
}

async function observeOutbox(shop: Pool): Promise<OutboxObservation> {
  const [changes, withheld, pending, checkpoints] = await Promise.all([
    shop.query<{ id: string; topic: string; key: string }>('select id::text as id, topic, key from comity.outbox order by id'),
    shop.query<{ id: string; mark: string | null }>(
      `select id::text as id, payload::jsonb ->> 'mark' as mark from comity.withheld where resolution is null or resolution like 'superseded%'`,
    ),
    shop.query<{ id: string }>('select o.id::text as id from comity.outbox o, comity.checkpoint c where o.id > c.id'),
    shop.query<{ id: string; term: string }>('select id::text as id, term::text as term from watched_checkpoints order by seq'),
  ])
  return {
    team: 'shop',
    changes: changes.rows.map(({ id, topic, key }) => ({ version: Number(id), topic, key })),
    withheld: withheld.rows.map(({ id, mark }) => ({ version: Number(id), mark })),
    pending: pending.rows.map(({ id }) => Number(id)),
    checkpoints: checkpoints.rows.map(({ id, term }) => ({ version: Number(id), term: Number(term) })),
  }
}

async function observeSubscription(mail: Pool, name: string, topic: string, backlog: number): Promise<SubscriptionObservation> {
  const [effects, waiting, discarded, edited, counts] = await Promise.all([
    mail.query<{ message: string; key: string; kind: 'state' | 'deleted' | 'event'; version: string; mark: string | null; at: number }>(
      'select message, key, kind, version::text as version, mark, at from effects where subscription = $1::text order by seq',
      [name],
    ),
    mail.query<{ message: string }>(
      `select w.message from comity.waiting_keys k join comity.waiting w on w.subscription = k.subscription and w.key = k.key and w.seq > k.done
       where k.subscription = $1::text`,
      [name],
    ),
    mail.query<{ message: string }>('select message from comity.discarded where subscription = $1::text', [name]),
    mail.query<{ message: string; replacedBy: string }>(
      'select message, replaced_by as "replacedBy" from comity.edited where subscription = $1::text',
      [name],
    ),
    mail.query<{ applied: number; waiting: number; discarded: number }>(
      `select sum(applied)::float8 as applied, sum(waiting)::float8 as waiting, sum(discarded)::float8 as discarded
       from comity.counts where subscription = $1::text`,
      [name],
    ),
  ])
  return {
    name,
    topic,
    backlog,
    effects: effects.rows.map(({ version, at, ...effect }) => ({ ...effect, generation: 1, version: Number(version), time: at })),
    waiting: waiting.rows.map(({ message }) => message),
    discarded: discarded.rows.map(({ message }) => message),
    edited: edited.rows,
    ...(counts.rows[0] ? { counts: counts.rows[0] } : {}),
  }
}

async function observeReplica(shop: Pool, stock: Pool, name: keyof typeof KEPT, backlog: number): Promise<ReplicaObservation> {
  const { entity, fields } = KEPT[name]
  const { owner, copy } = PROJECTIONS[name]
  const rowOf = (row: Record<string, string>): Row => ({
    key: keyOf(entity, row),
    fields: Object.fromEntries(fields.map((field) => [field, row[field] ?? null])),
  })
  const [owned, copied, changes, waiting, counts] = await Promise.all([
    shop.query<Record<string, string>>(owner),
    stock.query<Record<string, string>>(copy),
    stock.query<{ row: Record<string, unknown>; gone: boolean }>(
      'select "row", gone from watched_rows where replica = $1::text order by seq',
      [name],
    ),
    stock.query<{ key: string }>('select key from comity.waiting_keys where subscription = $1::text', [name]),
    stock.query<{ ended: string }>(
      'select sum(applied + stale + duplicate + waiting + discarded)::text as ended from comity.counts where subscription = $1::text',
      [name],
    ),
  ])
  return {
    name,
    topic: entity.name,
    fields,
    backlog,
    owner: owned.rows.map(rowOf),
    rows: copied.rows.map((row) => ({ ...rowOf(row), version: Number(row.version) })),
    changes: changes.rows.map(({ row, gone }) => ({ key: keyOf(entity, row), version: gone ? null : Number(row.comity_version) })),
    waitingKeys: waiting.rows.map(({ key }) => key),
    ended: Number(counts.rows[0]?.ended),
  }
}

/** Beside what stands in the tables, what `status()` says of it. */
async function observeTroubles(
  { teams, stock }: Sources,
  outbox: OutboxObservation,
  subscriptions: readonly SubscriptionObservation[],
  replicas: readonly ReplicaObservation[],
): Promise<readonly TroubleObservation[]> {
  const [shop, mail, copies] = await Promise.all([teams.shop.status(), teams.mail.status(), teams.stock.status()])
  const conflicts = await stock.query<{ count: number }>('select count(*)::int as count from comity.conflicts')
  const problems = (status: { readonly problems: readonly string[] }, word: RegExp): number =>
    status.problems.filter((problem) => word.test(problem)).length
  return [
    { component: 'shop', trouble: 'withheld', known: outbox.withheld.length, shown: shop.outbox.withheld },
    { component: 'shop', trouble: 'pending', known: outbox.pending.length, shown: shop.outbox.pending },
    ...subscriptions.map(({ name, waiting }) => ({
      component: name,
      trouble: 'waiting',
      known: waiting.length,
      shown: (mail.subscriptions.find((other) => other.name === name)?.waiting ?? 0) * problems(mail, /wait/),
    })),
    ...replicas.map(({ name, waitingKeys }) => ({
      component: name,
      trouble: 'waiting',
      known: waitingKeys.length,
      shown: problems(copies, /wait/),
    })),
    { component: 'stock', trouble: 'conflicts', known: conflicts.rows[0]?.count ?? 0, shown: problems(copies, /two contents/) },
  ]
}

/** Whether everything that is committed is settled at the owner. */
export async function isSettled(shop: Pool): Promise<boolean> {
  const { rows } = await shop.query<{ settled: boolean }>(
    `select (select c.id from comity.checkpoint c) >= (select coalesce(max(id), 0) from comity.outbox) as settled`,
  )
  return rows[0]?.settled === true
}
