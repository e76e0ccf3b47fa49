/** What is withheld goes out when its cause was put right and somebody asks for it: whole keys, in order, each once. */
import { entity, event } from '@comity/contract'
import { team } from 'comity'
import { listWithheld, retryWithheld } from 'comity/admin'
import { type TestTeam, testBus } from 'comity/testing'
import type { SendResult, Transport } from 'comity/transport'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import { relay } from '../../src/relay/relay.ts'
import { teamDatabase } from '../team-database.ts'

const strict = event('crm.noted', { key: 'id', data: z.object({ id: z.string(), n: z.int().max(9) }) })
const loose = event('crm.noted', { key: 'id', data: z.object({ id: z.string(), n: z.int() }) })

async function crmAndReader() {
  const bus = testBus()
  const seen: string[] = []
  const crm = await testTeam(team('crm').publishes(strict), { bus, url: (await freshDatabase({ migrated: true })).url })
  const reader = await testTeam(
    team('reader').on(loose, ({ key, data }) => {
      seen.push(`${key}${data.n}`)
    }),
    { bus, url: (await freshDatabase({ migrated: true })).url },
  )
  const publish = (id: string, n: number) =>
    crm.db.query(`select comity.publish('crm.noted', $1::text)::text as version`, [JSON.stringify({ id, n })])
  return { crm, reader, seen, publish, close: () => Promise.all([reader, crm].map((one) => one[Symbol.asyncDispose]())) }
}

/** The contract becomes a looser one, as by a deploy and `comity migrate`. */
async function loosen(crm: TestTeam<unknown>): Promise<void> {
  const { database, transport } = crm.team.environment
  const next = team('crm', { database, transport }).publishes(loose)
  expect((await next.migrate()).applied).toEqual(['register the contract crm.noted (published)'])
}

test('an event and those that follow it go out in their order, and what is published after them does not pass them', async () => {
  const { crm, reader, seen, publish, close } = await crmAndReader()
  for (const n of [1, 10, 2, 3]) await publish('a', n)
  await publish('b', 4)
  await reader.caughtUp()
  expect(seen.sort()).toEqual(['a1', 'b4'])
  expect((await listWithheld(crm.team.environment)).map(({ key, code, follows }) => [key, code, follows !== null])).toEqual([
    ['a', 'COMITY_INVALID_DATA', false],
    ['a', 'COMITY_FOLLOWS_WITHHELD', true],
    ['a', 'COMITY_FOLLOWS_WITHHELD', true],
  ])

  seen.length = 0
  await loosen(crm)
  const retried = retryWithheld(crm.team.environment, { topic: 'crm.noted', key: 'a' })
  await publish('a', 5)
  expect(await retried).toMatchObject({ sent: expect.any(Number), withheld: 0, pending: 0 })
  // What was published beside the retry may have been held back by it: then it waits for its own.
  if ((await listWithheld(crm.team.environment)).length > 0) await retryWithheld(crm.team.environment, {})
  await publish('a', 6)
  await reader.caughtUp()
  expect(seen).toEqual(['a10', 'a2', 'a3', 'a5', 'a6'])
  expect(await listWithheld(crm.team.environment)).toEqual([])
  await close()
})

test('a retry without a reason leaves everything as it was', async () => {
  const { crm, reader, seen, publish, close } = await crmAndReader()
  for (const n of [10, 2]) await publish('a', n)
  await reader.caughtUp()
  expect(await retryWithheld(crm.team.environment, {})).toEqual({ asked: 2, sent: 0, withheld: 2, pending: 0 })
  await publish('a', 3)
  await reader.caughtUp()
  expect(seen).toEqual([])
  expect(await listWithheld(crm.team.environment)).toHaveLength(3)
  await close()
})

test('asking for what is not withheld is an error that says where to look', async () => {
  const { crm, close } = await crmAndReader()
  await expect(retryWithheld(crm.team.environment, { topic: 'crm.noted', key: 'x' })).rejects.toMatchObject({
    code: 'COMITY_NOTHING_WITHHELD',
  })
  await close()
})

test('a state that the broker refuses holds back no later one of its key, which takes its place', async () => {
  const Thing = entity('crm.thing', { key: 'id', state: z.object({ id: z.string(), n: z.int() }) })
  const database = await teamDatabase([Thing])
  const bus = testBus()
  const memory = bus.memory.connect()
  await memory.provision({ topics: [{ name: 'crm.thing', team: 'crm' }], subscriptions: [] })
  const sent: string[] = []
  const choosy: Transport = {
    ...memory,
    async send(topic, messages, options) {
      const refused = new Set<string>()
      const results = messages.map(({ key, data }): SendResult | undefined => {
        if (refused.has(key)) return { status: 'blocked' }
        if (!data.includes('666')) return undefined
        refused.add(key)
        return { status: 'refused', reason: 'never' }
      })
      const taken = messages.filter((_, i) => results[i] === undefined)
      if (taken.length > 0) await memory.send(topic, taken, options)
      sent.push(...taken.map(({ data }) => data))
      return results.map((result) => result ?? { status: 'stored' })
    },
  }
  for (const n of [1, 666, 3]) {
    await database.query(`select comity.publish('crm.thing', $1::text)::text as version`, [JSON.stringify({ id: 'a', n })])
  }
  const running = relay({
    team: 'crm',
    database,
    transport: choosy,
    holder: 'test',
    identity: () => ({ team: 'crm', holder: 'test', incarnation: 1 }),
    contracts: async () => ({ registrationMark: '', routesOf: () => [{ topic: 'crm.thing' }], judge: () => undefined }),
  })
  await running.start()
  await running.drained()
  await running.stop()
  expect(sent).toEqual(['{"id":"a","n":1}', '{"id":"a","n":3}'])
  const { rows } = await database.query<{ code: string; resolution: string }>('select code, resolution from comity.withheld')
  expect(rows).toEqual([{ code: 'COMITY_REFUSED_BY_BROKER', resolution: expect.stringMatching(/^superseded by/) }])
  await memory.close()
  await database.close()
})
