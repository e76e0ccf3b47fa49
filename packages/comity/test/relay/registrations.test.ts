/**
 * What was registered last counts, whichever process relays: in a rolling deploy an older one goes by it from the first row that may be of it.
 * And rows that are read again, by the next one that leads, do not change what the ledger says of them without a reason.
 */
import { entity, event, fromAttributes } from '@comity/contract'
import { type Queryable, type Team, team } from 'comity'
import { testBus } from 'comity/testing'
import { unmarkedTransport } from 'comity/transport'
import pg from 'pg'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { until } from '../../../../test/chaos/until.ts'
import { freshDatabase } from '../../../../test/support/postgres.ts'

const id = z.string()
const state = z.object({ id, email: z.string(), phone: z.string() })
const Open = entity('crm.customer', { key: 'id', state, audiences: { marketing: ['email', 'phone'] } })
const Closed = entity('crm.customer', { key: 'id', state, audiences: { marketing: ['email'] } })
const Named = entity('crm.customer', { key: 'id', state: z.object({ id, name: z.string() }) })
const Renamed = entity('crm.customer', { key: 'id', state: z.object({ id, fullName: z.string() }) })
const Strict = event('crm.noted', { key: 'id', ordered: true, data: z.object({ id, n: z.int().max(9) }) })
const StrictThing = entity('crm.thing', { key: 'id', state: z.object({ id, n: z.int().max(9) }) })
const LooseThing = entity('crm.thing', { key: 'id', state: z.object({ id, n: z.int() }) })

/** CRM's database, and what comes of it on a topic. */
async function crmWith(topic: string) {
  const bus = testBus()
  const { url } = await freshDatabase({ migrated: true })
  const database = new pg.Pool({ connectionString: url, max: 4 })
  const listening = new AbortController()
  const listener = unmarkedTransport(bus.memory.connect())
  await listener.provision({ topics: [{ name: topic, team: 'crm' }], subscriptions: [{ name: 'listener', team: 'listener', topic }] })
  const sent: unknown[] = []
  const received = listener.receive(
    'listener',
    async (deliveries) => {
      for (const { message } of deliveries) sent.push([fromAttributes(message.attributes).subject, JSON.parse(message.data)])
      return deliveries.map(() => 'ack' as const)
    },
    { signal: listening.signal },
  )
  const row = async (sql: string) => (await database.query(sql)).rows[0]
  const started: Team<Queryable>[] = []
  return {
    database,
    sent,
    crm: (): Team<Queryable> => team('crm').with<Queryable>({ database: url, transport: bus.memory.connect(), allowUnsafe: true }),
    async deploy(one: Team<Queryable>): Promise<Team<Queryable>> {
      await one.migrate()
      await one.provision()
      await one.start()
      started.push(one)
      return one
    },
    leader: async (): Promise<string> => (await row(`select holder from comity.leases where name = 'relay'`)).holder,
    arrived: (count: number) => until(`${count} messages are there`, async () => sent.length >= count, 30_000),
    ledger: async () =>
      (await database.query('select w.key, w.code, w.follows is not null as follows, w.resolution from comity.withheld w order by w.id'))
        .rows,
    async close(): Promise<void> {
      for (const one of started.reverse()) await one.stop()
      listening.abort()
      await received.catch(() => undefined)
      await database.end()
    },
  }
}

test('a field is renamed: the process that leads has the old contract, and withholds nothing that is of the new one', async () => {
  const { database, sent, crm, deploy, leader, arrived, ledger, close } = await crmWith('crm.customer')
  await database.query('create table customers (id text primary key, name text, full_name text)')
  await deploy(crm().owns(Named, { table: 'customers' }))
  await database.query(`insert into customers values ('a', 'Ann', 'Ann')`)
  await arrived(1)
  const leading = await leader()

  await crm().owns(Renamed, { table: 'customers' }).migrate()
  await database.query(`update customers set full_name = 'Anna'`)
  await arrived(2)
  expect(sent).toEqual([
    ['a', { id: 'a', name: 'Ann' }],
    ['a', { id: 'a', fullName: 'Anna' }],
  ])
  expect(await ledger()).toEqual([])
  expect(await leader()).toBe(leading)
  await close()
})

