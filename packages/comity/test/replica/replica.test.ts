import { entity, messageId, sourceOf, toAttributes } from '@comity/contract'
import { team } from 'comity'
import { type TestBus, testBus } from 'comity/testing'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'

const Customer = entity('crm.customer', {
  key: 'id',
  state: z.object({ id: z.string(), email: z.string().nullable(), name: z.string(), phone: z.string().optional() }),
})
const Seat = entity('crm.seat', {
  key: ['row', 'number'],
  state: z.object({ row: z.string(), number: z.int(), guest: z.string().nullable() }),
})

function change(type: string, key: string, version: number, state: object | null) {
  const id = messageId('crm', version)
  const kind = state === null ? ('deleted' as const) : ('updated' as const)
  return {
    id,
    key,
    attributes: toAttributes({ id, source: sourceOf('crm'), type, subject: key, time: new Date().toISOString(), version, kind }),
    data: state === null ? '' : JSON.stringify(state),
  }
}
const customer = (id: string, version: number, state: { email: string | null; name: string; phone?: string } | null) =>
  change('crm.customer', id, version, state && { id, ...state })
const send = (bus: TestBus, topic: string, ...messages: ReturnType<typeof change>[]) => bus.memory.connect().send(topic, messages)

async function marketing(bus: TestBus) {
  return testTeam(
    team('marketing')
      .keeps(Customer, { fields: ['email', 'name'] })
      .keeps(Seat, { fields: ['guest'], table: 'seats' }),
    {
      bus,
      url: (await freshDatabase({ migrated: true })).url,
    },
  )
}

test('a copy has the declared fields, key and version, and nothing else', async () => {
  const bus = testBus()
  await using team = await marketing(bus)
  await send(bus, 'crm.customer', customer('a', 1, { email: null, name: `O'Hara "the \\ one" {x,NULL}`, phone: '0123' }))
  await team.caughtUp()
  expect((await team.db.query('select * from crm_customer')).rows).toEqual([
    { id: 'a', email: null, name: `O'Hara "the \\ one" {x,NULL}`, comity_version: '1' },
  ])
})

test('an older state, and an older state after a deletion, change nothing and are counted as stale', async () => {
  const bus = testBus()
  await using team = await marketing(bus)
  await send(bus, 'crm.customer', customer('a', 5, { email: 'new', name: 'n' }))
  await team.caughtUp()
  await send(bus, 'crm.customer', customer('a', 3, { email: 'old', name: 'o' }))
  await team.caughtUp()
  expect((await team.db.query('select email from crm_customer')).rows).toEqual([{ email: 'new' }])
  await send(bus, 'crm.customer', customer('a', 7, null))
  await team.caughtUp()
  await send(bus, 'crm.customer', customer('a', 6, { email: 'zombie', name: 'z' }))
  await team.caughtUp()
  expect((await team.db.query('select * from crm_customer')).rows).toEqual([])
  await send(bus, 'crm.customer', customer('a', 8, { email: 'back', name: 'b' }), customer('a', 4, null))
  await team.caughtUp()
  expect((await team.db.query('select email from crm_customer')).rows).toEqual([{ email: 'back' }])
  const status = await team.team.status()
  expect(status.subscriptions[0]?.ended).toMatchObject({ applied: 3, stale: 3 })
})

test('the same version with other content is kept as it was, recorded and shown', async () => {
  const bus = testBus()
  await using team = await marketing(bus)
  await send(bus, 'crm.customer', customer('a', 5, { email: 'first', name: 'n' }))
  await team.caughtUp()
  await send(bus, 'crm.customer', { ...customer('a', 5, { email: 'second', name: 'n' }), id: 'crm-other' })
  await team.caughtUp()
  expect((await team.db.query('select email from crm_customer')).rows).toEqual([{ email: 'first' }])
  expect((await team.db.query('select replica, key, version from comity.conflicts')).rows).toEqual([
    { replica: 'marketing.crm-customer', key: 'a', version: '5' },
  ])
  expect((await team.team.status()).problems).toContain('1 versions of public.crm_customer came with two contents')
})

test('a composite key is several columns', async () => {
  const bus = testBus()
  await using team = await marketing(bus)
  await send(
    bus,
    'crm.seat',
    change('crm.seat', '["A\\"",1]', 1, { row: 'A"', number: 1, guest: 'Ann' }),
    change('crm.seat', '["B",2]', 2, { row: 'B', number: 2, guest: null }),
    change('crm.seat', '["A\\"",1]', 3, null),
  )
  await team.caughtUp()
  expect((await team.db.query('select * from seats')).rows).toEqual([{ row: 'B', number: '2', guest: null, comity_version: '2' }])
})

test('a row that the copy can not take waits with its key, and the others go on', async () => {
  const bus = testBus()
  await using team = await marketing(bus)
  await team.db.query('alter table crm_customer add check (length(name) < 10)')
  await send(
    bus,
    'crm.customer',
    customer('a', 1, { email: 'a', name: 'far too long a name' }),
    customer('b', 2, { email: 'b', name: 'short' }),
  )
  expect(await team.caughtUp()).toEqual({ waiting: 1 })
  await send(bus, 'crm.customer', customer('a', 3, { email: 'a', name: 'fits' }))
  expect(await team.caughtUp()).toEqual({ waiting: 2 })
  expect((await team.db.query('select id from crm_customer')).rows).toEqual([{ id: 'b' }])
  await team.db.query('alter table crm_customer drop constraint crm_customer_name_check')
  expect(await team.team.retry('marketing.crm-customer', 'a')).toEqual({ ran: 2, stale: 0 })
  expect((await team.db.query(`select name from crm_customer where id = 'a'`)).rows).toEqual([{ name: 'fits' }])
})

