import { entity, event } from '@comity/contract'
import { team } from 'comity'
import { testBus, testTeam } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'

const Customer = entity('crm.customer', { key: 'id', state: z.object({ id: z.string(), email: z.string() }) })
const Called = event('sales.called', { key: 'customerId', data: z.object({ customerId: z.string() }) })

test('a subscription that the broker does not know is named, and hides nothing of the others', async () => {
  const bus = testBus()
  await using marketing = await testTeam(
    team('marketing')
      .keeps(Customer, { fields: ['email'] })
      .on(Called, async () => undefined),
    { bus, url: (await freshDatabase()).url },
  )
  await bus.memory.connect().remove?.({ subscriptions: ['marketing.sales-called'] })
  const { subscriptions, replicas, problems } = await marketing.team.status()
  expect(subscriptions).toMatchObject([
    { name: 'marketing.crm-customer', lag: 0 },
    { name: 'marketing.sales-called', lag: null },
  ])
  expect(replicas).toMatchObject([{ rows: 0, freshnessSeconds: 0 }])
  expect(problems).toMatchObject([expect.stringMatching(/^the lag of marketing.sales-called is unknown: .*marketing.sales-called/)])
})

test('a capture that no longer announces everything is a problem, with the command that puts it right', async () => {
  await using crm = await testTeam(team('crm').owns(Customer, { table: 'customers' }), {
    bus: testBus(),
    url: (await freshDatabase()).url,
    setup: (db) => db.query('create table customers (id text primary key, email text not null)'),
  })
  await crm.caughtUp() // somebody relays
  expect((await crm.team.status()).problems).toEqual([])
  await crm.db.query('alter table customers disable trigger all')
  const { problems } = await crm.team.status()
  expect(problems[0]).toMatch(/^crm.customer: the trigger .* is not ENABLE ALWAYS.*; run "alter table only customers enable always trigger/)
})
