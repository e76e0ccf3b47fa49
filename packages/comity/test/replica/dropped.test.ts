/** What nobody declares any more is left until somebody says what is to become of it. */
import { randomUUID } from 'node:crypto'
import { entity, type JsonValue } from '@comity/contract'
import { type Queryable, type Team, team } from 'comity'
import { listOperations, operate } from 'comity/admin'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import { ASKED, type Asked } from '../../src/backfill/contracts.ts'
import { sayAboutCopy } from '../../src/control/copying-channel.ts'
import { asked, newCrm, newMarketing } from '../backfill/customers.ts'

const Customer = entity('crm.customer', { key: 'id', state: z.object({ id: z.string(), email: z.string(), name: z.string() }) })

const act = async ({ environment, declaration }: Team<Queryable>, kind: string, args: JsonValue): Promise<JsonValue> => {
  const request = { id: randomUUID(), kind, arguments: args, author: 'ann', reason: 'a test' }
  const { outcome, error } = await operate(environment, declaration, { ...request, origin: 'cli' })
  return error === null ? outcome : (error.code as string)
}

test('columns and copies go by an explicit act only, which is recorded; a table stays where that is chosen', async () => {
  const bus = testBus()
  await using crm = await testTeam(team<Queryable>('crm').owns(Customer, { table: 'customers' }), {
    ...{ bus, url: (await freshDatabase({ migrated: true })).url },
    async setup(db) {
      await db.query('create table customers (id text primary key, email text not null, name text not null)')
      await db.query(`insert into customers select 'c' || i, 'e' || i, 'n' || i from generate_series(1, 5) i`)
    },
  })
  const url = (await freshDatabase({ migrated: true })).url
  await using before = await testTeam(
    team<Queryable>('shop')
      .keeps(Customer, { fields: ['name', 'email'] })
      .keeps(Customer, { name: 'kept', table: 'kept', fields: ['name'] })
      .keeps(Customer, { name: 'gone', table: 'gone', fields: ['name'] }),
    { bus, url },
  )
  const { db } = before
  const open = `select state from comity.asked_backfills where state <> 'ready'`
  await expect.poll(async () => (await db.query(open)).rows, { timeout: 60_000 }).toEqual([])
  await crm.db.query(`delete from customers where id = 'c5'`)
  await crm.team.drained()
  await before.caughtUp()
  expect(await act(before.team, 'drop-replica', { replica: 'shop.gone', table: 'drop', messages: 0 })).toBe('COMITY_REPLICA_DECLARED')
  await before.team.stop()

  const now = team<Queryable>('shop', { database: url, transport: bus.memory.connect(), allowUnsafe: true })
  now.keeps(Customer, { fields: ['name'] })
  expect(await now.migrate()).toEqual({
    ...{ applied: [], pending: [], sql: '' },
    notes: [
      'nothing declares email of public.crm_customer any more: kept, and kept true; "comity replica narrow shop.crm-customer" drops it',
      expect.stringMatching(/no code keeps shop.gone any more: its table public.gone .* "comity replica drop shop.gone"/),
      expect.stringMatching(/no code keeps shop.kept any more/),
    ],
  })
  await now.start()
  const narrow = (columns: readonly string[]) => act(now, 'narrow-replica', { replica: 'shop.crm-customer', columns })
  expect(await narrow(['name'])).toBe('COMITY_REPLICA_COLUMN_DECLARED')
  expect(await narrow(['id'])).toBe('COMITY_REPLICA_COLUMN_DECLARED')
  expect(await narrow(['email'])).toEqual({ replica: 'shop.crm-customer', columns: ['email'] })
  await crm.db.query(`update customers set name = 'after' where id = 'c1'`)
  await crm.team.drained()
  await now.caughtUp()
  expect((await db.query(`select * from crm_customer where id = 'c1'`)).rows).toEqual([
    { id: 'c1', name: 'after', comity_version: expect.any(String) },
  ])

  expect(await act(now, 'drop-replica', { replica: 'shop.none', table: 'keep', messages: 0 })).toBe('COMITY_REPLICA_UNKNOWN')
  expect(await act(now, 'drop-replica', { replica: 'shop.kept', table: 'keep', messages: 3 })).toBe('COMITY_COUNT_DIFFERS')
  const args = { messages: 0 }
  expect(await act(now, 'drop-replica', { replica: 'shop.kept', table: 'keep', ...args })).toMatchObject({ kept: true })
  expect(await act(now, 'drop-replica', { replica: 'shop.gone', table: 'drop', ...args })).toMatchObject({ kept: false })
  expect((await db.query(`select to_regclass('gone')::text as gone, (select count(*)::int from kept) as kept`)).rows).toEqual([
    { gone: null, kept: 4 },
  ])
  const left = (
    await db.query<{ text: string }>(
      `select (select json_agg(distinct replica) from comity.tombstones)::text || (select json_agg(distinct replica) from comity.asked_backfills)::text
       || (select json_agg(name) from comity.subscriptions)::text || (select json_agg(distinct subscription) from comity.marks)::text as text`,
    )
  ).rows[0]?.text
  expect(left).not.toMatch(/kept|gone/)
  const stats = bus.memory.connect().stats as (names: readonly string[]) => Promise<unknown>
  for (const name of ['shop.kept', 'shop.comity.copy-kept']) await expect(stats([name]), name).rejects.toThrow(name)
  expect((await listOperations(now.environment, { kind: 'drop-replica' })).filter(({ error }) => error === null)).toHaveLength(2)
  expect(await now.migrate()).toMatchObject({ notes: [] })
  await now.stop()
})

test('a copy that is dropped while it is filled: its owner is told, and stops; what asked for it and comes late begins nothing', async () => {
  const bus = testBus()
  await using crm = await newCrm(bus, { rows: 2000, batch: 50, rate: 200 })
  const url = (await freshDatabase()).url
  const replica = 'marketing.crm-customer'
  let id = ''
  {
    await using marketing = await newMarketing(bus, { url })
    await expect.poll(async () => Number((await asked(marketing.db))[0]?.rows), { timeout: 20_000, interval: 10 }).toBeGreaterThan(0)
    id = (await asked(marketing.db))[0]?.id as string
  }
  const state = async (of: string) =>
    (await crm.db.query<{ state: string }>('select state from comity.backfills where id = $1::text::uuid', [of])).rows[0]?.state
  expect(await state(id)).toBe('running')
  const transport = bus.memory.connect()
  const now = team<Queryable>('marketing', { database: url, transport, allowUnsafe: true })
  expect(await act(now, 'drop-replica', { replica, table: 'drop', messages: 0 })).toMatchObject({ kept: false })
  await expect.poll(() => state(id), { timeout: 20_000 }).toBe('cancelled')

  const say = (data: Omit<Asked, 'v' | 'entity' | 'fields'>) =>
    sayAboutCopy({ team: 'marketing', transport, topicNamed: (name) => name }, 'comity.crm.copying', [
      { contract: ASKED, replica, data: { v: 1, entity: 'crm.customer', fields: ['email'], ...data } },
    ])
  const unheard = randomUUID()
  await say({ id, want: 'run' })
  await say({ id: unheard, want: 'cancel' })
  await say({ id: unheard, want: 'run' })
  const last = randomUUID()
  await say({ id: last, want: 'run' })
  await expect.poll(() => state(last), { timeout: 20_000 }).toMatch(/waiting|running/)
  expect([await state(id), await state(unheard)]).toEqual(['cancelled', 'cancelled'])
  await now.stop()
})
