/** What a start refuses, with the command that mends it; and what `comity migrate` refuses to change in place. */
import { entity, event, request } from '@comity/contract'
import { memoryBus, type Team, type TeamOptions, team } from 'comity'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { verify } from '../../src/admin/verify.ts'
import { connect, type PostgresDatabase, type Queryable } from '../../src/postgres/index.ts'

const text = z.object({ id: z.string(), name: z.string() })
const Customer = entity('crm.customer', { key: 'id', state: text })
const Sent = event('mail.sent', { key: 'id', data: text })

let db: PostgresDatabase
let url: string
beforeEach(async () => {
  url = (await freshDatabase()).url
  db = connect(url)
  await db.query('create table customers (id text primary key, name text not null)')
})
afterEach(() => db.close())

const options = (more: TeamOptions<Queryable> = {}): TeamOptions<Queryable> => ({
  database: url,
  transport: memoryBus().connect(),
  allowUnsafe: true,
  autoMigrate: false,
  ...more,
})
const crm = (more: TeamOptions<Queryable> = {}): Team<Queryable> => team('crm', options(more)).owns(Customer, { table: 'customers' })
const mail = (more: TeamOptions<Queryable> = {}): Team<Queryable> =>
  team('mail', options(more))
    .keeps(Customer, { fields: ['name'] })
    .publishes(Sent)

async function migrated(one: Team<Queryable>): Promise<Team<Queryable>> {
  await one.migrate()
  await one.provision()
  return one
}

async function refusal(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  return work.then(
    () => ({ code: 'none', message: '' }),
    (error: { code: string; message: string }) => error,
  )
}

describe('a start is refused', () => {
  test.each<[string, (one: Team<Queryable>) => Promise<unknown>, string, RegExp]>([
    ['before anything was migrated', () => db.query('drop schema if exists comity cascade'), 'COMITY_NOT_MIGRATED', /comity migrate/],
    [
      'when a migration is missing',
      () => db.query(`delete from comity.migrations where name like '0006%'`),
      'COMITY_NOT_MIGRATED',
      /apply 0006-capture/,
    ],
    [
      'when a newer major has migrated',
      () => db.query('update comity.migrations set major = 9'),
      'COMITY_SCHEMA_IS_NEWER',
      /major version 9/,
    ],
    [
      'when the contract is not registered',
      () => db.query('delete from comity.contracts'),
      'COMITY_NOT_MIGRATED',
      /register the contract crm.customer/,
    ],
    [
      'when an owned table is not captured',
      () => db.query('delete from comity.captures'),
      'COMITY_NOT_MIGRATED',
      /capture customers as crm.customer/,
    ],
    [
      'when its capture was released',
      () => db.query(`select comity.release_capture('crm.customer')::text as done`),
      'COMITY_CAPTURE_BROKEN',
      /released/,
    ],
    [
      'when a trigger is off',
      () => db.query('alter table customers disable trigger "zz_comity crm.customer insert"'),
      'COMITY_CAPTURE_BROKEN',
      /ENABLE ALWAYS/,
    ],
    ['when the versions are cached', () => db.query('alter sequence comity.outbox_id cache 20'), 'COMITY_VERSIONS_CACHED', /cache 1/],
    [
      'in the database of another team',
      () => db.query(`update comity.database set team = 'other'`),
      'COMITY_OTHER_TEAMS_DATABASE',
      /belongs to team other/,
    ],
    [
      'under another namespace',
      () => db.query(`update comity.database set namespace = 'production'`),
      'COMITY_OTHER_NAMESPACE',
      /migrated under the namespace "production"/,
    ],
  ])('%s', async (_, spoil, code, words) => {
    const one = await migrated(crm())
    await spoil(one)
    expect(await refusal(one.start())).toMatchObject({ code, message: expect.stringMatching(words) })
    await one.stop()
  })

  test('on a server that may lose what it has committed', async () => {
    const one = await migrated(crm({ allowUnsafe: false }))
    expect(await refusal(one.start())).toMatchObject({ code: 'COMITY_UNSAFE_DATABASE', message: expect.stringMatching(/fsync = off/) })
    await one.stop()
  })

  test('when code declares what the database does not have yet', async () => {
    const one = await migrated(crm())
    const next = crm().publishes(event('crm.called', { key: 'id', data: text }))
    expect(await refusal(next.start())).toMatchObject({ code: 'COMITY_NOT_MIGRATED', message: expect.stringMatching(/crm.called/) })
    await Promise.all([one.stop(), next.stop()])
  })
})

