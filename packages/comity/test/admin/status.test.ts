import { entity, event } from '@comity/contract'
import { memoryBus, team } from 'comity'
import { testBus } from 'comity/testing'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'

const Customer = entity('crm.customer', { key: 'id', state: z.object({ id: z.string(), email: z.string() }) })
const Called = event('sales.called', { key: 'customerId', data: z.object({ customerId: z.string() }) })

test('a subscription that the broker does not know is named, and hides nothing of the others', async () => {
  const bus = testBus()
  await using marketing = await testTeam(
    team('marketing')
      .keeps(Customer, { fields: ['email'] })
      .on(Called, async () => undefined),
    { bus, url: (await freshDatabase({ migrated: true })).url },
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

test('where the broker does not count, the processes say what they have, and how old it is', async () => {
  const { stats: _, ...uncounted } = memoryBus().connect()
  let finish: () => void = () => undefined
  const finished = new Promise<void>((resolve) => {
    finish = resolve
  })
  await using sales = team('sales', {
    ...{ database: (await freshDatabase({ migrated: true })).url, transport: uncounted, autoMigrate: true, allowUnsafe: true },
  })
    .publishes(Called)
    .on(Called, () => finished)
  await sales.start()
  const lags = async (): Promise<unknown> =>
    (await sales.status()).subscriptions.map(({ lag, lagFrom, lagUnknown }) => ({ lag, lagFrom, lagUnknown }))
  await vi.waitFor(async () => expect(await lags()).toEqual([{ lag: 0, lagFrom: 'processes', lagUnknown: null }]), 60_000)
  await sales.environment.database.transaction(async (tx) => void (await sales.publish(tx as never, Called, { customerId: '1' })))
  await vi.waitFor(async () => expect(await lags()).toEqual([{ lag: 1, lagFrom: 'processes', lagUnknown: null }]), 60_000)
  const [subscription] = (await sales.status()).subscriptions
  expect(subscription?.oldestSeconds).toBeGreaterThan(0)
  expect(subscription?.oldestSeconds).toBeLessThan(30)
  finish()
  await vi.waitFor(async () => expect(await lags()).toEqual([{ lag: 0, lagFrom: 'processes', lagUnknown: null }]), 60_000)
})

test('a capture that no longer announces everything is a problem, with the command that puts it right', async () => {
  await using crm = await testTeam(team('crm').owns(Customer, { table: 'customers' }), {
    bus: testBus(),
    url: (await freshDatabase({ migrated: true })).url,
    setup: (db) => db.query('create table customers (id text primary key, email text not null)'),
  })
  await crm.caughtUp() // somebody relays
  expect((await crm.team.status()).problems).toEqual([])
  await crm.db.query('alter table customers disable trigger all')
  const { problems } = await crm.team.status()
  expect(problems[0]).toMatch(/^crm.customer: the trigger .* is not ENABLE ALWAYS.*; run "alter table only customers enable always trigger/)
})
