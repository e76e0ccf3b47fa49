/** Whatever is older than an erasure brings nothing back, by whichever way it comes: a backfill, a replay, a retry, a broker, a holder that was away. */
import { randomUUID } from 'node:crypto'
import type { Transport } from 'comity'
import { erasureRegister } from 'comity/admin'
import { type TestBus, testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { copyOfDatabase, freshDatabase } from '../../../../test/support/postgres.ts'
import { sayAboutCopy } from '../../src/control/copying-channel.ts'
import { erasuresTopic } from '../../src/control/erasure-topics.ts'
import { ERASURE } from '../../src/erasure/contracts.ts'
import { connect } from '../../src/postgres/index.ts'
import { decorateTransport } from '../../src/transport/decorate-transport.ts'
import type { MemoryTransport } from '../../src/transport/index.ts'
import { act } from '../admin/act.ts'
import { Called, Customer, erase, eraseCustomer, MARKER, newCrm, newMarketing, settled, tablesWith } from './erasing-teams.ts'

const NAMED = `insert into customers values ('c1', 'a1', '${MARKER}@example.com', 'C') on conflict (id) do update set email = excluded.email`

test('a chunk of a backfill that was sent before', { timeout: 60_000 }, async () => {
  const bus = testBus()
  await using crm = await newCrm(bus, { rows: 50 })
  await crm.db.query(NAMED)
  const [chunks, live] = [gate(), gate()]
  const held = receiving(bus, (subscription) =>
    subscription === 'marketing.comity.copy-crm-customer'
      ? chunks.opened
      : subscription === 'marketing.crm-customer'
        ? live.opened
        : undefined,
  )
  await using marketing = await newMarketing(held)
  const sent = async () =>
    (await crm.db.query<{ state: string }>(`select state from comity.backfills where entity = 'crm.customer'`)).rows[0]?.state
  await expect.poll(sent, { timeout: 60_000, interval: 10 }).toMatch(/sent|done/)
  await eraseCustomer(crm)
  chunks.open()
  const state = async () =>
    (await marketing.db.query<{ state: string }>(`select state from comity.asked_backfills where entity = 'crm.customer'`)).rows[0]?.state
  await expect.poll(state, { timeout: 60_000, interval: 10 }).toBe('settling')
  expect((await marketing.db.query('select count(*)::int as n from crm_customer')).rows).toEqual([{ n: 49 }])
  expect(await tablesWith(marketing.db, MARKER)).toEqual([])
  live.open()
  await expect.poll(state, { timeout: 60_000, interval: 10 }).toBe('ready')
  expect(await tablesWith(marketing.db, MARKER)).toEqual([])
  bus.teams.delete(marketing.team as never)
})

test('a replay: handlers hear of the deletion, and of nothing before it; what comes after an erasure is heard', {
  timeout: 60_000,
}, async () => {
  const bus = testBus()
  const heard: { kind: string; version: number }[] = []
  await using crm = await newCrm(bus)
  await using marketing = await newMarketing(bus, { heard: ({ kind, version }) => heard.push({ kind, version }) })
  await settled(crm, marketing)
  await crm.db.query(NAMED)
  await marketing.caughtUp()
  // Nobody erases what is another's.
  const { transport } = crm.team.environment
  const other = { v: 1, id: randomUUID(), topic: 'sales.order', key: 'c1', version: Number.MAX_SAFE_INTEGER, at: new Date().toISOString() }
  await sayAboutCopy({ team: 'crm', transport, topicNamed: (name) => name }, erasuresTopic('crm'), [
    { contract: ERASURE, replica: 'sales.order', data: other },
  ])
  const { version } = await eraseCustomer(crm)
  expect((await marketing.db.query('select topic from comity.erased')).rows).toEqual([{ topic: Customer.name }])
  await crm.db.query(`insert into customers values ('c1', 'a1', 'again@example.com', 'C')`)
  await marketing.caughtUp()
  expect(heard.map(({ kind }) => kind)).toEqual(['created', 'deleted', 'created'])
  heard.length = 0
  for (const subscription of ['marketing.customers-heard', 'marketing.crm-customer'])
    await act(marketing.team as never, 'replay', { subscription, to: 'beginning' })
  await expect.poll(() => heard.length, { timeout: 60_000, interval: 10 }).toBe(2)
  await marketing.caughtUp()
  expect(heard.map(({ kind }) => kind)).toEqual(['deleted', 'created'])
  expect(heard[1]?.version).toBeGreaterThan(version)
  expect((await marketing.db.query('select id, email from crm_customer')).rows).toEqual([{ id: 'c1', email: 'again@example.com' }])
  expect(await tablesWith(marketing.db, MARKER)).toEqual([])
  expect((await marketing.db.query(`select subscription, reason from comity.discarded order by 1`)).rows).toContainEqual({
    ...{ subscription: 'marketing.customers-heard', reason: 'erased' },
  })
})

test('a retry of a line under way: its attempt ends first, and nothing of it is left to be tried', { timeout: 60_000 }, async () => {
  const bus = testBus()
  await using crm = await newCrm(bus)
  let refuses = true
  await using marketing = await newMarketing(bus, { refuses: () => refuses })
  await settled(crm, marketing)
  await crm.db.query(NAMED)
  await crm.db.query(`update customers set name = 'D' where id = 'c1'`)
  await marketing.caughtUp()
  // Whoever works on the line holds its lane: the erasure waits for it.
  const other = connect(marketing.url)
  const working = gate()
  const isHeld = gate()
  const holding = other.transaction(async (tx) => {
    await tx.query(`select from comity.lanes where subscription = 'marketing.customers-heard' for update`)
    isHeld.open()
    await working.opened
  })
  await isHeld.opened
  const erasing = eraseCustomer(crm)
  const waits = async () =>
    (
      await marketing.db.query<{ n: number }>(
        `select count(*)::int as n from pg_stat_activity where wait_event_type = 'Lock' and query like '%comity.lanes l%'`,
      )
    ).rows[0]?.n
  await expect.poll(waits, { timeout: 60_000, interval: 10 }).toBe(1)
  expect((await tablesWith(marketing.db, MARKER)).length).toBeGreaterThan(0)
  working.open()
  await holding
  await other.close()
  expect((await erasing).receipts[0]?.removed).toContainEqual(
    expect.objectContaining({ subscription: 'marketing.customers-heard', messages: 2 }),
  )
  refuses = false
  await marketing.team.retry('marketing.customers-heard', 'c1').catch(() => undefined)
  expect(await marketing.caughtUp()).toEqual({ waiting: 0 })
  expect(await tablesWith(marketing.db, MARKER)).toEqual([])
  const { rows } = await marketing.db.query(
    `select sum(waiting)::int as waiting, sum(discarded)::int as discarded from comity.counts where subscription = 'marketing.customers-heard'`,
  )
  expect(rows).toEqual([{ waiting: 0, discarded: 2 }])
})

test('what failed before the erasure and is recorded after it leaves no word of it', { timeout: 60_000 }, async () => {
  const bus = testBus()
  await using crm = await newCrm(bus)
  const erased = gate()
  const failing = gate()
  let waits = false
  await using marketing = await newMarketing(bus, {
    refuses: () => true,
    async before(text) {
      if (!waits || !text.includes('k.failures + 1')) return
      failing.open()
      await erased.opened
    },
  })
  await settled(crm, marketing)
  await crm.db.query(NAMED)
  await marketing.caughtUp()
  waits = true
  const retrying = marketing.team.retry('marketing.customers-heard', 'c1')
  await failing.opened
  await eraseCustomer(crm)
  erased.open()
  await retrying
  await marketing.caughtUp()
  expect((await marketing.db.query('select reason, failures, error from comity.waiting_keys')).rows).toEqual([
    { reason: 'parked', failures: 0, error: null },
  ])
  expect(await tablesWith(marketing.db, MARKER)).toEqual([])
})

test('a holder that was away removes it, and answers, when it is back', { timeout: 60_000 }, async () => {
  const bus = testBus()
  await using crm = await newCrm(bus)
  let url = ''
  {
    await using marketing = await newMarketing(bus, { refuses: () => true })
    url = marketing.url
    await settled(crm, marketing)
    await crm.db.query(NAMED)
    await marketing.caughtUp()
    expect((await tablesWith(marketing.db, MARKER)).length).toBeGreaterThan(1)
  }
  // This one stays at the broker.
  await crm.db.query(`update customers set name = 'D' where id = 'c1'`)
  await crm.db.query(`delete from customers where id = 'c1'`)
  const { erasure } = await act<{ erasure: string }>(crm.team as never, 'erase', { topic: Customer.name, key: 'c1' })
  const now = async () => (await erasureRegister(crm.team.environment, { id: erasure })).erasures[0]
  await expect.poll(async () => (await now())?.announcedAt, { timeout: 60_000, interval: 10 }).not.toBe(null)
  expect(await now()).toMatchObject({ missing: ['marketing'], receipts: [] })
  await using marketing = await newMarketing(bus, { url })
  await expect.poll(async () => (await now())?.missing, { timeout: 60_000, interval: 10 }).toEqual([])
  await marketing.caughtUp()
  expect(await tablesWith(marketing.db, MARKER)).toEqual([])
  // A receipt that was lost on its way is said again, and the first one stays.
  const first = await now()
  await crm.db.query('delete from comity.erasure_receipts')
  await crm.db.query('update comity.erasures set announced_at = null')
  await expect.poll(async () => (await now())?.receipts.length, { timeout: 60_000, interval: 10 }).toBe(1)
  expect((await now())?.receipts[0]).toMatchObject({ erasedAt: first?.receipts[0]?.erasedAt, removed: first?.receipts[0]?.removed })
})

test('what was not sent yet: a state becomes a deletion, an event is not sent, and holds back nobody', { timeout: 60_000 }, async () => {
  const bus = testBus()
  const heard: { kind: string }[] = []
  await using crm = await newCrm(bus)
  await using marketing = await newMarketing(bus, { heard: ({ kind }) => heard.push({ kind }) })
  await settled(crm, marketing)
  const called = async () =>
    (
      await marketing.db.query<{ n: number }>(
        `select sum(applied)::int as n from comity.counts where subscription = 'marketing.crm-customer-called'`,
      )
    ).rows[0]?.n
  // Nobody relays: as if the broker were away for hours.
  await crm.team.stop()
  await crm.db.query(NAMED)
  await crm.db.query(`delete from customers where id = 'c1'`)
  const bad = `select comity.publish('crm.customer-called', '{"customerId":"c1","said":7,"to":"${MARKER}"}')`
  const good = (said: string) => `select comity.publish('crm.customer-called', '{"customerId":"c1","said":"${said}"}')`
  await crm.db.query(good(MARKER))
  for (const topic of [Customer.name, Called.name]) await act(crm.team as never, 'erase', { topic, key: 'c1' })
  expect(await tablesWith(crm.db, MARKER)).toEqual([])
  // What a relay had read before, it records after it.
  await crm.db.query(
    `insert into comity.withheld (id, topic, key, kind, payload, time, code, reason) values (1, 'crm.customer', 'c1', 'created', '${MARKER}', now(), 'X', 'x')`,
  )
  await using relaying = await newCrm(bus, { url: crm.url })
  await relaying.caughtUp()
  expect(heard.map(({ kind }) => kind)).toEqual(['deleted', 'deleted'])
  await expect.poll(async () => (await relaying.db.query('select from comity.erasures where announced_at is null')).rows.length).toBe(0)
  expect(await tablesWith(relaying.db, MARKER)).toEqual([])
  expect(await called()).toBe(0)
  expect((await relaying.db.query(`select code from comity.withheld where topic = 'crm.customer-called'`)).rows).toEqual([])
  // One that is withheld, with one behind it.
  await relaying.db.query(bad)
  await relaying.db.query(good(MARKER))
  await relaying.caughtUp()
  expect((await relaying.db.query('select code from comity.withheld where resolved_at is null order by id')).rows).toHaveLength(2)
  await erase(relaying, Called.name, 'c1')
  const open = async () => (await relaying.db.query('select code from comity.withheld where resolved_at is null')).rows.length
  await expect.poll(open, { timeout: 60_000, interval: 10 }).toBe(0)
  await relaying.db.query(good('hello'))
  await relaying.caughtUp()
  expect(await called()).toBe(1)
  expect(await tablesWith(relaying.db, MARKER)).toEqual([])
})

test('a row that is created again beside the erasure is not taken for the one that was erased', { timeout: 60_000 }, async () => {
  const bus = testBus()
  await using crm = await newCrm(bus)
  const writer = connect(crm.url)
  const committing = gate()
  const inserted = gate()
  const creating = writer.transaction(async (tx) => {
    await tx.query(NAMED)
    inserted.open()
    await committing.opened
  })
  await inserted.opened
  const args = { topic: Customer.name, key: 'c1' }
  const erasing = act(crm.team as never, 'erase', args).then(
    () => 'erased',
    ({ code }) => code,
  )
  await new Promise((resolve) => setTimeout(resolve, 500)) // it waits, or has long been done
  committing.open()
  await creating
  expect(await erasing).toBe('COMITY_ERASURE_STATE_THERE')
  // The version covers a deletion that came between the draw and the look.
  const { version } = await act<{ version: number }>(crm.team as never, 'erase', { ...args, delete: true })
  const { rows } = await crm.db.query<{ id: string }>(`select max(id)::text as id from comity.outbox where kind = 'deleted'`)
  expect(version).toBe(Number(rows[0]?.id))
  await writer.close()
})

test('holders are told when everything older was sent: then the date until which the broker has it is true', {
  timeout: 60_000,
}, async () => {
  const bus = testBus()
  const sending = gate()
  const held = through(bus, (transport) => ({
    async send(topic, messages, options) {
      if (topic === Customer.name) await sending.opened
      return transport.send(topic, messages, options)
    },
  }))
  await using crm = await newCrm(held)
  await crm.db.query(NAMED)
  await crm.db.query(`delete from customers where id = 'c1'`)
  const { erasure } = await act<{ erasure: string }>(crm.team as never, 'erase', { topic: Customer.name, key: 'c1' })
  const announced = async () => (await erasureRegister(crm.team.environment, { id: erasure })).erasures[0]?.announcedAt
  await new Promise((resolve) => setTimeout(resolve, 1500)) // longer than between two looks
  expect(await announced()).toBe(null)
  sending.open()
  await expect.poll(announced, { timeout: 60_000, interval: 10 }).not.toBe(null)
})

/** The same bus, where deliveries to a subscription wait. */
function receiving(bus: TestBus, hold: (subscription: string) => Promise<void> | undefined): TestBus {
  return through(bus, (transport) => ({
    receive: (subscription, handler, options) =>
      transport.receive(
        subscription,
        async (deliveries) => {
          await hold(subscription)
          return handler(deliveries)
        },
        options,
      ),
  }))
}

/** The same bus through transports of one's own. */
function through(bus: TestBus, change: (transport: Transport) => Partial<Pick<Transport, 'send' | 'receive'>>): TestBus {
  const connected = (): MemoryTransport => {
    const transport = bus.memory.connect()
    return Object.assign(decorateTransport(transport, change(transport)), { crash: () => transport.crash() }) as MemoryTransport
  }
  return { memory: { guarantees: bus.memory.guarantees, connect: connected }, teams: bus.teams }
}

function gate(): { readonly opened: Promise<void>; open(): void } {
  let open: () => void = () => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

test('a holder whose database was put back to before an erasure is told of it again', async () => {
  const bus = testBus()
  const original = (await freshDatabase()).url
  await using crm = await newCrm(bus)
  const refuses = () => true
  {
    await using marketing = await newMarketing(bus, { url: original, refuses })
    await settled(crm, marketing)
    await crm.db.query(`insert into customers values ('c0', 'a1', 'c0@example.com', 'C')`)
    await eraseCustomer(crm, 'c0')
    await crm.db.query(NAMED)
    await marketing.caughtUp()
  }
  const copy = await copyOfDatabase(original)
  let id = ''
  {
    await using marketing = await newMarketing(bus, { url: original, refuses })
    id = (await eraseCustomer(crm)).id
    expect(await tablesWith(marketing.db, MARKER)).toEqual([])
  }
  // No other one hears more of it than that, and it stays said then.
  const told = async () => (await crm.db.query('select id, again, announced_at::text from comity.erasures order by version')).rows
  const before = await told()
  await using marketing = await newMarketing(bus, { url: copy, refuses })
  expect(await tablesWith(marketing.db, MARKER)).not.toEqual([])
  const known = async () => (await marketing.db.query<{ erasure: string }>('select erasure::text from comity.erased order by version')).rows
  await expect.poll(async () => (await known()).map(({ erasure }) => erasure), { timeout: 30_000, interval: 20 }).toContain(id)
  await marketing.caughtUp()
  expect(await tablesWith(marketing.db, MARKER)).toEqual([])
  await expect.poll(told, { timeout: 20_000 }).toEqual(before)
  const lives = async () => (await crm.db.query('select team, life from comity.holder_lives')).rows
  expect(await lives()).toEqual([
    { team: 'marketing', life: (await marketing.db.query<{ life: string }>('select comity.identity() as life')).rows[0]?.life },
  ])
})