describe('comity migrate refuses', () => {
  test('another kind, key or tenant under the same name', async () => {
    const one = await migrated(crm())
    const keyed = team('crm', options()).owns(entity('crm.customer', { key: 'name', state: text }))
    expect(await refusal(keyed.migrate())).toMatchObject({
      code: 'COMITY_CONTRACT_IDENTITY_CHANGED',
      message: expect.stringMatching(/key id .* key name/),
    })
    const asEvent = team('crm', options()).publishes(event('crm.customer', { key: 'id', data: text }))
    expect(await refusal(asEvent.migrate())).toMatchObject({ code: 'COMITY_CONTRACT_IDENTITY_CHANGED' })
    const tenanted = team('crm', options()).owns(entity('crm.customer', { key: 'id', tenant: 'name', state: text }), { table: 'customers' })
    expect(await refusal(tenanted.migrate())).toMatchObject({ code: 'COMITY_CONTRACT_IDENTITY_CHANGED' })
    await Promise.all([one, keyed, asEvent, tenanted].map((each) => each.stop()))
  })

  test('a second source of an entity, until the first is given up', async () => {
    const captured = await migrated(crm())
    const published = team('crm', options()).owns(Customer)
    expect(await refusal(published.migrate())).toMatchObject({
      code: 'COMITY_ENTITY_HAS_SOURCE',
      message: expect.stringMatching(/comity release crm.customer/),
    })
    await db.query(`select comity.release_capture('crm.customer')::text as done`)
    await published.migrate()
    await published.start()
    await db.transaction((tx) => published.publish(tx, Customer, { id: 'a', name: 'A' }))
    await db.query(`insert into customers values ('b', 'B')`)
    expect((await db.query('select key from comity.outbox')).rows).toEqual([{ key: 'a' }])
    await published.stop()
    const again = crm()
    expect(await refusal(again.migrate())).toMatchObject({
      code: 'COMITY_ENTITY_HAS_SOURCE',
      message: expect.stringMatching(/delete from comity.heads/),
    })
    await Promise.all([captured.stop(), again.stop()])
  })

  test.each<[string, (one: Team<Queryable>) => Team<Queryable>, RegExp]>([
    [
      'another table',
      (one) => one.keeps(Customer, { fields: ['name'], table: 'people' }),
      /its table is public.crm_customer, not public.people/,
    ],
    [
      'another column of its key',
      (one) => one.keeps(Customer, { fields: ['name'], columns: { id: 'number' } }),
      /id, of its key, is in the column id, not number/,
    ],
    [
      'another field in a column',
      (one) =>
        one.keeps(entity('crm.customer', { key: 'id', state: z.object({ id: z.string(), title: z.string() }) }), {
          ...{ fields: ['title'], columns: { title: 'name' } },
        }),
      /the column name holds name, not title/,
    ],
    [
      'another type',
      (one) => one.keeps(entity('crm.customer', { key: 'id', state: z.object({ id: z.string(), name: z.int() }) }), { fields: ['name'] }),
      /name is text, not bigint/,
    ],
  ])('a replica with %s', async (_, declare, words) => {
    const one = await migrated(mail())
    const other = declare(team('mail', options()))
    expect(await refusal(other.migrate())).toMatchObject({ code: 'COMITY_REPLICA_CHANGED', message: expect.stringMatching(words) })
    await Promise.all([one.stop(), other.stop()])
  })

  test('a replica whose table is somebody else’s, or whose fields meet in one column', async () => {
    const taken = team('mail', options()).keeps(Customer, { fields: ['name'], table: 'customers' })
    expect(await refusal(taken.migrate())).toMatchObject({ code: 'COMITY_REPLICA_TABLE_TAKEN' })
    const meeting = team('mail', options()).keeps(Customer, { fields: ['name'], columns: { name: 'id' } })
    expect(await refusal(meeting.migrate())).toMatchObject({ code: 'COMITY_REPLICA_COLUMNS_COLLIDE' })
    for (const name of ['comity_version', 'xmin']) {
      const reserved = team('mail', options()).keeps(Customer, { fields: ['name'], columns: { name } })
      expect(await refusal(reserved.migrate())).toMatchObject({ code: 'COMITY_REPLICA_COLUMNS_COLLIDE' })
      await reserved.stop()
    }
    await Promise.all([taken.stop(), meeting.stop()])
  })
})

test('a replica that another process makes between two looks of a migration is left to it', async () => {
  const inner = connect(url)
  let others = 0
  const one = mail({
    database: {
      ...inner,
      async query<Row>(text: string, values?: readonly unknown[]) {
        const answer = await inner.query<Row>(text, values)
        if (text.includes('from comity.replicas') && others++ === 0) {
          const other = mail()
          await other.migrate()
          await other.stop()
        }
        return answer
      },
    },
  })
  const { applied } = await one.migrate()
  expect(others).toBeGreaterThan(0)
  expect(applied.filter((step) => step.startsWith('create the replica'))).toEqual([])
  await Promise.all([one.stop(), inner.close()])
})

