import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { onNewestPostgres } from '../../../../../test/support/postgres.ts'
import { type CapturedDatabase, capturedDatabase, integer, nullable, plainEntity, string } from './captured-database.ts'

const Customer = plainEntity('id', { id: integer, agencyId: string, email: string, phone: nullable(string) }, 'agencyId')
const TABLE = 'create table customers (id int primary key, agency_id text not null, email text not null, phone text, internal text)'
const row = (id: number, email = 'e'): string => `(${id}, 'a', '${email}', null, 'x')`

onNewestPostgres('statements on a captured table', (server) => {
  let crm: CapturedDatabase
  beforeEach(async () => {
    crm = await capturedDatabase(server)
    await crm.run(TABLE)
    await crm.capture(Customer, 'customers')
  })
  afterEach(() => crm[Symbol.asyncDispose]())

  it('announces what a statement created, updated and deleted', async () => {
    await crm.run(`insert into customers values (2, 'a', 'two', null, 'x'), (1, 'b', 'on"e', '1', 'x')`)
    const created = await crm.announced()
    expect(created.map(({ topic, key, kind, tenant, payload, withheld }) => ({ topic, key, kind, tenant, payload, withheld }))).toEqual([
      {
        topic: 'crm.customer',
        key: '1',
        kind: 'created',
        tenant: 'b',
        payload: '{"id":1,"agencyId":"b","email":"on\\"e","phone":"1"}',
        withheld: undefined,
      },
      {
        topic: 'crm.customer',
        key: '2',
        kind: 'created',
        tenant: 'a',
        payload: '{"id":2,"agencyId":"a","email":"two","phone":null}',
        withheld: undefined,
      },
    ])
    await crm.run(`update customers set email = email || '!' where id = 1`, 'delete from customers where id = 2')
    expect(await crm.announced()).toMatchObject([
      { key: '1', kind: 'updated', state: { email: 'on"e!' } },
      { key: '2', kind: 'deleted', tenant: 'a', payload: null },
    ])
  })

  it('announces nothing where no published field changed, nor where no row did', async () => {
    await crm.run(`insert into customers values ${row(1)}, ${row(2)}, ${row(3)}`)
    await crm.announced()
    await crm.run(
      `update customers set internal = 'y'`,
      `update customers set internal = 'z', email = email where id = 1`,
      `update customers set email = 'f' where id = 9`,
      'delete from customers where id = 9',
      `insert into customers select * from customers where id = 9`,
    )
    expect(await crm.announced()).toEqual([])
    await crm.run(`update customers set internal = 'w', email = case when id = 2 then 'g' else email end`)
    expect(await crm.kinds()).toEqual(['updated 2'])
  })

  it('tells a change from an equal value: 1.0 and 1.00, json of other blanks', async () => {
    await crm.run('create table prices (id int primary key, amount numeric, note json)')
    await crm.capture(plainEntity('id', { id: integer, amount: nullable(string), note: {} }, undefined, 'crm.price'), 'prices')
    await crm.run(
      `insert into prices values (1, 1.0, '{}')`,
      'update prices set amount = 1.00',
      `update prices set note = '{ }'`,
      'update prices set amount = 1.00',
    )
    expect((await crm.announced()).map(({ payload }) => payload)).toEqual([
      '{"id":1,"amount":"1.0","note":{}}',
      '{"id":1,"amount":"1.00","note":{}}',
      '{"id":1,"amount":"1.00","note":{}}',
    ])
  })

  it('writes many rows where settings make a second row of a query an error', async () => {
    await crm.run(
      `set plpgsql.extra_errors = 'all'`,
      `insert into customers values ${row(1)}, ${row(2)}`,
      `update customers set email = 'f'`,
      'delete from customers',
    )
    expect(await crm.kinds()).toEqual(['created 1', 'created 2', 'updated 1', 'updated 2', 'deleted 1', 'deleted 2'])
  })

  it('announces a key change as the new key and the end of the old one', async () => {
    await crm.run(`insert into customers values ${row(1)}`, 'update customers set id = 7')
    expect(await crm.kinds()).toEqual(['created 1', 'deleted 1', 'created 7'])
  })

  it('keeps every key true when a statement renumbers all', async () => {
    // In this physical order an immediate unique index lets it pass.
    await crm.run(...[3, 2, 1].map((id) => `insert into customers values ${row(id, `e${id}`)}`))
    await crm.announced()
    await crm.run('update customers set id = id + 1')
    expect(await crm.announced()).toMatchObject([
      { key: '1', kind: 'deleted' },
      { key: '2', kind: 'updated', state: { email: 'e1' } },
      { key: '3', kind: 'updated', state: { email: 'e2' } },
      { key: '4', kind: 'created', state: { email: 'e3' } },
    ])
  })

  it('keeps the tenant of the row that went', async () => {
    await crm.run(`insert into customers values ${row(1)}`, `update customers set agency_id = 'b'`, 'delete from customers')
    expect((await crm.announced()).map(({ kind, tenant }) => [kind, tenant])).toEqual([
      ['created', 'a'],
      ['updated', 'b'],
      ['deleted', 'b'],
    ])
  })

  it('announces INSERT … ON CONFLICT by what it did', async () => {
    await crm.run(`insert into customers values ${row(1)}`)
    await crm.announced()
    await crm.run(
      `insert into customers values ${row(1, 'n')}, ${row(2, 'n')}, ${row(3, 'n')} on conflict (id) do update set email = excluded.email`,
      `insert into customers values ${row(1, 'm')} on conflict do nothing`,
    )
    expect((await crm.kinds()).sort()).toEqual(['created 2', 'created 3', 'updated 1'])
  })

  it('announces MERGE by what it did', async () => {
    await crm.run(`insert into customers values ${row(1)}, ${row(2)}`)
    await crm.announced()
    await crm.run(`merge into customers c using (values (1), (2), (3)) v(id) on c.id = v.id
      when matched and c.id = 1 then delete when matched then update set email = 'm' when not matched then insert values (v.id, 'a', 'm', null, null)`)
    expect((await crm.kinds()).sort()).toEqual(['created 3', 'deleted 1', 'updated 2'])
  })

  it('announces what COPY brings', async () => {
    await crm.run(`copy customers from program 'printf "5\\ta\\tc\\t\\\\\\\\N\\tx\\n6\\ta\\tc\\t\\\\\\\\N\\tx\\n"'`)
    expect(await crm.kinds()).toEqual(['created 5', 'created 6'])
  })

  it('announces what a foreign key deletes and updates, however often it touches a row', async () => {
    await crm.run(
      'create table agencies (name text primary key)',
      'create table offices (name text primary key)',
      'alter table customers add constraint agency foreign key (agency_id) references agencies on delete cascade on update cascade not valid',
      'alter table customers add constraint office foreign key (phone) references offices on delete set null',
      `insert into agencies values ('a'), ('b')`,
      `insert into offices values ('p'), ('q')`,
      `insert into customers values (1, 'a', 'e', 'p', null), (2, 'a', 'e', 'q', null), (3, 'b', 'e', null, null)`,
    )
    await crm.announced()
    await crm.run('delete from offices')
    expect(await crm.kinds()).toEqual(['updated 1', 'updated 2'])
    await crm.run(`update agencies set name = 'c' where name = 'a'`)
    expect(await crm.announced()).toMatchObject([
      { key: '1', tenant: 'c' },
      { key: '2', tenant: 'c' },
    ])
    await crm.run('delete from agencies')
    expect(await crm.kinds()).toEqual(['deleted 1', 'deleted 2', 'deleted 3'])
  })

  it('announces a deferred cascade, too', async () => {
    await crm.run(
      'create table agencies (name text primary key)',
      `insert into agencies values ('a')`,
      'alter table customers add foreign key (agency_id) references agencies on delete cascade deferrable initially deferred',
      `insert into customers values ${row(1)}`,
      'delete from agencies',
    )
    expect(await crm.kinds()).toEqual(['created 1', 'deleted 1'])
  })

  it('ends with the state that triggers of the user left', async () => {
    await crm.run(
      `create function lowered() returns trigger language plpgsql as $$ begin new.email := lower(new.email); return new; end $$`,
      'create trigger b before insert or update on customers for each row execute function lowered()',
      `create function again() returns trigger language plpgsql as $$ begin
         if new.email not like '%!' then update customers set email = email || '!' where id = new.id; end if; return null; end $$`,
      'create trigger a after insert or update on customers for each row execute function again()',
      `insert into customers values ${row(1, 'A')}, ${row(2, 'B')}`,
    )
    const last = async (): Promise<unknown> =>
      Object.fromEntries((await crm.announced()).map(({ key, state }) => [key, (state as { email: string }).email]))
    expect(await last()).toEqual({ 1: 'a!', 2: 'b!' })
    await crm.run(`update customers set email = 'C'`)
    expect(await last()).toEqual({ 1: 'c!', 2: 'c!' })
  })

  it('ends with the deletion when a trigger of the user deletes what was just written', async () => {
    await crm.run(
      `create function away() returns trigger language plpgsql as $$ begin delete from customers where id = new.id; return null; end $$`,
      'create trigger a after insert or update on customers for each row execute function away()',
      `insert into customers values ${row(1)}`,
    )
    expect((await crm.announced()).at(-1)).toMatchObject({ key: '1', kind: 'deleted', tenant: 'a' })
    expect(await crm.value('select count(*)::int from customers')).toBe(0)
  })

  it('says nothing of what a savepoint or a rollback took back', async () => {
    await crm.run(
      'begin',
      `insert into customers values ${row(1)}`,
      'savepoint s',
      `insert into customers values ${row(2)}`,
      `update customers set email = 'lost'`,
      'rollback to s',
      `update customers set email = 'kept'`,
      'commit',
      'begin',
      'delete from customers',
      'rollback',
    )
    expect(await crm.announced()).toMatchObject([
      { key: '1', kind: 'created' },
      { key: '1', kind: 'updated', state: { email: 'kept' } },
    ])
  })

  it('announces every deletion of a TRUNCATE', async () => {
    await crm.run(`insert into customers values ${row(1)}, ${row(2)}`)
    await crm.announced()
    await crm.run('truncate customers')
    expect(await crm.announced()).toMatchObject([
      { key: '1', kind: 'deleted', tenant: 'a', payload: null },
      { key: '2', kind: 'deleted', tenant: 'a', payload: null },
    ])
  })

  it.each(['repeatable read', 'serializable'])('refuses TRUNCATE under %s, and says what to do', async (level) => {
    await crm.run(`insert into customers values ${row(1)}`)
    await expect(crm.run(`begin isolation level ${level}`, 'truncate customers')).rejects.toMatchObject({
      code: 'CM007',
      hint: expect.stringContaining('READ COMMITTED'),
    })
  })

  it('captures what session_replication_role = replica writes', async () => {
    await crm.run('set session_replication_role = replica', `insert into customers values ${row(1)}`, 'truncate customers')
    expect(await crm.kinds()).toEqual(['created 1', 'deleted 1'])
  })

  it('needs no right on the schema comity, and gives none', async () => {
    const role = `app_${await crm.value<string>('select current_database()')}`
    await crm.run(`create role ${role}`, `grant select, insert, update, delete, truncate on customers to ${role}`)
    await crm.run(`set role ${role}`, `insert into customers values ${row(1)}`, `update customers set email = 'f'`, 'truncate customers')
    expect(await crm.kinds()).toEqual(['created 1', 'updated 1', 'deleted 1'])
    await crm.run(`grant usage on schema comity, comity_public to ${role}`) // nobody needs it; without it the refusals would prove less
    for (const trespass of [
      'select from comity.outbox',
      'select comity.begin_publish()',
      'select from comity_public."crm.customer"',
      'select comity."crm.customer key"(null)',
    ]) {
      await expect(crm.run(`set role ${role}`, trespass)).rejects.toMatchObject({ code: '42501' })
    }
  })

  it('writes the same texts whatever the session has set', async () => {
    await crm.run('create table visits (id int primary key, at timestamptz, day date, span interval, share float8)')
    await crm.capture(
      plainEntity(
        'id',
        { id: integer, at: string, day: string, span: string, share: nullable({ type: 'number' }) },
        undefined,
        'crm.visit',
      ),
      'visits',
    )
    await crm.run(
      `set timezone = 'Asia/Kathmandu'`,
      `set datestyle = 'German'`,
      `set intervalstyle = 'sql_standard'`,
      'set extra_float_digits = -10',
      'set search_path = pg_temp',
      `insert into public.visits values (1, '2026-11-22 12:00:00.123456+05:45', '24.12.2026', '1 day 2 hours', 0.1::float8 + 0.2::float8)`,
    )
    expect(await crm.announced()).toMatchObject([
      { payload: '{"id":1,"at":"2026-11-22T06:15:00.123456Z","day":"2026-12-24","span":"P1DT2H","share":0.30000000000000004}' },
    ])
  })

  it('draws its versions after a new incarnation has moved them', async () => {
    await crm.run(`insert into customers values ${row(1)}`)
    const [before] = await crm.announced()
    await crm.run(
      'delete from comity.incarnations',
      `select setval('comity.incarnation_mark', 0)`,
      `insert into customers values ${row(2)}, ${row(3)}`,
    )
    const first = await crm.value<string>('select first_version from comity.incarnations')
    expect(Number(first)).toBeGreaterThan((before as { id: number }).id)
    for (const { id } of await crm.announced()) expect(id).toBeGreaterThanOrEqual(Number(first))
  })

  it('is asynchronous for nobody', async () => {
    await crm.run(
      'set synchronous_commit = off',
      'begin',
      `insert into customers values ${row(1)}, ${row(2)}`,
      `do $$ begin assert current_setting('synchronous_commit') = 'on'; end $$`,
      'commit',
    )
  })
})

