/** What an operator has done to the relay of a team whose broker was lost: the whole of it, with real buses, is in test/transports. */
import { event } from '@comity/contract'
import { team } from 'comity'
import { type RebuildOutcome, releaseHold } from 'comity/admin'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { until } from '../../../../test/chaos/until.ts'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import { act } from './act.ts'

const Ordered = event('shop.ordered', { key: 'id', data: z.object({ id: z.string() }) })

async function shopAndDesk() {
  const bus = testBus()
  const seen: string[] = []
  const shop = await testTeam(team('shop', { lease: '1s' }).publishes(Ordered), { bus, url: (await freshDatabase({ migrated: true })).url })
  const desk = await testTeam(
    team('desk').on(Ordered, ({ key }) => void seen.push(key)),
    { bus, url: (await freshDatabase({ migrated: true })).url },
  )
  return {
    ...{ shop, desk, seen },
    publish: (id: string) => shop.db.query(`select comity.publish('shop.ordered', $1::text)`, [JSON.stringify({ id })]),
    duplicates: async () => (await desk.team.status()).subscriptions[0]?.ended.duplicate,
    relaysNow: async () => (await shop.team.status()).outbox.relay?.holder,
    async [Symbol.asyncDispose]() {
      await desk[Symbol.asyncDispose]()
      await shop[Symbol.asyncDispose]()
    },
  }
}

test('a leader that has nothing to do goes back to the oldest row, and what was handled already is a repetition', async () => {
  await using w = await shopAndDesk()
  for (const id of ['a', 'b', 'c']) await w.publish(id)
  await w.desk.caughtUp()
  const outcome = await act<RebuildOutcome>(w.shop.team as never, 'rebuild-transport')
  expect(outcome).toMatchObject({ topics: [{ topic: 'shop.ordered', messages: 3, gone: null }], leader: { holder: expect.any(String) } })
  await until('all of it has come again', async () => (await w.duplicates()) === 3)
  await w.publish('d')
  await w.desk.caughtUp()
  expect(w.seen.toSorted()).toEqual(['a', 'b', 'c', 'd'])
  expect(w.seen.at(-1)).toBe('d')
})

test('while the hold lasts nobody relays; its release lets one begin, and a second one finds nothing to release', async () => {
  await using w = await shopAndDesk()
  await w.publish('a')
  await w.desk.caughtUp()
  const { hold } = await act<RebuildOutcome>(w.shop.team as never, 'rebuild-transport', { hold: 60 })
  expect(await w.relaysNow()).toBe(hold)
  expect(await w.duplicates()).toBe(0)
  expect(await releaseHold(w.shop.team.environment, String(hold))).toBe(true)
  expect(await releaseHold(w.shop.team.environment, String(hold))).toBe(false)
  await until('all of it has come again', async () => (await w.duplicates()) === 1)
})
