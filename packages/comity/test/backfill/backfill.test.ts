/** A team that declares `keeps` gets what its owner has, also what is older than Comity; nobody else gets a message. */
import { entity } from '@comity/contract'
import { team } from 'comity'
import { testBus, testTeam } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'

const Customer = entity('crm.customer', {
  key: 'id',
  tenant: 'agencyId',
  state: z.object({ id: z.string(), agencyId: z.string(), email: z.string(), name: z.string(), phone: z.string().nullable() }),
})

test('rows that are older than Comity arrive in a new copy, declared fields only', async () => {
  const bus = testBus()
  await using crm = await testTeam(team('crm').owns(Customer, { table: 'customers' }), {
    bus,
    url: (await freshDatabase()).url,
    async setup(db) {
      await db.query(
        'create table customers (id text primary key, agency_id text not null, email text not null, name text not null, phone text)',
      )
      await db.query(`insert into customers select 'c' || i, 'a1', 'c' || i || '@example.com', 'C', null from generate_series(1, 9100) i`)
    },
  })
  await using marketing = await testTeam(team('marketing').keeps(Customer, { fields: ['email', 'name'] }), {
    bus,
    url: (await freshDatabase()).url,
  })
  const job = async () => (await marketing.db.query('select * from comity.asked_backfills')).rows
  await expect
    .poll(async () => (await job())[0]?.state, { timeout: 10_000 })
    .toBe('ready')
    .catch(async (e) => {
      console.log(
        await job(),
        (await crm.db.query('select * from comity.backfills')).rows,
        (await crm.db.query('select * from comity.checkpoint')).rows,
        (await marketing.db.query('select * from comity.marks')).rows,
      )
      throw e
    })
  console.log(await job())
  expect((await marketing.db.query('select count(*)::int as n from crm_customer')).rows).toEqual([{ n: 9100 }])
})
