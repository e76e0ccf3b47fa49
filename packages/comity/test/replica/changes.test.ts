/** A copy's declaration changes: what `comity migrate` does in place, what it leaves, and what it refuses. */
import { entity } from '@comity/contract'
import { type Queryable, type Team, team } from 'comity'
import { release } from 'comity/admin'
import { type TestBus, type TestTeam, testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'

const state = { id: z.string(), name: z.string(), email: z.string(), visits: z.int() }
const Customer = entity('crm.customer', { key: 'id', state: z.object(state) })
/** As the owner declares it later. */
const Wider = entity('crm.customer', { key: 'id', state: z.object({ ...state, visits: z.number() }) })

const crmOf = (bus: TestBus, url: string, contract: typeof Customer = Customer, setup?: string): Promise<TestTeam<Queryable>> =>
  testTeam(team<Queryable>('crm').owns(contract, { table: 'customers' }), {
    ...{ bus, url },
    ...(setup === undefined ? {} : { setup: (db) => db.query(setup) }),
  })
const TABLE = `create table customers (id text primary key, name varchar(40) not null, email text not null, visits int not null);
  insert into customers select 'c' || i, 'n' || i, 'e' || i, i from generate_series(1, 30) i`

type Keeping = (one: Team<Queryable>) => Team<Queryable>
const own = (bus: TestBus, url: string, keeping: Keeping): Team<Queryable> =>
  keeping(team<Queryable>('shop', { database: url, transport: bus.memory.connect(), allowUnsafe: true }))
async function ready(db: Queryable): Promise<void> {
  const open = `select why, state from comity.asked_backfills where state not in ('ready', 'cancelled')`
  await expect.poll(async () => (await db.query(open)).rows, { timeout: 60_000 }).toEqual([])
}

test('fields that are added, left over and moved to another column; the process of the code before goes on', async () => {
  const bus = testBus()
  await using crm = await crmOf(bus, (await freshDatabase({ migrated: true })).url, Customer, TABLE)
  const url = (await freshDatabase({ migrated: true })).url
  const before = (one: Team<Queryable>) => one.keeps(Customer, { fields: ['name'] })
  await using shop = await testTeam(before(team<Queryable>('shop')), { bus, url })
  await ready(shop.db)

  const now = own(bus, url, (one) => one.keeps(Customer, { fields: ['name', 'email'], columns: { name: 'full_name' } }))
  expect(await now.migrate({ check: true })).toMatchObject({ pending: ['add name, email to the replica public.crm_customer'] })
  expect(await now.migrate()).toMatchObject({
    applied: ['add name, email to the replica public.crm_customer'],
    notes: [expect.stringMatching(/nothing declares name of public.crm_customer any more.*"comity replica narrow shop.crm-customer"/)],
  })
  // A process of the code before it restarts, and applies the list that is wider than its own.
  await shop.team.stop()
  const older = own(bus, url, before)
  await older.start()
  await ready(shop.db)
  await crm.db.query(`update customers set name = 'New', email = 'new' where id = 'c1'`)
  await crm.team.drained()
  await older.caughtUp()
  const rows = async () => (await shop.db.query('select id, name, full_name, email from crm_customer order by id')).rows
  const expected = (await crm.db.query('select id, name, name as full_name, email from customers order by id collate "C"')).rows
  expect(await rows()).toEqual(expected)
  // Its migration takes nothing back.
  expect(await older.migrate()).toMatchObject({ applied: [], notes: [expect.stringMatching(/full_name \(name\), email/)] })
  await Promise.all([older.stop(), now.stop()])
})

test('an integer becomes a number: the owner releases and captures anew, the column is altered, live changes go on', async () => {
  const bus = testBus()
  const ownerUrl = (await freshDatabase({ migrated: true })).url
  const url = (await freshDatabase({ migrated: true })).url
  const keep =
    (contract: typeof Customer): Keeping =>
    (one) =>
      one.keeps(contract, { fields: ['name', 'visits'] })
  {
    await using crm = await crmOf(bus, ownerUrl, Customer, TABLE)
    await using shop = await testTeam(keep(Customer)(team<Queryable>('shop')), { bus, url })
    await ready(shop.db)
    await crm.team.drained()
    // The consumer goes first: what is narrower fits into what is wider.
    const wider = own(bus, url, keep(Wider as never))
    expect((await wider.migrate()).applied).toEqual(['widen visits of the replica public.crm_customer from bigint to double precision'])
    // By the code before, which is still running.
    await crm.db.query(`update customers set visits = 77 where id = 'c1'`)
    await crm.team.drained()
    await shop.caughtUp()
    expect((await shop.db.query(`select visits from crm_customer where id = 'c1'`)).rows).toEqual([{ visits: 77 }])
    const again = own(bus, url, keep(Customer))
    await expect(again.migrate(), 'nothing is narrowed').rejects.toMatchObject({ code: 'COMITY_REPLICA_CHANGED' })
    await again.start()
    await again.stop()
    await wider.stop()
    await release('crm.customer', crm.team.environment)
    await crm.db.query('alter table customers alter column visits type numeric, alter column name type text')
  }
  await using crm = await crmOf(bus, ownerUrl, Wider as never)
  await using shop = await testTeam(keep(Wider as never)(team<Queryable>('shop')), { bus, url })
  await crm.db.query(`update customers set visits = 1.5 where id = 'c2'`)
  await crm.team.drained()
  await ready(shop.db)
  await shop.caughtUp()
  const expected = (await crm.db.query('select id, name, visits::float8 as visits from customers order by id collate "C"')).rows
  expect((await shop.db.query('select id, name, visits from crm_customer order by id')).rows).toEqual(expected)
})
