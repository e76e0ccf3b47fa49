/** Each audience has a topic of its own: what is not granted never leaves the owner. */
import { entity } from '@comity/contract'
import { team } from 'comity'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'

const Customer = entity('crm.customer', {
  key: 'id',
  tenant: 'agencyId',
  state: z.object({ id: z.string(), agencyId: z.string(), email: z.string(), phone: z.string(), secret: z.string() }),
  audiences: { marketing: ['email'], support: ['phone'] },
})

test('a copy and a handler get key, tenant and what their audience is granted; the rest is on no topic of theirs', async () => {
  const bus = testBus()
  const handled: unknown[] = []
  await using crm = await testTeam(team('crm').owns(Customer, { table: 'customers' }), {
    bus,
    url: (await freshDatabase({ migrated: true })).url,
    setup: (db) => db.query('create table customers (id text primary key, agency_id text, email text, phone text, secret text)'),
  })
  await using marketing = await testTeam(team('marketing').keeps(Customer, { fields: ['email'], audience: 'marketing' }), {
    bus,
    url: (await freshDatabase({ migrated: true })).url,
  })
  await using support = await testTeam(
    team('support').on(
      Customer,
      ({ state }) => {
        handled.push(state)
      },
      { audience: 'support' },
    ),
    { bus, url: (await freshDatabase({ migrated: true })).url },
  )
  const seen: string[] = []
  const watching = new AbortController()
  const broker = bus.memory.connect()
  await broker.provision({
    topics: [],
    subscriptions: ['marketing', 'support'].map((to) => ({ name: `spy.${to}`, team: 'spy', topic: `crm.customer.${to}` })),
  })
  const spying = ['marketing', 'support'].map((to) =>
    broker.receive(
      `spy.${to}`,
      async (deliveries) => {
        seen.push(...deliveries.map(({ message }) => `${to} ${message.data} ${JSON.stringify(message.attributes)}`))
        return deliveries.map(() => 'ack')
      },
      { signal: watching.signal },
    ),
  )
  await crm.db.query(`insert into customers values ('c1', 'a1', 'an-email', 'a-phone', 'a-secret')`)
  expect(await marketing.caughtUp()).toEqual({ waiting: 0 })
  expect(await support.caughtUp()).toEqual({ waiting: 0 })
  await expect.poll(() => seen.length).toBe(2)

  expect((await marketing.db.query('select id, agency_id, email from crm_customer')).rows).toEqual([
    { id: 'c1', agency_id: 'a1', email: 'an-email' },
  ])
  expect(handled).toEqual([{ id: 'c1', agencyId: 'a1', phone: 'a-phone' }])
  for (const one of seen) expect(one).not.toContain('a-secret')
  expect(seen.filter((one) => one.includes('an-email')).every((one) => one.startsWith('marketing'))).toBe(true)
  expect(seen.filter((one) => one.includes('a-phone')).every((one) => one.startsWith('support'))).toBe(true)
  watching.abort()
  await Promise.all(spying)
  await broker.close()
})
