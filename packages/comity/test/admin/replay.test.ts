import { entity } from '@comity/contract'
import { team } from 'comity'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { until } from '../../../../test/chaos/until.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import { crm, effects, message, SENT, Sent, type Sql, send } from '../subscription/sent-messages.ts'
import { act, done } from './act.ts'

test('a replay goes over history again as a new generation, in order; handlers can tell; nobody else is touched', async () => {
  const bus = testBus()
  const replayed: [number, boolean][] = []
  await using team = await crm(
    bus,
    ({ n, replayed: again }) => void replayed.push([n, again]),
    {},
    {
      configure: (one) =>
        one.on(Sent, async ({ data }, { tx }) => void (await tx.query('insert into others values ($1)', [data.n])), { name: 'others' }),
    },
  ).catch(async (error) => Promise.reject(error))
  await team.db.query('create table others (n int)')
  const first = [1, 2, 3].map((n) => message('a', n))
  await send(bus, ...first)
  await team.caughtUp()
  const { generation } = await act<{ generation: number }>(team.team as never, 'replay', { subscription: SENT, to: 'beginning' })
  expect(generation).toBe(2)
  await until('it has gone back', async () => (await effects(team.db)).length === 6)
  await send(bus, message('a', 4))
  await team.caughtUp()
  expect(await effects(team.db)).toEqual([1, 2, 3, 1, 2, 3, 4])
  expect(replayed.slice(3)).toEqual([
    [1, true],
    [2, true],
    [3, true],
    [4, false],
  ])
  expect((await team.db.query('select n from others order by n')).rows.map((row) => row.n)).toEqual([1, 2, 3, 4])
})

test('to a time, to a version, to now; not before what can be proved, and not into the future', async () => {
  const bus = testBus()
  await using team = await crm(bus, () => undefined)
  await send(bus, message('a', 1))
  await team.caughtUp()
  await new Promise((resolve) => setTimeout(resolve, 20))
  const second = message('a', 2)
  await send(bus, second, message('a', 3))
  await team.caughtUp()
  const time = second.attributes['ce-time'] as string
  await act(team.team as never, 'replay', { subscription: SENT, to: { time } })
  await until('from the second on', async () => (await effects(team.db)).length === 5)
  expect(await effects(team.db)).toEqual([1, 2, 3, 2, 3])
  await act(team.team as never, 'replay', { subscription: SENT, to: { version: Number(second.attributes['ce-comityversion']) } })
  await until('from that version on', async () => (await effects(team.db)).length === 7)

  await act(team.team as never, 'pause', { subscription: SENT })
  await until('it has stopped', async () => {
    await send(bus, message('b', 4))
    return ((await team.team.status()).subscriptions[0]?.lag ?? 0) > 2
  })
  const { leftBehind } = await act<{ leftBehind: number }>(team.team as never, 'skip-to-now', { subscription: SENT })
  expect(leftBehind).toBeGreaterThan(2)
  await act(team.team as never, 'resume', { subscription: SENT })
  await until('it is there', async () => (await team.team.status()).subscriptions[0]?.lag === 0)
  await send(bus, message('b', 5))
  await team.caughtUp()
  expect(await effects(team.db, 'b')).toEqual([5])
  await expect(act(team.team as never, 'replay', { subscription: SENT, to: { time: '2999-01-01T00:00:00Z' } })).rejects.toMatchObject({
    code: 'COMITY_REPLAY_TOO_FAR',
  })
  await expect(act(team.team as never, 'replay', { subscription: SENT, to: 'begining' })).rejects.toMatchObject({
    code: 'COMITY_OPERATION_ARGUMENTS',
  })
})

