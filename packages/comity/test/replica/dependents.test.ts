/** What a user has made from a copy's table is named before it stands in the way of a change. */
import { randomUUID } from 'node:crypto'
import { entity, type JsonValue } from '@comity/contract'
import { type Queryable, type Team, team } from 'comity'
import { operate } from 'comity/admin'
import { testBus, testTeam } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'

const state = { id: z.string(), name: z.string(), email: z.string(), visits: z.int() }
const Customer = entity('crm.customer', { key: 'id', state: z.object(state) })
const Wider = entity('crm.customer', { key: 'id', state: z.object({ ...state, visits: z.number(), name: z.any() }) })
const replica = 'shop.crm-customer'

const act = async ({ environment, declaration }: Team<Queryable>, kind: string, args: object): Promise<JsonValue> => {
  const request = { id: randomUUID(), kind, arguments: { replica, ...args } as JsonValue, author: 'ann', reason: 'a test' }
  const { outcome, error } = await operate(environment, declaration, { ...request, origin: 'cli' })
  return error === null ? outcome : `${error.code}: ${error.message}`
}

test('a column is widened, added or dropped, and a table dropped, only where nothing is in the way; which is said before', async () => {
  const bus = testBus()
  await using crm = await testTeam(team<Queryable>('crm').owns(Customer), { bus, url: (await freshDatabase({ migrated: true })).url })
  await crm.team.drained()
  const url = (await freshDatabase({ migrated: true })).url
  await using shop = await testTeam(team<Queryable>('shop').keeps(Customer, { fields: ['name', 'visits'] }), { bus, url })
  const { db } = shop
  await shop.team.stop()
  const own = (keeping: (one: Team<Queryable>) => Team<Queryable>): Team<Queryable> =>
    keeping(team<Queryable>('shop', { database: url, transport: bus.memory.connect(), allowUnsafe: true }))
  const wider = own((one) => one.keeps(Wider as never, { fields: ['name', 'visits'] }))
  const types = async () =>
    (
      await db.query(
        `select attname::text as name, format_type(atttypid, atttypmod) as type from pg_attribute where attrelid = 'crm_customer'::regclass and attnum > 1 and not attisdropped order by 1`,
      )
    ).rows
  const before = await types()

  await db.query(`create view visitors as select visits + 1 as visits from crm_customer;
    create materialized view names as select name from crm_customer;
    alter table crm_customer add column twice bigint generated always as (visits * 2) stored;
    create function visits() returns bigint begin atomic select sum(visits)::bigint from crm_customer; end;
    create function noted() returns trigger language plpgsql as 'begin return new; end';
    create trigger noted after update of visits on crm_customer for each row execute function noted();
    create policy few on crm_customer using (visits < 5)`)
  const named = ['the view visitors', 'the materialized view names', 'column twice', 'function visits()', 'trigger noted', 'policy few']
  for (const check of [true, false]) {
    const error = await wider.migrate({ check }).catch((refused: Error & { code: string }) => refused)
    expect(error).toMatchObject({ code: 'COMITY_REPLICA_COLUMNS_HAVE_DEPENDENTS' })
    for (const one of named) expect((error as Error).message).toContain(one)
  }
  // Who only looks whether it may start is told to migrate, as ever.
  await expect(wider.start()).rejects.toMatchObject({ code: 'COMITY_NOT_MIGRATED' })
  const narrower = own((one) => one.keeps(Customer, { fields: ['name'] }))
  const refused = await act(narrower, 'narrow-replica', { columns: ['visits'] })
  expect(refused).toMatch(/^COMITY_REPLICA_COLUMNS_HAVE_DEPENDENTS.*without visits/)
  for (const one of named.filter((other) => !other.includes('names'))) expect(refused).toContain(one)
  const none = own((one) => one)
  expect(await act(none, 'drop-replica', { table: 'drop', messages: 0 })).toMatch(/^COMITY_REPLICA_TABLE_NEEDED.*other objects depend/)
  await db.query(`drop view visitors; drop materialized view names; drop function visits(); drop trigger noted on crm_customer;
    drop policy few on crm_customer; alter table crm_customer drop column twice`)
  expect(await types()).toEqual(before)

  // An index that the new type has no operator for; one that it has stays.
  await db.query('create index by_visits on crm_customer (visits); create index by_name on crm_customer (lower(name))')
  await expect(wider.migrate()).rejects.toMatchObject({
    ...{ code: 'COMITY_REPLICA_COLUMNS_HAVE_DEPENDENTS', message: expect.stringMatching(/name from text to jsonb.*function lower/) },
  })
  expect(await types()).toEqual(before)
  await db.query('drop index by_name; alter table crm_customer add column email int')
  const more = own((one) => one.keeps(Customer, { fields: ['name', 'visits', 'email'] }))
  await expect(more.migrate()).rejects.toMatchObject({ code: 'COMITY_REPLICA_COLUMN_TAKEN' })
  await db.query('alter table crm_customer drop column email')

  expect((await wider.migrate()).applied).toEqual([expect.stringMatching(/^widen /)])
  expect(await types()).toContainEqual({ name: 'visits', type: 'double precision' })
  expect((await db.query(`select indexdef from pg_indexes where indexname = 'by_visits'`)).rows).toHaveLength(1)
  for (const each of [wider, narrower, none, more]) await each.stop()
})
