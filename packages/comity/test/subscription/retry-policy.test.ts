import { entity } from '@comity/contract'
import { NotYetError, team } from 'comity'
import { testBus } from 'comity/testing'
import { expect, onTestFinished, test, vi } from 'vitest'
import { z } from 'zod'
import { until } from '../../../../test/chaos/until.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import { crm, effects, message, SENT, Sent, type Sql, send } from './sent-messages.ts'

const lines = async (db: Sql) => (await db.query('select key, reason, failures, error_code from comity.waiting_keys order by key')).rows

test('a subscription says what its errors mean: what is for good is not tried again, what is not yet there waits', async () => {
  const bus = testBus()
  const tried = new Map<string, number>()
  await using team = await crm(
    bus,
    ({ customer }) => {
      tried.set(customer, (tried.get(customer) ?? 0) + 1)
      if (customer !== 'fine') throw Object.assign(new Error(customer), { code: `E_${customer.toUpperCase()}` })
    },
    {
      attempts: 3,
      batch: 1,
      backoff: { min: '1ms', max: '5ms' },
      decide: (error) => ({ gone: 'permanent', later: 'not-yet' })[(error as Error).message] as 'permanent' | 'not-yet' | undefined,
    },
  )
  await send(bus, message('gone', 1), message('later', 2), message('flaky', 3), message('fine', 4))
  await team.caughtUp()
  expect(await lines(team.db)).toEqual([
    { key: 'flaky', reason: 'parked', failures: 1, error_code: 'E_FLAKY' },
    { key: 'gone', reason: 'parked', failures: 1, error_code: 'E_GONE' },
    { key: 'later', reason: 'not-yet', failures: expect.any(Number), error_code: 'E_LATER' },
  ])
  expect(tried.get('gone')).toBe(1)
  expect(tried.get('flaky')).toBe(3)
  expect(await effects(team.db)).toEqual([4])
})

test('what waits between two attempts is visible, and so is a handler that takes long', async () => {
  const bus = testBus()
  let release: () => void = () => undefined
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  // A wait is drawn from nothing up to its bound: here it is always long.
  vi.spyOn(Math, 'random').mockReturnValue(0.99)
  onTestFinished(() => void vi.restoreAllMocks())
  await using team = await crm(
    bus,
    async ({ customer }, { progress, key, tenant, attempt, logger }) => {
      expect({ key, tenant, attempt }).toEqual({ key: customer, tenant: 'a1', attempt: 1 })
      logger.info({}, 'a line with the ids of its message')
      if (customer === 'resting') throw new Error('come back')
      progress(3, 10)
      await held
    },
    { attempts: 3, backoff: { min: '20s', max: '30s' }, timeout: '10s' },
  )
  await send(bus, message('resting', 1), message('resting', 2), message('long', 3))
  const progress = async () =>
    (await team.db.query<{ progress: Record<string, Record<string, Record<string, unknown>>> }>('select progress from comity.processes'))
      .rows[0]?.progress.subscriptions?.[SENT]
  const seen = await until('both are shown', async () => {
    const found = await progress()
    return (found?.running as unknown[])?.length > 0 && (found?.resting as unknown[])?.length > 0 && found
  })
  expect(seen).toMatchObject({
    running: [{ key: 'long', attempt: 1, done: 3, total: 10 }],
    resting: [{ key: 'resting', attempts: 1, messages: 2, code: 'Error' }],
  })
  release()
})

const Customer = entity('shop.customer', { key: 'id', state: z.object({ id: z.string(), name: z.string() }) })

test('a message that waits for a row of a copy goes on when that has arrived', async () => {
  const bus = testBus()
  await using shop = await testTeam(team('shop').owns(Customer, { table: 'customers' }), {
    bus,
    setup: (db) => db.query('create table customers (id text primary key, name text not null)'),
  })
  const tried: number[] = []
  await using crm = await testTeam(
    team<Sql>('crm')
      .keeps(Customer, { fields: ['name'] })
      .on(
        Sent,
        async ({ data }, { tx }) => {
          tried.push(data.n)
          const { rows } = await tx.query('select name from shop_customer where id = $1', [data.customer])
          if (rows.length === 0)
            throw new NotYetError('the customer has not arrived', { until: { topic: 'shop.customer', key: data.customer } })
        },
        { attempts: 1 },
      ),
    { bus },
  )
  await send(bus, message('c1', 1), message('c2', 2))
  await crm.caughtUp()
  expect(await lines(crm.db)).toMatchObject([
    { key: 'c1', reason: 'not-yet' },
    { key: 'c2', reason: 'not-yet' },
  ])
  const before = tried.length
  await shop.db.query(`insert into customers values ('c1', 'Ada')`)
  await until('the first has gone on', async () => (await lines(crm.db)).length === 1)
  // The other one was not tried in vain.
  expect(tried.slice(before)).toEqual([1])
})

test('a tenant beyond its rate waits in its lines, and all of it is handled in order', async () => {
  const bus = testBus()
  await using team = await crm(bus, () => undefined, { tenantRate: '20/s' })
  await send(bus, ...Array.from({ length: 40 }, (_, i) => message('a', i)), message('b', 100, 'other'))
  await until('the other tenant does not wait', async () => (await effects(team.db, 'b')).length === 1)
  expect((await effects(team.db, 'a')).length).toBeLessThan(40)
  await until('all are there', async () => (await effects(team.db, 'a')).length === 40)
  expect(await effects(team.db, 'a')).toEqual(Array.from({ length: 40 }, (_, i) => i))
})
