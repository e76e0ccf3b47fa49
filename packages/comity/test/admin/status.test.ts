import { entity, event } from '@comity/contract'
import { memoryBus, team } from 'comity'
import { doctor } from 'comity/admin'
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

test('what is read here and deprecated by its owner is named, with its day, its owner and whom to ask', async () => {
  const bus = testBus()
  const state = z.object({ id: z.string(), email: z.string(), phone: z.string(), city: z.string(), shoe: z.string() })
  const Kept = entity('crm.customer', { key: 'id', state })
  const deprecated = { phone: '2027-01-31', city: '2027-02-28', shoe: '2027-03-31' }
  const Said = entity('crm.customer', { key: 'id', state, deprecated })
  const Ended = event('crm.seen', { key: 'id', data: z.object({ id: z.string() }), deprecated: '2027-04-30', contact: '#seen' })
  const Quiet = event('shop.closed', { key: 'id', data: z.object({ id: z.string(), why: z.string() }), deprecated: { why: '2027-05-31' } })
  const nothing = async () => undefined
  await using marketing = await testTeam(
    team('marketing')
      .keeps(Kept, { fields: ['email', 'phone'], where: { city: 'Bern' } })
      .on(Kept, nothing, { name: 'mails', fields: ['email'] })
      .on(Kept, nothing, { name: 'unsaid' })
      .on(Ended, nothing)
      // An owner that was never heard: what this team's own version of the contract says.
      .on(Quiet, nothing),
    { bus, url: (await freshDatabase({ migrated: true })).url },
  )
  const uses = async () => (await marketing.team.status()).deprecated
  const why = { contract: 'shop.closed', field: 'why', from: '2027-05-31', owner: 'shop', contact: null, readBy: ['marketing.shop-closed'] }
  const seen = { contract: 'crm.seen', field: '', from: '2027-04-30', owner: 'crm', contact: '#seen', readBy: ['marketing.crm-seen'] }
  expect(await uses()).toEqual([seen, why])
  await using _crm = await testTeam(team('crm', { contact: 'crm@example.com' }).owns(Said).publishes(Ended), {
    bus,
    url: (await freshDatabase({ migrated: true })).url,
  })
  const customer = { contract: 'crm.customer', owner: 'crm', contact: 'crm@example.com' }
  await vi.waitFor(
    async () =>
      expect(await uses()).toEqual([
        { ...customer, field: 'phone', from: '2027-01-31', readBy: ['marketing.crm-customer', 'marketing.unsaid'] },
        { ...customer, field: 'city', from: '2027-02-28', readBy: ['marketing.crm-customer', 'marketing.unsaid'] },
        { ...customer, field: 'shoe', from: '2027-03-31', readBy: ['marketing.unsaid'] },
        seen,
        why,
      ]),
    60_000,
  )
  expect((await marketing.team.status()).problems).toEqual([])
  const { checks } = await doctor(marketing.team.declaration, marketing.team.environment as never)
  expect(checks.find(({ name }) => name === 'contracts')?.findings[0]).toEqual({
    level: 'warning',
    found: 'crm.customer.phone is deprecated from 2027-01-31, and read by marketing.crm-customer, marketing.unsaid',
    remedy: 'read what takes its place, and drop it here before that day; ask crm (crm@example.com)',
  })
  // Another team's word about it counts for nothing.
  await marketing.db.query(
    `insert into comity.catalog_contracts (team, name, hash, description, declared_at) values ('liar', 'shop.closed', 'x', $1, now())`,
    [JSON.stringify({ deprecated: { from: '2026-01-01', fields: {} } })],
  )
  expect((await uses()).at(-1)).toEqual(why)
})