test('a grant is taken back: the process that leads has granted it, and sends it no more', async () => {
  const { database, sent, crm, deploy, leader, arrived, close } = await crmWith('crm.customer.marketing')
  await database.query('create table customers (id text primary key, email text not null, phone text not null)')
  await deploy(crm().owns(Open, { table: 'customers' }))
  await database.query(`insert into customers values ('a', 'a@example.org', '1')`)
  await arrived(1)
  const leading = await leader()

  await crm().owns(Closed, { table: 'customers' }).migrate()
  await database.query(`update customers set email = 'ann@example.org', phone = '2'`)
  await arrived(2)
  expect(sent).toEqual([
    ['a', { id: 'a', email: 'a@example.org', phone: '1' }],
    ['a', { id: 'a', email: 'ann@example.org' }],
  ])
  expect(await leader()).toBe(leading)
  await close()
})

/** As long as it is open the checkpoint stays below its version, and who leads next reads everything above it again. */
async function holdCheckpoint(database: pg.Pool): Promise<() => Promise<void>> {
  const client = await database.connect()
  await client.query('begin')
  await client.query(`insert into comity.outbox (topic, key, kind, payload) values ('crm.none', 'x', 'event', '{}')`)
  return async () => {
    await client.query('rollback')
    client.release()
  }
}

test('an event that is withheld, and read again by the next that leads, keeps its reason; what went before it is not held up', async () => {
  const { database, crm, deploy, leader, arrived, ledger, close } = await crmWith('crm.noted')
  const first = await deploy(crm().publishes(Strict))
  const release = await holdCheckpoint(database)
  const publish = (n: number) => database.query(`select comity.publish('crm.noted', $1::text)::text`, [JSON.stringify({ id: 'a', n })])
  for (const n of [1, 10, 2]) await publish(n)
  const expected = [
    { key: 'a', code: 'COMITY_INVALID_DATA', follows: false, resolution: null },
    { key: 'a', code: 'COMITY_FOLLOWS_WITHHELD', follows: true, resolution: null },
  ]
  await until('both are withheld', async () => (await ledger()).length === 2, 30_000)
  expect(await ledger()).toEqual(expected)

  const former = await leader()
  await first.stop()
  await deploy(crm().publishes(Strict))
  await until('the next one leads', async () => ![null, former].includes(await leader()), 30_000)
  // The first of them again.
  await arrived(2)
  await publish(3)
  await until('it is withheld, too', async () => (await ledger()).length === 3, 30_000)
  expect(await ledger()).toEqual([...expected, expected[1]])
  await release()
  await close()
})

test('a state that is withheld, and read again when its contract takes it, is sent, and the ledger says so', async () => {
  const { database, sent, crm, deploy, arrived, ledger, close } = await crmWith('crm.thing')
  await database.query('create table things (id text primary key, n int not null)')
  const first = await deploy(crm().owns(StrictThing, { table: 'things' }))
  const release = await holdCheckpoint(database)
  await database.query(`insert into things values ('a', 10), ('b', 11)`)
  await until('both are withheld', async () => (await ledger()).length === 2, 30_000)
  await first.stop()

  await deploy(crm().owns(LooseThing, { table: 'things' }))
  await arrived(2)
  expect(sent).toEqual([
    ['a', { id: 'a', n: 10 }],
    ['b', { id: 'b', n: 11 }],
  ])
  const resolved = { code: 'COMITY_INVALID_DATA', follows: false, resolution: 'sent' }
  await until('the ledger says so', async () => (await ledger()).every(({ resolution }) => resolution !== null), 30_000)
  expect(await ledger()).toEqual([
    { key: 'a', ...resolved },
    { key: 'b', ...resolved },
  ])
  await release()
  await close()
})
