/** docs/conversations.md: an order that three teams bring to its end, each by its own step, and undo by their own hand. */
import { entity, request } from '@comity/contract'
import { type Queryable, team } from 'comity'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'

const Item = entity('stock.item', { key: 'id', state: z.object({ id: z.string(), available: z.int() }) })
const Reservation = entity('stock.reservation', {
  key: 'id',
  state: z.object({ id: z.string(), item: z.string(), status: z.enum(['held', 'sold', 'released']) }),
})
const Account = entity('payments.account', { key: 'id', state: z.object({ id: z.string(), balance: z.int() }) })

const ReserveItem = request('stock.reserve-item', {
  entity: Item,
  key: 'item',
  data: z.object({ item: z.string(), order: z.string(), account: z.string(), price: z.int() }),
  rejects: { 'sold-out': null },
})
const ChargeAccount = request('payments.charge-account', {
  entity: Account,
  key: 'account',
  data: z.object({ account: z.string(), order: z.string(), price: z.int() }),
  rejects: { 'not-enough': z.object({ balance: z.int() }) },
})

const shop = team<Queryable>('shop')
  .asks(ReserveItem, async ({ state, data }, { tx }) => {
    if (state !== 'accepted') await tx.query(`update orders set status = 'cancelled' where id = $1::text`, [data?.order])
  })
  .on(Reservation, async ({ key, state }, { tx }) => {
    const status = state?.status === 'sold' ? 'paid' : state?.status === 'released' ? 'cancelled' : 'reserved'
    await tx.query('update orders set status = $1::text where id = $2::text', [status, key])
  })

const stock = team<Queryable>('stock')
  .owns(Item, { table: 'items' })
  .owns(Reservation, { table: 'reservations' })
  .answers(ReserveItem, async ({ key, data: { order, account, price } }, { tx, ask, reject }) => {
    const { rows } = await tx.query('update items set available = available - 1 where id = $1::text and available > 0 returning 1', [key])
    if (rows.length === 0) return reject('sold-out')
    await tx.query(`insert into reservations (id, item, status) values ($1::text, $2::text, 'held')`, [order, key])
    await ask(ChargeAccount, { account, order, price }, { id: `charge-${order}` })
    return undefined
  })
  .asks(ChargeAccount, async ({ id, state }, { tx }) => {
    const status = state === 'accepted' ? 'sold' : 'released'
    const reservation = id.replace('charge-', '')
    await tx.query('update reservations set status = $1::text where id = $2::text', [status, reservation])
    if (status === 'released')
      await tx.query('update items i set available = available + 1 from reservations r where r.id = $1::text and i.id = r.item', [
        reservation,
      ])
  })

const payments = team<Queryable>('payments')
  .owns(Account, { table: 'accounts' })
  .answers(ChargeAccount, async ({ key, data }, { tx, reject }) => {
    const { rows } = await tx.query<{ balance: number }>('select balance from accounts where id = $1::text for update', [key])
    const balance = rows[0]?.balance ?? 0
    if (balance < data.price) return reject('not-enough', { balance })
    await tx.query('update accounts set balance = balance - $1::int where id = $2::text', [data.price, key])
    return undefined
  })

const ORDERS = 40
const TABLES = {
  shop: 'create table if not exists orders (id text primary key, status text not null)',
  stock: `create table if not exists items (id text primary key, available integer not null);
    create table if not exists reservations (id text primary key, item text not null, status text not null);
    insert into items values ('book', 12), ('pen', 100) on conflict do nothing`,
  payments: `create table if not exists accounts (id text primary key, balance integer not null);
    insert into accounts values ('rich', 10000), ('poor', 25) on conflict do nothing`,
}

test('every order ends, what was reserved for nothing is given back, and nobody pays for what was not sold', async () => {
  const bus = testBus()
  const urls = await Promise.all([1, 2, 3].map(async () => (await freshDatabase({ migrated: true })).url))
  const [shopUrl = '', stockUrl = '', paymentsUrl = ''] = urls
  const setup = (sql: string) => (db: Queryable) => db.query(sql)
  const options = { name: 'stock', bus, url: stockUrl, setup: setup(TABLES.stock) }
  await using paid = await testTeam<Queryable>(payments, { bus, url: paymentsUrl, setup: setup(TABLES.payments) })
  let stocked = await testTeam<Queryable>(stock, options)
  await using sold = await testTeam<Queryable>(shop, { bus, url: shopUrl, setup: setup(TABLES.shop) })
  const count = async (db: { query<Row>(sql: string): Promise<{ rows: Row[] }> }, sql: string) =>
    Object.fromEntries((await db.query<{ name: string; n: number }>(sql)).rows.map(({ name, n }) => [name, n]))
  try {
    for (let n = 0; n < ORDERS; n++) {
      const data = { item: n % 2 === 0 ? 'book' : 'pen', order: `o${n}`, account: n % 4 < 2 ? 'rich' : 'poor', price: 10 }
      await sold.db.transaction(async (tx) => {
        await tx.query(`insert into orders values ($1::text, 'new')`, [data.order])
        await sold.team.ask(tx, ReserveItem, data)
      })
      // In the middle of it the team between the two others goes, and another process of it comes.
      if (n === ORDERS / 2) {
        await stocked[Symbol.asyncDispose]()
        stocked = await testTeam<Queryable>(stock, options)
      }
    }
    const orders = () => count(sold.db, 'select status as name, count(*)::int as n from orders group by 1')
    await expect
      .poll(
        async () => {
          const { paid: done = 0, cancelled = 0 } = await orders()
          return done + cancelled
        },
        { timeout: 60_000 },
      )
      .toBe(ORDERS)
    const { paid: done = 0 } = await orders()
    const items = await count(stocked.db, 'select id as name, available as n from items')
    const reservations = await count(stocked.db, 'select status as name, count(*)::int as n from reservations group by 1')
    const accounts = await count(paid.db, 'select id as name, balance as n from accounts')
    expect(reservations).toEqual({ sold: done, released: expect.any(Number) })
    expect(112 - (items.book ?? 0) - (items.pen ?? 0)).toBe(done)
    expect(10_025 - (accounts.rich ?? 0) - (accounts.poor ?? 0)).toBe(10 * done)
    expect(accounts.poor).toBe(5)
    expect(done).toBeLessThan(ORDERS)
  } finally {
    await stocked[Symbol.asyncDispose]()
  }
})
