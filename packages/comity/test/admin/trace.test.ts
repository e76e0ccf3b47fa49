import { entity, event } from '@comity/contract'
import { PermanentError, type Queryable, team } from 'comity'
import { type MessageLife, trace } from 'comity/admin'
import { type TestTeam, testBus } from 'comity/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'

const person = { key: 'customer' as const, data: z.object({ customer: z.string(), note: z.string().optional() }) }
const Sent = event('marketing.sent', person)
const Thanked = event('crm.thanked', person)
const Customer = entity('crm.customer', { key: 'id', state: z.object({ id: z.string(), name: z.string() }) })

const bus = testBus()
let crm: TestTeam<Queryable>
let marketing: TestTeam<Queryable>
beforeAll(async () => {
  crm = await testTeam(
    team('crm')
      .publishes(Thanked)
      .owns(Customer)
      .on(Sent, async ({ data, traceparent }, { publish }) => {
        if (data.customer === 'bad') throw new PermanentError('never')
        await publish(Thanked, data, traceparent === undefined ? {} : { traceparent })
      }),
    { bus, url: (await freshDatabase({ migrated: true })).url },
  )
  marketing = await testTeam(
    team('marketing')
      .publishes(Sent)
      .keeps(Customer, { fields: ['name'] })
      .on(Thanked, async () => undefined),
    { bus, url: (await freshDatabase({ migrated: true })).url },
  )
})
afterAll(async () => {
  await crm[Symbol.asyncDispose]()
  await marketing[Symbol.asyncDispose]()
})

const parent = (n: number): string => `00-${String(n).padStart(32, '0')}-00f067aa0ba902b7-01`
/** In one transaction: they arrive together, and are handled in one transaction where they share a lane. */
async function send(...given: readonly { readonly customer: string; readonly traceparent?: string }[]): Promise<readonly string[]> {
  const versions = await marketing.db.transaction(async (tx) => {
    const drawn: number[] = []
    for (const { customer, traceparent } of given)
      drawn.push(await marketing.team.publish(tx, Sent, { customer }, traceparent === undefined ? {} : { traceparent }))
    return drawn
  })
  await marketing.caughtUp()
  return versions.map((version) => `marketing-${version}`)
}
const told = (id: string): Promise<MessageLife> => trace([crm.team.environment, marketing.team.environment], id)

test('a message is followed through its handler to what that published, and on', async () => {
  const [id = ''] = await send({ customer: 'c1' })
  // Sent is what the checkpoint is above: it may be handled before.
  await expect
    .poll(() => told(id))
    .toMatchObject({
      ...{ id, topic: 'marketing.sent', key: 'c1', kind: 'event', state: 'sent', withheld: null, at: expect.stringMatching(/Z$/) },
      subscriptions: [
        {
          ...{ team: 'crm', subscription: 'crm.marketing-sent', outcome: 'applied', generation: 1, waiting: null },
          children: [
            { topic: 'crm.thanked', key: 'c1', state: 'sent', subscriptions: [{ team: 'marketing', outcome: 'applied', children: [] }] },
          ],
        },
      ],
    })
})

test('of messages that were handled in one transaction each has its own children by its trace, and without one that can not be told', async () => {
  // Of one key, so of one lane, and sent at once: handled together.
  const traced = await send(...[1, 2, 3].map((n) => ({ customer: 'c2', traceparent: parent(n) })))
  for (const [i, id] of traced.entries()) {
    const { subscriptions, traceparent } = await told(id)
    expect(traceparent).toBe(parent(i + 1))
    expect(subscriptions[0]?.children?.map((child) => child.traceparent)).toEqual([parent(i + 1)])
  }
  const plain = await send(...[1, 2, 3].map(() => ({ customer: 'c3' })))
  const { rows } = await crm.db.query<{ n: number }>(
    `select count(distinct xmin::text)::int as n from comity.inbox where message = any ($1)`,
    [plain],
  )
  const children = await Promise.all(plain.map(async (id) => (await told(id)).subscriptions[0]?.children))
  // Each alone, or nobody knows whose they are; never those of another.
  if (rows[0]?.n === 1) expect(children).toEqual([null, null, null])
  else for (const own of children) expect(own === null || own?.length === 1).toBe(true)
})

test('one that failed waits in its line, in its place; one that is withheld says why', async () => {
  const [head = '', follower = ''] = await send({ customer: 'bad' }, { customer: 'bad' })
  expect((await told(head)).subscriptions[0]).toMatchObject({
    ...{
      outcome: 'waiting',
      waiting: { position: 1, reason: 'parked', errorCode: 'COMITY_PERMANENT', error: expect.stringContaining('never') },
    },
  })
  expect((await told(follower)).subscriptions[0]).toMatchObject({ outcome: 'waiting', waiting: { position: 2 } })
  const { rows } = await marketing.db.query<{ version: string }>(
    `select comity.publish('marketing.sent', '{"customer":"c4","note":7}')::text as version`,
  )
  await marketing.caughtUp()
  expect(await told(`marketing-${rows[0]?.version}`)).toMatchObject({
    ...{
      state: 'withheld',
      withheld: { code: 'COMITY_INVALID_DATA', resolution: null },
      subscriptions: [{ outcome: 'unseen', children: [] }],
    },
  })
})

test('a state is in the copy once that has its version or a later one', async () => {
  const version = await crm.db.transaction((tx) => crm.team.publish(tx, Customer, { id: 'c1', name: 'Ann' }))
  await crm.caughtUp()
  expect(await told(`crm-${version}`)).toMatchObject({
    ...{ kind: 'created', subscriptions: [{ subscription: 'marketing.crm-customer', outcome: 'current', replicaVersion: version }] },
  })
})

test('an owner that was not asked, and a message that nobody knows, are told apart', async () => {
  const [id = ''] = await send({ customer: 'c9' })
  expect(await trace([crm.team.environment], id)).toMatchObject({
    state: 'not-asked',
    topic: null,
    subscriptions: [{ outcome: 'applied' }],
  })
  await expect(told('marketing-12')).rejects.toMatchObject({ code: 'COMITY_MESSAGE_UNKNOWN' })
  await expect(told('12')).rejects.toMatchObject({ code: 'COMITY_NOT_A_MESSAGE_ID' })
})
