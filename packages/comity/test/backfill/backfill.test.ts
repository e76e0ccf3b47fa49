/** A team that declares `keeps` gets what its owner has, also what is older than Comity; nobody else gets a message. */
import { randomUUID } from 'node:crypto'
import type { JsonValue } from '@comity/contract'
import { type Queryable, team } from 'comity'
import { listBackfills, operate, planBackfill } from 'comity/admin'
import { type TestBus, type TestTeam, testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import { decorateTransport } from '../../src/transport/decorate-transport.ts'
import { TransportUnavailable } from '../../src/transport/errors.ts'
import { asked, Customer, copied, newCrm, newMarketing, owned, ready, stateOf } from './customers.ts'

async function act(on: TestTeam<Queryable>, kind: string, args: JsonValue = { replica: 'marketing.crm-customer' }): Promise<JsonValue> {
  const { environment, declaration } = on.team
  const record = await operate(environment, declaration, {
    id: randomUUID(),
    kind,
    arguments: args,
    author: 'ann',
    reason: 'a test',
    origin: 'cli',
  })
  return record.error === null ? record.outcome : { error: record.error.code }
}

test('rows that are older than Comity arrive, declared fields only, and nobody else gets a data message', async () => {
  const bus = testBus()
  await using crm = await newCrm(bus, { rows: 9100 })
  const handled: string[] = []
  await using sales = await testTeam(
    team('sales')
      .keeps(Customer, { fields: ['name'] })
      .on(Customer, ({ key }) => void handled.push(key), { name: 'watcher' }),
    { bus, url: (await freshDatabase({ migrated: true })).url },
  )
  await expect.poll(() => stateOf(sales.db), { timeout: 60_000 }).toBe('ready')
  const counts = async () =>
    (
      await sales.db.query(
        'select subscription, sum(applied + stale + duplicate + waiting + discarded)::int as n from comity.counts group by 1 order by 1',
      )
    ).rows
  const [before, applied] = [await counts(), (await asked(sales.db))[0]?.rows]

  await using marketing = await newMarketing(bus)
  await ready(marketing.db)
  expect(await copied(marketing.db)).toEqual(await owned(crm.db))
  expect((await asked(marketing.db))[0]).toMatchObject({ rows: '9100', applied: '9100', refused: '0', withheld: '0', removed: '0' })
  // Of one stretch to the next, all under one another: three draws, no row of the outbox.
  expect((await crm.db.query('select * from comity.outbox')).rows).toEqual([])
  expect([await counts(), (await asked(sales.db))[0]?.rows]).toEqual([before, applied])
  expect(handled).toEqual([])
  expect((await marketing.db.query('select * from crm_customer limit 1')).rows[0]).toEqual({
    ...{
      id: expect.any(String),
      agency_id: expect.any(String),
      email: expect.any(String),
      name: expect.any(String),
      comity_version: expect.any(String),
    },
  })
  expect(await listBackfills(crm.team.environment)).toMatchObject([
    { side: 'owner', replica: 'marketing.crm-customer', with: 'marketing', state: 'done', rows: 9100 },
    { side: 'owner', replica: 'sales.crm-customer', with: 'sales', state: 'done', rows: 9100 },
  ])
  // What is published afterwards is newer.
  await crm.db.query(`update customers set name = 'After' where id = 'c1'`)
  await marketing.caughtUp()
  expect((await marketing.db.query(`select name from crm_customer where id = 'c1'`)).rows).toEqual([{ name: 'After' }])
})

test('states that code publishes come from their heads, deletions do not come back', async () => {
  const bus = testBus()
  await using crm = await testTeam(team('crm').owns(Customer), { bus, url: (await freshDatabase({ migrated: true })).url })
  const publish = (id: string, deleted = false) =>
    crm.db.transaction((tx) => crm.team.publish(tx, Customer, { id, agencyId: 'a1', email: `${id}@example.com`, name: id }, { deleted }))
  for (const id of ['b', 'a', 'c']) await publish(id)
  await publish('c', true)
  await crm.team.drained()
  // What existed before code published it first; what was published stays as it is.
  const state = (id: string, name = id) => ({ id, agencyId: 'a1', email: `${id}@example.com`, name })
  expect(await act(crm, 'seed', { entity: 'crm.customer', states: [state('d'), state('a', 'older'), state('d', 'newest')] })).toEqual({
    ...{ entity: 'crm.customer', states: 3, taken: 1 },
  })
  expect(await act(crm, 'seed', { entity: 'crm.customer', states: [{ ...state('e'), email: 'none' }] })).toEqual({
    error: 'COMITY_SEED_REFUSED',
  })
  expect(await act(crm, 'seed', { entity: 'crm.other', states: [state('e')] })).toEqual({ error: 'COMITY_NOT_SEEDABLE' })
  const sent = (await crm.db.query('select count(*)::int as n from comity.outbox')).rows
  expect(sent).toEqual([{ n: 4 }])
  await using marketing = await newMarketing(bus)
  await ready(marketing.db)
  expect((await copied(marketing.db)).map(({ id, name }) => [id, name])).toEqual([
    ['a', 'a'],
    ['b', 'b'],
    ['d', 'newest'],
  ])
})

test('a state that nothing can read spoils no other', async () => {
  const bus = testBus()
  await using crm = await testTeam(team('crm').owns(Customer), { bus, url: (await freshDatabase({ migrated: true })).url })
  for (const id of ['a', 'b', 'c'])
    await crm.db.transaction((tx) => crm.team.publish(tx, Customer, { id, agencyId: 'a1', email: `${id}@example.com`, name: id }))
  await crm.team.drained()
  const deep = `${'['.repeat(70)}${']'.repeat(70)}`
  await crm.db.query(`update comity.heads set state = replace(state, '}', $1::text) where key = 'b'`, [`,"more":${deep}}`])
  await using marketing = await newMarketing(bus)
  await ready(marketing.db)
  expect((await copied(marketing.db)).map(({ id }) => id)).toEqual(['a', 'c'])
  expect((await marketing.db.query('select key, why from comity.backfill_left')).rows).toEqual([{ key: 'b', why: 'withheld' }])
  expect((await asked(marketing.db))[0]).toMatchObject({ rows: '2', withheld: '1' })
})

test('what breaks its contract is withheld by name, and the older row of the copy stays; what nobody has goes', async () => {
  const bus = testBus()
  await using crm = await newCrm(bus, { rows: 5 })
  await using marketing = await newMarketing(bus)
  await ready(marketing.db)
  await crm.db.query(`update customers set email = 'no address' where id = 'c2'`)
  await crm.team.drained()
  await marketing.db.query(`insert into crm_customer values ('extra', 'a1', 'x@example.com', 'X', 1)`)
  expect(await act(marketing, 'backfill-start')).toMatchObject({ replica: 'marketing.crm-customer' })
  expect(await act(marketing, 'backfill-start')).toEqual({ error: 'COMITY_BACKFILL_OPEN' })
  await ready(marketing.db)
  expect((await asked(marketing.db))[0]).toMatchObject({ rows: '4', withheld: '1', removed: '1' })
  expect((await copied(marketing.db)).map(({ id, email }) => [id, email])).toEqual(
    [1, 2, 3, 4, 5].map((n) => [`c${n}`, `c${n}@example.com`]),
  )
  expect((await marketing.db.query('select key, why from comity.backfill_left')).rows).toEqual([{ key: 'c2', why: 'withheld' }])
})

test('paused and cancelled from both sides; what was applied stays', async () => {
  const bus = testBus()
  await using crm = await newCrm(bus, { rows: 2000, batch: 50, rate: 400 })
  await using marketing = await newMarketing(bus)
  const rows = async () => Number((await asked(marketing.db))[0]?.rows ?? 0)
  const stands = async () => {
    const before = await rows()
    await new Promise((resolve) => setTimeout(resolve, 400))
    return (await rows()) === before
  }
  await expect.poll(rows, { interval: 10 }).toBeGreaterThan(0)
  expect(await act(marketing, 'backfill-pause')).toMatchObject({ side: 'copy' })
  await expect.poll(async () => (await asked(marketing.db))[0]?.owner_state, { timeout: 60_000 }).toBe('paused')
  // What was under way still comes.
  await expect.poll(stands, { timeout: 60_000 }).toBe(true)
  expect((await listBackfills(marketing.team.environment))[0]).toMatchObject({ state: 'filling', paused: true, eta: null })
  // Live changes go on.
  await crm.db.query(`update customers set name = 'Live' where id = 'c1999'`)
  await expect
    .poll(async () => (await marketing.db.query(`select name from crm_customer where id = 'c1999'`)).rows)
    .toEqual([{ name: 'Live' }])
  await act(marketing, 'backfill-resume')
  const paused = await rows()
  await expect.poll(rows, { timeout: 60_000 }).toBeGreaterThan(paused)
  expect((await listBackfills(marketing.team.environment))[0]?.rate).toBeGreaterThan(0)

  expect(await act(crm, 'backfill-pause')).toMatchObject({ side: 'owner' })
  await expect.poll(async () => (await listBackfills(crm.team.environment))[0]?.state).toBe('paused')
  await expect.poll(stands, { timeout: 60_000 }).toBe(true)
  // Who asked can't undo what the owner has decided.
  await act(marketing, 'backfill-pause')
  await act(marketing, 'backfill-resume')
  await new Promise((resolve) => setTimeout(resolve, 1500)) // its wishes have been told
  expect(await stands(), 'paused by the owner').toBe(true)
  await act(crm, 'backfill-resume')
  await act(marketing, 'backfill-cancel')
  await expect.poll(async () => (await listBackfills(crm.team.environment))[0]?.state).toBe('cancelled')
  expect(await stateOf(marketing.db)).toBe('cancelled')
  const left = (await copied(marketing.db)).length
  expect(left).toBeGreaterThan(0)
  expect(await act(marketing, 'backfill-cancel')).toEqual({ error: 'COMITY_BACKFILL_NOT_OPEN' })
  expect(await act(marketing, 'backfill-start')).toMatchObject({ replica: 'marketing.crm-customer' })
})

test('nothing of a paused tenant is brought in beside its pause: the backfill waits, and says for what', async () => {
  const bus = testBus()
  await using crm = await newCrm(bus, { rows: 20, batch: 7 })
  await using marketing = await newMarketing(bus)
  await ready(marketing.db)
  const paused = { subscription: 'marketing.crm-customer', tenant: 'a2' }
  await act(marketing, 'pause', paused)
  await marketing.db.query('truncate crm_customer')
  await act(marketing, 'backfill-start')
  const shown = async () => (await listBackfills(marketing.team.environment))[0]?.reason
  await expect.poll(shown, { timeout: 60_000 }).toBe('the tenant a2 is paused here')
  expect((await marketing.db.query(`select * from crm_customer where agency_id = 'a2'`)).rows).toEqual([])
  await act(marketing, 'resume', paused)
  await ready(marketing.db)
  expect(await copied(marketing.db)).toEqual(await owned(crm.db))
  expect(await shown()).toBe(null)

  // The copy as a whole: the same.
  await act(marketing, 'pause', { subscription: 'marketing.crm-customer' })
  await act(marketing, 'backfill-start')
  await expect.poll(shown, { timeout: 60_000 }).toBe('marketing.crm-customer is paused here')
  await act(marketing, 'resume', { subscription: 'marketing.crm-customer' })
  await ready(marketing.db)
})

test('a place is saved when its stretch was sent, and not before', async () => {
  const bus = testBus()
  const order: string[] = []
  let failing = false
  const transport = bus.memory.connect()
  const noting: TestBus = {
    memory: {
      guarantees: bus.memory.guarantees,
      connect: () =>
        Object.assign(
          decorateTransport(transport, {
            async send(topic, messages, options) {
              const chunk = messages[0]?.attributes['ce-type'] === 'comity.backfill-chunk'
              if (chunk && failing) {
                failing = false
                order.push('not sent')
                throw new TransportUnavailable({ transport: 'memory', reason: 'a test' })
              }
              const results = await transport.send(topic, messages, options)
              if (chunk) order.push(`sent after ${JSON.parse(messages[0]?.data ?? '').follows === 0 ? 'nothing' : 'a saved one'}`)
              return results
            },
          }),
          { crash: () => transport.crash() },
        ) as never,
    },
    teams: bus.teams,
  }
  await using crm = await newCrm(noting, {
    ...{ rows: 20, batch: 10 },
    before(text) {
      if (text.includes('update comity.backfills set place')) order.push('saved')
    },
  })
  failing = true
  await using marketing = await newMarketing(bus)
  await ready(marketing.db)
  expect(order.slice(0, 3)).toEqual(['not sent', 'sent after nothing', 'saved'])
  expect(order.slice(1).filter((_, i) => i % 2 === 1)).toEqual(
    order
      .slice(1)
      .filter((_, i) => i % 2 === 1)
      .map(() => 'saved'),
  )
  expect(await copied(marketing.db)).toEqual(await owned(crm.db))
})

test("the owner's rate holds whatever is asked for, while it runs", async () => {
  const bus = testBus()
  await using crm = await newCrm(bus, { rows: 1400, rate: 700 })
  await using marketing = await newMarketing(bus)
  const began = performance.now()
  await ready(marketing.db)
  // A second's worth at once, the other one as it may.
  expect(performance.now() - began).toBeGreaterThan(900)
  expect(await copied(marketing.db)).toEqual(await owned(crm.db))
})

test('a field that is added is filled in that copy alone', async () => {
  const bus = testBus()
  await using crm = await newCrm(bus, { rows: 300 })
  const url = (await freshDatabase({ migrated: true })).url
  await using sales = await testTeam(team('sales').keeps(Customer, { fields: ['name'] }), {
    bus,
    url: (await freshDatabase({ migrated: true })).url,
  })
  {
    await using marketing = await newMarketing(bus, { url, fields: ['name'] })
    await ready(marketing.db)
  }
  await expect.poll(() => stateOf(sales.db), { timeout: 60_000 }).toBe('ready')
  await using marketing = await newMarketing(bus, { url, fields: ['name', 'email'] })
  await expect.poll(async () => (await asked(marketing.db)).map(({ state }) => state), { timeout: 60_000 }).toEqual(['ready', 'ready'])
  expect(await copied(marketing.db)).toEqual(await owned(crm.db))
  expect(await asked(sales.db)).toHaveLength(1)
})

test('a plan shows rows as the copy would get them; what was not granted is refused by its owner', async () => {
  const bus = testBus()
  await using crm = await newCrm(bus, { rows: 30 })
  const marketing = team('marketing').keeps(Customer, { fields: ['name'] }).declaration
  const plan = await planBackfill({ declaration: marketing, replica: 'marketing.crm-customer' }, crm.team.environment)
  expect(plan).toMatchObject({ estimate: 30, owner: 'crm', fields: ['name'] })
  expect(plan.rows).toHaveLength(10)
  expect(plan.rows[0]).toEqual({ id: 'c1', agencyId: 'a1', name: 'C1' })
  const some = team('marketing').keeps(Customer, { fields: ['name'], where: { email: ['c5@example.com', 'c7@example.com'] } }).declaration
  const planned = await planBackfill({ declaration: some, replica: 'marketing.crm-customer' }, crm.team.environment)
  expect(planned.rows).toEqual([5, 7].map((n) => ({ id: `c${n}`, agencyId: `a${n % 3}`, name: `C${n}` })))
})