test('whatever the order and the repetition, a copy converges to the newest state of every key', async () => {
  const bus = testBus()
  await using team = await marketing(bus)
  let base = 100
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ key: fc.constantFrom('k1', 'k2', 'k3', 'ключ'), gone: fc.boolean(), again: fc.integer({ min: 1, max: 3 }) }), {
        minLength: 1,
        maxLength: 30,
      }),
      fc.infiniteStream(fc.nat()),
      async (changes, order) => {
        const newest = new Map<string, number | null>()
        const messages = changes.flatMap(({ key, gone, again }) => {
          const version = ++base
          newest.set(key, gone ? null : version)
          return Array.from({ length: again }, () => customer(key, version, gone ? null : { email: `v${version}`, name: 'n' }))
        })
        const shuffled = messages.map((message) => [order.next().value, message] as const).sort((a, b) => a[0] - b[0])
        for (const [, message] of shuffled) await send(bus, 'crm.customer', message)
        await team.caughtUp()
        const { rows } = await team.db.query<{ id: string; email: string }>('select id, email from crm_customer')
        const held = new Map(rows.map((row) => [row.id, row.email]))
        for (const [key, version] of newest) expect(held.get(key)).toBe(version === null ? undefined : `v${version}`)
      },
    ),
    { numRuns: 25 },
  )
})

test('waitFor: the token of another entity is refused, one that never comes times out', async () => {
  const bus = testBus()
  await using team = await marketing(bus)
  const copy = team.team.replica(Customer)
  await expect(copy.waitFor({ topic: 'crm.seat', key: 'a', version: 1 })).rejects.toMatchObject({ code: 'COMITY_FOREIGN_TOKEN' })
  await expect(copy.waitFor({ topic: 'crm.customer', key: 'a', version: 1 }, { timeout: 50 })).rejects.toMatchObject({
    code: 'COMITY_WAIT_TIMED_OUT',
  })
  await send(bus, 'crm.customer', customer('a', 2, null))
  await copy.waitFor({ topic: 'crm.customer', key: 'a', version: 1 })
})

test('a state of another key than its message waits, and can not slip into the rows of its neighbours', async () => {
  const bus = testBus()
  await using team = await marketing(bus)
  const raw = (key: string, version: number, data: string) => ({ ...customer(key, version, { email: 'x', name: 'x' }), data })
  await send(
    bus,
    'crm.customer',
    raw('a', 1, '{"id":"z","email":"of z","name":"z"}'),
    raw('b', 2, '{"id":"b","email":"1","name":"n"},{"id":"c","email":"2","name":"n"}'),
    raw('d', 3, '{"id":"d","email":"of d","name":"d"'),
    raw('e', 4, '7'),
    raw('f', 5, ''),
    customer('ok', 6, { email: 'fine', name: 'n' }),
  )
  expect(await team.caughtUp()).toEqual({ waiting: 5 })
  expect((await team.db.query('select id, email from crm_customer')).rows).toEqual([{ id: 'ok', email: 'fine' }])
}, 60_000)

test('a state that breaks the contract in a field that is kept waits; in one that is not kept, it is nobody’s concern', async () => {
  const bus = testBus()
  await using team = await marketing(bus)
  await send(
    bus,
    'crm.customer',
    change('crm.customer', 'a', 1, { id: 'a' }),
    change('crm.customer', 'b', 2, { id: 'b', email: { x: 1 }, name: 'B' }),
    change('crm.customer', 'c', 3, { id: 'c', email: null, name: 7 }),
    change('crm.customer', 'd', 4, { id: 'd', email: null, name: 'D', phone: 7 }),
    change('crm.customer', 'e', 5, { id: 'e', email: null, name: 'E', added: true }),
  )
  expect(await team.caughtUp()).toEqual({ waiting: 3 })
  expect((await team.db.query('select id from crm_customer order by id')).rows).toEqual([{ id: 'd' }, { id: 'e' }])
  const { rows } = await team.db.query('select key, error_code from comity.waiting order by key')
  expect(rows).toEqual(['a', 'b', 'c'].map((key) => ({ key, error_code: 'COMITY_INVALID_MESSAGE' })))
})

test('of two contents of one version in one batch the first stays, and the second is recorded', async () => {
  const bus = testBus()
  await using team = await marketing(bus)
  await send(bus, 'crm.customer', customer('a', 5, { email: null, name: 'first' }), customer('a', 5, { email: null, name: 'second' }))
  await team.caughtUp()
  expect((await team.db.query('select name from crm_customer')).rows).toEqual([{ name: 'first' }])
  expect((await team.db.query('select key, version::text as version from comity.conflicts')).rows).toEqual([{ key: 'a', version: '5' }])
  const { subscriptions } = await team.team.status()
  expect(subscriptions[0]?.ended).toMatchObject({ applied: 1, discarded: 1 })
})