test('a replay in the middle of the work: no message is handled by the old generation after it, and none is left out', async () => {
  const bus = testBus()
  await using team = await crm(bus, () => new Promise((resolve) => setTimeout(resolve, 2)))
  await send(bus, ...Array.from({ length: 200 }, (_, i) => message(`k${i % 10}`, i)))
  await until('it is in the middle', async () => (await effects(team.db)).length > 20)
  await act(team.team as never, 'replay', { subscription: SENT, to: 'beginning' })
  const before = (await effects(team.db)).length
  await until(
    'all of it has come again',
    async () => (await team.team.status()).subscriptions[0]?.lag === 0 && (await effects(team.db)).length >= 200 + before,
  )
  for (let key = 0; key < 10; key++) {
    const own = await effects(team.db, `k${key}`)
    expect(own.slice(-20)).toEqual(Array.from({ length: 20 }, (_, i) => i * 10 + key))
  }
})

const Customer = entity('crm.customer', { key: 'id', state: z.object({ id: z.string(), name: z.string() }) })

test('a replica is replayed without harm', async () => {
  const bus = testBus()
  await using owner = await testTeam(team('crm').owns(Customer, { table: 'customers' }), {
    bus,
    setup: (db) => db.query('create table customers (id text primary key, name text not null)'),
  })
  await using copy = await testTeam(team('mail').keeps(Customer, { fields: ['name'] }), { bus })
  await owner.db.query(`insert into customers values ('1', 'Ada'), ('2', 'Bea')`)
  await owner.db.query(`update customers set name = 'Ann' where id = '1'`)
  await owner.db.query(`delete from customers where id = '2'`)
  await copy.caughtUp()
  await act(copy.team as never, 'replay', { subscription: 'mail.crm-customer', to: 'beginning' })
  await until('it has gone over all of it', async () => {
    const [status] = (await copy.team.status()).subscriptions
    return (status?.ended.applied ?? 0) + (status?.ended.stale ?? 0) >= 8
  })
  expect((await copy.db.query('select id, name from crm_customer')).rows).toEqual([{ id: '1', name: 'Ann' }])
})

test('a renamed subscription goes on where it was, with its lines; an orphan can be adopted, or removed with its count', async () => {
  const bus = testBus()
  let broken = true
  const decide = ({ n }: { n: number }) => {
    if (broken && n === 1) throw new TypeError('not yet mended')
  }
  const first = await crm(bus, decide)
  await send(bus, message('a', 1), message('a', 2), message('b', 3))
  await first.caughtUp()
  await first.team.stop()
  await send(bus, message('b', 4))
  // The next version of the code calls it otherwise.
  await using second = await crm(bus, decide, { name: 'welcome' }, { url: first.url, setUp: false })
  await act(second.team as never, 'rename-subscription', { from: SENT, to: 'crm.welcome' })
  await until('it goes on', async () => (await effects(second.db, 'b')).length === 2)
  expect(await effects(second.db, 'b')).toEqual([3, 4])
  broken = false
  expect(await done(second.team as never, 'retry', { key: 'a' })).toMatchObject({ endedMessages: 2 })
  await first.db.close()

  await expect(act(second.team as never, 'remove-subscription', { subscription: 'crm.welcome', messages: 0 })).rejects.toMatchObject({
    code: 'COMITY_SUBSCRIPTION_DECLARED',
  })
  const left = (await second.db.query<{ name: string }>('select name from comity.subscriptions')).rows
  expect(left).toEqual([{ name: 'crm.welcome' }])
})

test('an orphan is removed with its lines and its queue', async () => {
  const bus = testBus()
  const first = await crm(bus, () => Promise.reject(new TypeError('broken')))
  await send(bus, message('a', 1))
  await first.caughtUp()
  await first.team.stop()
  await using second = await crm(bus, () => undefined, { name: 'other' }, { url: first.url, setUp: false })
  await expect(act(second.team as never, 'remove-subscription', { subscription: SENT, messages: 0 })).rejects.toMatchObject({
    code: 'COMITY_COUNT_DIFFERS',
  })
  expect(await act(second.team as never, 'remove-subscription', { subscription: SENT, messages: 1 })).toEqual({
    subscription: SENT,
    discarded: 1,
  })
  await first.db.close()
  const names = (await second.db.query('select name from comity.subscriptions')).rows as Record<string, unknown>[]
  expect(names).toEqual([{ name: 'crm.other' }])
  expect((await (second.db as Sql).query('select from comity.waiting_keys')).rows).toEqual([])
})
