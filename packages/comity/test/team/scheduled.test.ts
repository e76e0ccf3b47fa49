/** Events for later, from a team that runs: they leave when they are due, also after a restart, and nobody asks hotly meanwhile. */
import { entity, event } from '@comity/contract'
import { type Team, team } from 'comity'
import { testBus } from 'comity/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'

const Reminded = event('sales.reminded', { key: ['shop', 'id'], data: z.object({ shop: z.int(), id: z.string(), n: z.int() }) })
const Offer = entity('sales.offer', { key: 'id', state: z.object({ id: z.string() }) })
const Strange = event('crm.strange', { key: 'id', data: z.object({ id: z.string() }) })

const bus = testBus()
let url: string
/** When the n-th reminder was handled. */
const handled = new Map<number, { at: number; time: Date }>()
let told = (): void => undefined
const arrived = async (n: number): Promise<{ at: number; time: Date }> => {
  while (!handled.has(n)) await new Promise<void>((resolve) => (told = resolve))
  return handled.get(n) as { at: number; time: Date }
}
const sales = team('sales').publishes(Reminded).owns(Offer)
let crm: Awaited<ReturnType<typeof testTeam>>
beforeAll(async () => {
  url = (await freshDatabase({ migrated: true })).url
  crm = await testTeam(
    team('crm').on(Reminded, ({ data, time }) => {
      handled.set(data.n, { at: Date.now(), time: new Date(time) })
      told()
    }),
    { bus, url: (await freshDatabase({ migrated: true })).url },
  )
})
afterAll(() => crm[Symbol.asyncDispose]())

const reminder = (n: number) => ({ shop: 1, id: 'a', n })
const remind = (running: Awaited<ReturnType<typeof testTeam>>, n: number, notBefore: Date | string) =>
  running.db.transaction((tx) => (running.team as Team<typeof tx>).publish(tx, Reminded, reminder(n), { notBefore }))

test('they leave when they are due, and become events then', async () => {
  await using running = await testTeam(sales, { bus, url })
  const due = Date.now() + 400
  expect(await remind(running, 1, new Date(due))).toBe(0)
  expect((await running.team.status()).outbox).toMatchObject({ scheduled: 1, nextDue: new Date(due).toISOString() })
  const { at, time } = await arrived(1)
  expect(at).toBeGreaterThanOrEqual(due)
  expect(at - due).toBeLessThan(500) // alone on its machine: about 20 ms
  expect(time.getTime()).toBeGreaterThanOrEqual(due)
  expect((await running.team.status()).outbox).toMatchObject({ scheduled: 0, nextDue: null })
})

test('a restart, and a time that passed meanwhile, lose and repeat nothing', async () => {
  await using before = await testTeam(sales, { bus, url })
  await before.db.transaction((tx) =>
    before.team.publishMany(tx, Reminded, [2, 3].map(reminder), { notBefore: new Date(Date.now() + 3_600_000) }),
  )
  await before[Symbol.asyncDispose]()
  await using after = await testTeam(sales, {
    bus,
    url,
    setup: (db) => db.query(`update comity.scheduled set due = due - interval '1 day'`),
  })
  await arrived(3)
  await after.caughtUp()
  await crm.caughtUp()
  const { rows } = await after.db.query<{ payload: string }>(`select payload from comity.outbox order by id`)
  expect(rows.map(({ payload }) => JSON.parse(payload).n)).toEqual([1, 2, 3])
  expect([...handled.keys()]).toEqual([1, 2, 3])
})

test('they are cancelled by key, as text or by its fields, by the team that publishes them', async () => {
  await using running = await testTeam(sales, { bus, url })
  const cancel = (key: string | Record<string, unknown>) => running.db.transaction((tx) => running.team.cancelScheduled(tx, Reminded, key))
  for (const n of [4, 5]) await remind(running, n, '2030-01-01T00:00:00Z')
  expect(await cancel({ shop: 1, id: 'b' })).toBe(0)
  expect(await cancel({ shop: 1, id: 'a' })).toBe(2)
  await remind(running, 6, '2030-01-01T00:00:00Z')
  expect(await cancel('[1,"a"]')).toBe(1)
  await running.db.transaction(async (tx) => {
    await expect(running.team.cancelScheduled(tx, Strange, 'a')).rejects.toMatchObject({ code: 'COMITY_NOT_PUBLISHED_HERE' })
    await expect(running.team.publish(tx, Offer, { id: 'a' }, { notBefore: new Date() })).rejects.toMatchObject({
      code: 'COMITY_ENTITY_FOR_LATER',
    })
  })
})

test('what the contract has come to refuse meanwhile is withheld with its reason, and stops nothing else', async () => {
  await using running = await testTeam(sales, { bus, url })
  await running.db.transaction((tx) => running.team.publishMany(tx, Reminded, [7, 8].map(reminder), { notBefore: '2030-01-01T00:00:00Z' }))
  await running.db.query(`update comity.scheduled set payload = '{"shop":1,"id":"b"}', key = '[1,"b"]' where payload like '%7}'`)
  await running.db.query(`update comity.scheduled set due = now()`)
  await arrived(8)
  const { rows } = await running.db.query('select key, code from comity.withheld')
  expect(rows).toEqual([{ key: '[1,"b"]', code: 'COMITY_INVALID_DATA' }])
})