onNewestPostgres('concurrent writers of a captured table', (server) => {
  let crm: CapturedDatabase
  beforeEach(async () => {
    crm = await capturedDatabase(server)
    await crm.run(TABLE)
    await crm.capture(Customer, 'customers')
  })
  afterEach(() => crm[Symbol.asyncDispose]())

  describe.each(['repeatable read', 'serializable'])('under %s', (level) => {
    it('announces the row that has the key now, not one that its snapshot still shows', async () => {
      await crm.run(`insert into customers values ${row(1, 'old')}, ${row(2, 'other')}`)
      await crm.announced()
      await crm.db.session(async (session) => {
        await session.query(`begin isolation level ${level}`)
        await session.query('select from customers where id = 2')
        await crm.run('delete from customers where id = 1')
        await session.query('savepoint s')
        await session.query(`insert into customers values ${row(1, 'new')}`)
        await session.query('release s')
        expect(await visible(session.query.bind(session))).toBe(2)
        await session.query(`insert into customers values ${row(8)}, ${row(9)}`)
        await session.query(`update customers set email = 'newer' where id = 1 and email = 'new'`)
        await session.query(`delete from customers where id = 1 and email = 'newer'`)
        await session.query('commit')
      })
      expect((await crm.announced()).map(({ kind, key, state }) => [kind, key, (state as { email?: string } | null)?.email])).toEqual([
        ['deleted', '1', undefined],
        ['created', '1', 'new'],
        ['created', '8', 'e'],
        ['created', '9', 'e'],
        ['updated', '1', 'newer'],
        ['deleted', '1', undefined],
      ])
    })
  })

  it('numbers the states of a key in the order of their commits', async () => {
    await crm.run(`insert into customers values ${row(1)}`)
    await crm.announced()
    await crm.db.session(async (first) => {
      await first.query('begin')
      await first.query(`update customers set email = 'first'`)
      const second = crm.run(`update customers set email = 'second'`)
      await expect.poll(() => crm.value(`select count(*)::int from pg_locks where not granted`)).toBe(1)
      await first.query('commit')
      await second
    })
    expect(await crm.announced()).toMatchObject([{ state: { email: 'first' } }, { state: { email: 'second' } }])
  })
})

async function visible(query: (sql: string) => Promise<{ rows: unknown[] }>): Promise<number> {
  return (await query('select from customers where id = 1')).rows.length
}
