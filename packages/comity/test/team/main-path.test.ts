import { entity, event } from '@comity/contract'
import { memoryBus, type Queryable, type Team, team } from 'comity'
import { testBus, testTeam } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { connect } from '../../src/postgres/index.ts'

const Customer = entity('crm.customer', {
  key: 'id',
  tenant: 'agencyId',
  state: z.object({ id: z.string(), agencyId: z.string(), email: z.string(), name: z.string(), phone: z.string().nullable() }),
})
const EmailSent = event('marketing.email-sent', {
  key: 'customerId',
  tenant: 'agencyId',
  data: z.object({ customerId: z.string(), agencyId: z.string(), campaignId: z.string() }),
})
const jane = { id: 'c1', agencyId: 'a1', email: 'jane@example.com', name: 'Jane', phone: null }

test('a published state reaches a replica with the declared fields only, and an event its handler, once', async () => {
  const bus = testBus()
  const seen: string[] = []
  await using crm = await testTeam(
    team('crm')
      .owns(Customer)
      .on(EmailSent, async (message, { tx }) => {
        seen.push(message.data.campaignId)
        await (tx as { query(text: string, values: unknown[]): Promise<unknown> }).query('insert into mails values ($1)', [message.key])
      }),
    { bus, url: (await freshDatabase()).url, setup: (db) => db.query('create table mails (customer text)') },
  )
  await using marketing = await testTeam(
    team('marketing')
      .keeps(Customer, { fields: ['email', 'name'] })
      .publishes(EmailSent),
    {
      bus,
      url: (await freshDatabase()).url,
    },
  )

  // It would say the same again, under a version of its own.
  await expect.poll(async () => (await marketing.db.query('select state from comity.asked_backfills')).rows).toEqual([{ state: 'ready' }])
  const token = await crm.db.transaction(async (tx) => {
    await crm.team.publish(tx, Customer, jane)
    return crm.team.token(tx, Customer, 'c1')
  })
  await marketing.team.replica(Customer).waitFor(token)
  expect((await marketing.db.query('select * from crm_customer')).rows).toEqual([
    { id: 'c1', agency_id: 'a1', email: 'jane@example.com', name: 'Jane', comity_version: String(token.version) },
  ])

  await marketing.db.transaction((tx) => marketing.team.publish(tx, EmailSent, { customerId: 'c1', agencyId: 'a1', campaignId: 'k1' }))
  await crm.caughtUp()
  expect(seen).toEqual(['k1'])
  expect((await crm.db.query('select * from mails')).rows).toEqual([{ customer: 'c1' }])

  await crm.db.transaction((tx) => crm.team.publish(tx, Customer, jane, { deleted: true }))
  await marketing.caughtUp()
  expect((await marketing.db.query('select * from crm_customer')).rows).toEqual([])
})

test('plain SQL on an existing table is announced, with the declared fields only, and a rolled-back change is not', async () => {
  const bus = testBus()
  await using crm = await testTeam(team('crm').owns(Customer, { table: 'customers' }), {
    bus,
    url: (await freshDatabase()).url,
    setup: (db) =>
      db.query(
        'create table customers (id text primary key, agency_id text not null, email text not null, name text not null, phone text, internal int)',
      ),
  })
  await using marketing = await testTeam(team('marketing').keeps(Customer, { fields: ['email', 'name'] }), {
    bus,
    url: (await freshDatabase()).url,
  })
  const copy = async () => (await marketing.db.query('select id, email, name from crm_customer order by id')).rows

  await crm.db.query(`insert into customers select 'c' || i, 'a1', 'c' || i || '@example.com', 'C', null, i from generate_series(1, 3) i`)
  await marketing.caughtUp()
  expect(await copy()).toEqual([1, 2, 3].map((i) => ({ id: `c${i}`, email: `c${i}@example.com`, name: 'C' })))

  await crm.db.query(`update customers set internal = internal + 1`)
  await crm.db
    .transaction(async (tx) => {
      await tx.query(`update customers set email = 'never' where id = 'c1'`)
      throw new RangeError('rolled back on purpose')
    })
    .catch(() => undefined)
  const before = (await marketing.team.status()).subscriptions[0]?.ended
  await marketing.caughtUp()
  expect((await marketing.team.status()).subscriptions[0]?.ended).toEqual(before)

  // It would say the same again, under a version of its own.
  await expect.poll(async () => (await marketing.db.query('select state from comity.asked_backfills')).rows).toEqual([{ state: 'ready' }])
  const token = await crm.db.transaction(async (tx) => {
    await tx.query(`update customers set email = 'new@example.com' where id = 'c1'`)
    return crm.team.token(tx, Customer, { id: 'c1' })
  })
  await crm.db.query(`delete from customers where id = 'c2'`)
  await marketing.team.replica(Customer).waitFor(token)
  await marketing.caughtUp()
  expect(await copy()).toEqual([
    { id: 'c1', email: 'new@example.com', name: 'C' },
    { id: 'c3', email: 'c3@example.com', name: 'C' },
  ])
})

test('a clean stop gives up leadership before it ends: the next process relays at once, not when the lease has run out', async () => {
  const { url } = await freshDatabase()
  const bus = memoryBus()
  const start = async (): Promise<Team<Queryable>> => {
    const crm = team('crm', { database: url, transport: bus.connect(), lease: '10m', autoMigrate: true, allowUnsafe: true }).owns(Customer)
    await crm.start()
    return crm
  }
  for (let n = 1; n <= 3; n++) {
    const crm = await start()
    const db = connect(url)
    await db.transaction((tx) => crm.publish(tx, Customer, { ...jane, name: `Jane ${n}` }))
    await crm.drained()
    await crm.stop()
    await db.close()
  }
  const db = connect(url)
  expect((await db.query(`select term::int from comity.leases where name = 'relay'`)).rows).toEqual([{ term: 3 }])
  await db.close()
})
