import { afterEach, beforeEach, expect, it } from 'vitest'
import { onNewestPostgres } from '../../../../../test/support/postgres.ts'
import {
  type CapturePlan,
  captureFingerprint,
  captureProblems,
  captureSql,
  dropCaptureSql,
  inspectTable,
  planCapture,
  releaseSql,
  runWithLockTimeout,
} from '../../../src/outbox/capture/index.ts'
import { type CapturedDatabase, capturedDatabase, integer, nullable, number, plainEntity, string } from './captured-database.ts'

const Customer = plainEntity('id', { id: integer, email: string, phone: nullable(string) })

onNewestPostgres('changes of a captured table', (server) => {
  let crm: CapturedDatabase
  let plan: CapturePlan
  beforeEach(async () => {
    crm = await capturedDatabase(server)
    await crm.run(
      'create table customers (gone int, id int primary key, email varchar(50) not null, phone text, internal int)',
      'alter table customers drop column gone',
    )
    plan = await crm.capture(Customer, 'customers')
  })
  afterEach(() => crm[Symbol.asyncDispose]())

  it('follows the renaming of columns, of the table, and its move to another schema, in a session that wrote before', async () => {
    await crm.run(
      `insert into customers values (1, 'a', null, 0)`,
      `update customers set email = 'b'`,
      'alter table customers rename column email to mail',
      'alter table customers rename column id to number',
      `update customers set mail = 'c'`,
      'alter table customers rename to clients',
      'create schema sales',
      'alter table clients set schema sales',
      `update sales.clients set mail = 'd'`,
      `insert into sales.clients values (2, 'e', null, 0), (3, 'f', null, 0)`,
      'delete from sales.clients',
    )
    expect(await crm.kinds()).toEqual([
      'created 1',
      'updated 1',
      'updated 1',
      'updated 1',
      'created 2',
      'created 3',
      'deleted 1',
      'deleted 2',
      'deleted 3',
    ])
    expect(await captureProblems(crm.db)).toEqual([])
  })

  it('goes by what a column may be now: NOT NULL is dropped under the capture', async () => {
    await crm.run('create table notes (id int primary key, required text not null, optional int not null)')
    const Note = plainEntity('id', { id: integer, required: nullable(string), 'optional?': integer }, undefined, 'crm.note')
    await crm.capture(Note, 'notes')
    await crm.run(
      `insert into notes values (1, 'a', 1)`,
      'alter table notes alter column required drop not null, alter column optional drop not null',
      'update notes set required = null, optional = null',
    )
    expect((await crm.announced()).map(({ state, withheld }) => [state, withheld])).toEqual([
      [{ id: 1, required: 'a', optional: 1 }, undefined],
      [{ id: 1, required: null }, undefined],
    ])
  })

  it('notices a table that inherits from it since, and one that was made UNLOGGED', async () => {
    await crm.run('create table kinder (extra int) inherits (customers)', 'alter table customers set unlogged')
    expect(await captureProblems(crm.db)).toMatchObject([
      { kind: 'inherited', command: 'alter table kinder no inherit customers', severe: true },
      { kind: 'unlogged', command: 'alter table customers set logged', severe: true },
    ])
    await crm.run('alter table kinder no inherit customers', 'alter table customers set logged')
    expect(await captureProblems(crm.db)).toEqual([])
  })

  it('is the same under another search_path, where a type has its schema before its name', async () => {
    await crm.run(
      'create schema sales',
      `create type sales.mood as enum ('fair')`,
      'create table moods (id int primary key, mood sales.mood)',
      'set search_path = sales, public',
    )
    await crm.capture(plainEntity('id', { id: integer, mood: nullable(string) }, undefined, 'crm.mood'), 'moods')
    expect(await captureProblems(crm.db)).toEqual([])
    await crm.db.session(async (session) => {
      await session.query('set search_path = sales, public')
      expect(await captureProblems(session)).toEqual([])
    })
  })

  it('lets columns that are not published come, go and change their types', async () => {
    await crm.run(
      `insert into customers values (1, 'a', null, 0)`,
      'alter table customers alter column internal type text',
      'alter table customers add column more int default 7',
      `update customers set email = 'b', internal = 'x', more = 8`,
      'alter table customers drop column internal',
      `update customers set email = 'c'`,
    )
    expect(await crm.kinds()).toEqual(['created 1', 'updated 1', 'updated 1'])
  })

  it('lets no published column be dropped or altered unnoticed', async () => {
    for (const change of ['drop column email', 'drop column id', 'alter column email type varchar(100)']) {
      await expect(crm.run(`alter table customers ${change}`)).rejects.toMatchObject({
        code: change.startsWith('drop') ? '2BP01' : '0A000',
      })
    }
  })

  it('lets them be altered after release, and captures again', async () => {
    await runWithLockTimeout(crm.db, releaseSql('crm.customer'))
    await crm.run('alter table customers alter column email type text', `insert into customers values (1, 'unannounced', null, 0)`)
    expect(await crm.announced()).toEqual([])
    expect(await captureProblems(crm.db)).toMatchObject([{ kind: 'released', command: 'comity migrate', severe: true }])
    await crm.capture(Customer, 'customers')
    await crm.run(`update customers set phone = '1'`)
    expect(await crm.kinds()).toEqual(['updated 1'])
    expect(await captureProblems(crm.db)).toEqual([])
    expect(await crm.value(`select unannounced_since is not null from comity.captures`)).toBe(true)
  })

  it('captures anew in one step, with other fields, and says nothing was missed', async () => {
    await crm.run(`insert into customers values (1, 'a', null, 0)`)
    const wider = plainEntity('id', { id: integer, email: string, internal: nullable(integer) })
    const next = planCapture(wider, await inspectTable(crm.db, 'customers'))
    expect(captureFingerprint(next)).not.toBe(captureFingerprint(plan))
    expect(await crm.value('select fingerprint from comity.captures')).toBe(captureFingerprint(plan))
    await runWithLockTimeout(crm.db, captureSql(next))
    await crm.run('update customers set internal = 1')
    expect((await crm.announced()).at(-1)).toMatchObject({ kind: 'updated', payload: '{"id":1,"email":"a","internal":1}' })
    expect(await crm.value(`select unannounced_since is null from comity.captures`)).toBe(true)
  })

  it('leaves nothing behind when it is taken out', async () => {
    const left = `select count(*)::int from pg_depend where refclassid = 'pg_class'::regclass and refobjid = 'customers'::regclass and classid in ('pg_proc'::regclass, 'pg_trigger'::regclass, 'pg_rewrite'::regclass)`
    expect(await crm.value(left)).toBeGreaterThan(0)
    await runWithLockTimeout(crm.db, dropCaptureSql('crm.customer'))
    expect(await crm.value(left)).toBe(0)
    expect(await crm.value('select count(*)::int from comity.captures')).toBe(0)
    expect(await crm.value(`select count(*)::int from pg_proc where proname like 'crm.customer%'`)).toBe(0)
    await crm.run(`insert into customers values (1, 'a', null, 0)`)
  })

  it('makes writes fail with the command when its view was dropped by CASCADE', async () => {
    await crm.run('alter table customers drop column phone cascade')
    await expect(crm.run(`insert into customers values (1, 'a', 0)`)).rejects.toMatchObject({
      code: 'CM009',
      hint: expect.stringMatching(/comity migrate.*comity release crm\.customer/),
    })
    expect(await captureProblems(crm.db)).toMatchObject(
      expect.arrayContaining([expect.objectContaining({ kind: 'view-missing', severe: true, command: 'comity migrate' })]),
    )
  })

  it('makes writes fail with the command when a policy hides rows, and sees it before', async () => {
    const database = await crm.value<string>('select current_database()')
    const owner = `owner_${database}`
    await crm.run(
      `create role ${owner}`,
      `grant create, connect on database ${database} to ${owner}`,
      `grant all on schema public to ${owner}`,
      `grant all on schema comity, comity_public to ${owner}`,
      `grant all on all tables in schema comity to ${owner}`,
      `grant all on all sequences in schema comity to ${owner}`,
      `grant execute on all functions in schema comity to ${owner}`,
    )
    await crm.run(`set role ${owner}`, 'create table accounts (id int primary key, email text, phone text)')
    const shape = await inspectTable(crm.db, 'accounts')
    const statements = captureSql(planCapture(plainEntity('id', { id: integer, email: nullable(string) }, undefined, 'crm.account'), shape))
    await crm.run(`set role ${owner}`, 'begin', ...statements, 'commit', 'insert into accounts values (1)')
    await crm.run('alter table accounts enable row level security', `set role ${owner}`, 'insert into accounts values (2)')
    await crm.run('create policy mine on accounts using (id = 1)', 'alter table accounts force row level security')
    await expect(crm.run(`set role ${owner}`, 'delete from accounts')).rejects.toMatchObject({
      code: 'CM008',
      hint: expect.stringMatching(/comity release crm\.account.*no force row level security/),
    })
    expect(await captureProblems(crm.db)).toMatchObject([
      { kind: 'row-security', table: 'accounts', command: 'alter table accounts no force row level security', severe: true },
    ])
    await crm.db.session(async (session) => {
      await session.query(`set role ${owner}`)
      await expect(inspectTable(session, 'accounts').then((found) => planCapture(Customer, found))).rejects.toMatchObject({
        code: 'COMITY_TABLE_UNFIT',
      })
    })
    expect(await crm.kinds()).toEqual(['created 1', 'created 2'])
  })

  it('notices triggers and functions that were altered', async () => {
    const problems = async (): Promise<string[]> => (await captureProblems(crm.db)).map(({ kind, command }) => `${kind}: ${command}`)
    expect(await problems()).toEqual([])
    await crm.run(
      'alter table customers enable trigger "zz_comity crm.customer update"',
      'drop trigger "zz_comity crm.customer truncate" on customers',
    )
    const enable = 'alter table only customers enable always trigger "zz_comity crm.customer update"'
    expect(await problems()).toEqual(['trigger-missing: comity migrate', `trigger-altered: ${enable}`])
    await crm.run(enable, 'grant execute on function comity."crm.customer capture"() to public')
    expect(await problems()).toEqual(['function-altered: comity migrate', 'trigger-missing: comity migrate'])
    await crm.capture(Customer, 'customers')
    expect(await problems()).toEqual([])
    await crm.run('alter function comity."crm.customer capture"() reset timezone', 'alter table customers drop constraint customers_pkey')
    expect(await problems()).toEqual([
      'function-altered: comity migrate',
      'key-index-missing: create unique index concurrently on customers (id)',
    ])
    await crm.run('drop table customers cascade')
    expect(await problems()).toEqual(['table-missing: comity release crm.customer'])
  })

  it('compares what virtual generated columns are made of', async () => {
    const kind = server === 'npm' ? 'virtual' : 'stored'
    await crm.run(
      `create table products (id int primary key, net numeric not null, tax numeric not null, gross numeric generated always as (net + tax) ${kind}, note text)`,
    )
    await crm.capture(plainEntity('id', { id: integer, gross: number }, undefined, 'crm.product'), 'products')
    await crm.run(
      'insert into products (id, net, tax) values (1, 10, 1), (2, 20, 2)',
      'update products set tax = 3 where id = 1',
      `update products set note = 'x'`,
      'update products set net = net + 1',
      'delete from products where id = 2',
    )
    expect((await crm.announced()).map(({ kind, payload, key }) => `${kind} ${payload ?? key}`)).toEqual([
      'created {"id":1,"gross":11}',
      'created {"id":2,"gross":22}',
      'updated {"id":1,"gross":13}',
      'updated {"id":1,"gross":14}',
      'updated {"id":2,"gross":23}',
      'deleted 2',
    ])
  })

  it('gives way to business transactions, and names the one that is in its way', async () => {
    await crm.db.session(async (session) => {
      await session.query('begin')
      await session.query(`insert into customers values (1, 'a', null, 0)`)
      const { rows } = await session.query<{ pid: number }>('select pg_backend_pid() as pid')
      const blocked = runWithLockTimeout(crm.db, captureSql(plan), { patience: 2000, lockTimeout: 60 })
      await expect(blocked).rejects.toMatchObject({
        code: 'COMITY_TABLE_BUSY',
        message: expect.stringContaining(`pid ${rows[0]?.pid} (idle in transaction)`),
      })
      const waiting = runWithLockTimeout(crm.db, captureSql(plan), { patience: 20_000 })
      await session.query('commit')
      await waiting
    })
    expect(await crm.kinds()).toEqual(['created 1'])
  })
})