test('a copy that is restored on a read replica is refused by its state of recovery', async () => {
  // The server says it of itself; here a view in front of the catalogue's function does.
  await migrated(crm())
  await db.query('create schema pretending')
  await db.query('create function pretending.pg_is_in_recovery() returns boolean language sql return true')
  const one = crm({ database: `${url}?options=${encodeURIComponent('-c search_path=pretending,pg_catalog,public')}` })
  expect(await refusal(one.start())).toMatchObject({ code: 'COMITY_READ_REPLICA' })
  await one.stop()
})

describe('a start of code that nobody has migrated for is refused', () => {
  const moved = async (one: Team<Queryable>): Promise<void> => {
    expect(await refusal(verify(one.declaration, one.environment))).toMatchObject({
      code: 'COMITY_NOT_MIGRATED',
      message: expect.stringMatching(/capture \S+ as crm.customer/),
    })
    await one.stop()
  }

  test('when it owns another table', async () => {
    const one = await migrated(crm())
    await db.query('create table customers2 (id text primary key, name text not null)')
    await moved(team('crm', options()).owns(Customer, { table: 'customers2' }))
    // One that was renamed is the same table still.
    await db.query('alter table customers rename to clients')
    expect(await refusal(verify(one.declaration, one.environment))).toMatchObject({ code: 'none' })
    await one.stop()
  })

  test('when it owns another table of a schema that its role may not use; and the one that is captured there is none of its business', async () => {
    const role = `limited_${new URL(url).pathname.slice(1)}`
    for (const statement of [
      'create schema sales',
      'create table sales.clients (id text primary key, name text not null)',
      'create table sales.others (id text primary key, name text not null)',
    ])
      await db.query(statement)
    const one = await migrated(team('crm', options()).owns(Customer, { table: 'sales.clients' }))
    for (const statement of [
      `create role ${role}`,
      `grant usage on schema comity, comity_public to ${role}`,
      `grant select on all tables in schema comity to ${role}`,
      `grant select on all sequences in schema comity to ${role}`,
      `grant execute on all functions in schema comity to ${role}`,
    ])
      await db.query(statement)
    const limited = { ...options(), database: `${url}?options=${encodeURIComponent(`-c role=${role}`)}` }
    const same = team('crm', limited).owns(Customer, { table: 'sales.clients' })
    expect(await refusal(verify(same.declaration, same.environment))).toMatchObject({ code: 'none' })
    await moved(team('crm', limited).owns(Customer, { table: 'sales.others' }))
    await Promise.all([one.stop(), same.stop()])
  })

  test('when it reads a field from its own column again', async () => {
    await db.query(`alter table customers add column title text not null default ''`)
    const one = await migrated(team('crm', options()).owns(Customer, { table: 'customers', columns: { name: 'title' } }))
    await moved(crm())
    await one.stop()
  })
})

describe('in a rolling deploy a process of the earlier code may restart', () => {
  const Called = entity('crm.customer', { key: 'id', state: z.object({ id: z.string(), title: z.string() }) })
  const Order = entity('shop.order', { key: 'id', state: text })
  const Change = (field: string) =>
    request('shop.change-order', { entity: Order, key: 'id', data: z.object({ id: z.string(), [field]: z.string() }), rejects: {} })
  const before = () => crm().asks(Change('note'))
  const after = () =>
    team('crm', options())
      .owns(Called, { table: 'customers', columns: { title: 'name' } })
      .asks(Change('remark'))
  const pending = (one: Team<Queryable>) => refusal(verify(one.declaration, one.environment))

  test('of an entity that is captured otherwise since, and of a request that is another one since', async () => {
    const [earlier, newer] = [await migrated(before()), after()]
    expect(await pending(newer)).toMatchObject({
      code: 'COMITY_NOT_MIGRATED',
      message: expect.stringMatching(/register the contract crm.customer .*; register the request shop.change-order/),
    })
    await newer.migrate()
    for (const one of [newer, earlier]) expect(await pending(one)).toMatchObject({ code: 'none' })
    // And back, and on again.
    await earlier.migrate()
    for (const one of [newer, earlier]) expect(await pending(one)).toMatchObject({ code: 'none' })
    await Promise.all([earlier.stop(), newer.stop()])
  })

  test('not of a capture that is gone', async () => {
    const [earlier, newer] = [await migrated(before()), after()]
    await newer.migrate()
    await db.query('delete from comity.captures')
    expect(await pending(earlier)).toMatchObject({
      code: 'COMITY_NOT_MIGRATED',
      message: expect.stringMatching(/capture customers as crm.customer/),
    })
    await Promise.all([earlier.stop(), newer.stop()])
  })
})
