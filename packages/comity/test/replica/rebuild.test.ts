/** A copy is filled anew beside the one that is read, and takes its place: nobody who reads it notices. */
import { randomUUID } from 'node:crypto'
import type { JsonValue } from '@comity/contract'
import { type Queryable, team } from 'comity'
import { operate, replicaRebuild } from 'comity/admin'
import { type TestTeam, testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { eraseHere } from '../../src/erasure/erase-here.ts'
import { connect } from '../../src/postgres/index.ts'
import { Customer, copied, newCrm, newMarketing, owned, ready } from '../backfill/customers.ts'

const replica = 'marketing.crm-customer'
const act = async ({ environment, declaration }: TestTeam<Queryable>['team'], kind: string, args: object = {}): Promise<JsonValue> => {
  const request = { id: randomUUID(), kind, arguments: { replica, ...args } as JsonValue, author: 'ann', reason: 'a test' }
  const { outcome, error } = await operate(environment, declaration, { ...request, origin: 'cli' })
  return error === null ? outcome : `${error.code}: ${error.message.split('\n')[0]}`
}
async function rebuilt({ team: { environment } }: TestTeam<Queryable>): Promise<void> {
  await expect.poll(async () => (await replicaRebuild(environment, replica)).state, { timeout: 60_000 }).toBe('ready')
}
/** As often as a reader is in the way. */
async function switched(one: TestTeam<Queryable>): Promise<JsonValue> {
  for (const end = performance.now() + 60_000; ; )
    try {
      return await act(one.team, 'switch-replica')
    } catch (error) {
      if (performance.now() > end) throw error
    }
}
const names = `
  select (select array_to_json(array_agg(c.relname::text order by c.relname))::text from pg_index i join pg_class c on c.oid = i.indexrelid
      where i.indrelid = 'crm_customer'::regclass) as indexes,
    (select array_to_json(array_agg(column_name::text order by ordinal_position))::text from information_schema.columns where table_name = 'crm_customer') as columns,
    (select relacl::text from pg_class where oid = 'crm_customer'::regclass) as rights,
    (select string_agg(attname || attacl::text, ' ' order by attname) from pg_attribute where attrelid = 'crm_customer'::regclass and attacl <> '{}') as column_rights,
    (select count(*)::int from pg_class where relname like 'comity\\_rebuilt%') as others`

test('a reader never sees fewer rows while writers go on, and what the table had by its name it has afterwards', {
  timeout: 60_000,
}, async () => {
  const bus = testBus()
  await using crm = await newCrm(bus, { rows: 3000, batch: 300 })
  const url = (await freshDatabase({ migrated: true })).url
  await using marketing = await newMarketing(bus, { url })
  await ready(marketing.db)
  const { db } = marketing
  await db.query('create index customers_by_name on crm_customer (agency_id, lower(name)) where name is not null')
  await db.query('grant select on crm_customer to public')
  await db.query('grant update (name), select (email) on crm_customer to pg_monitor')
  // Wrong in what nobody compares by version.
  await db.query(`update crm_customer set email = 'corrupt' where id like 'c1%'`)

  let going = true
  const counts: number[] = []
  const reader = (async () => {
    await using reading = connect(url, { max: 1 })
    while (going) counts.push((await reading.query<{ n: number }>('select count(*)::int as n from crm_customer')).rows[0]?.n ?? -1)
  })()
  const writer = (async () => {
    for (let n = 0; going; n++) {
      await crm.db.query(`insert into customers values ('w' || $1::int, 'a1', 'w@example.com', 'W')`, [n])
      await crm.db.query(`update customers set name = 'N' || $1::int where id in ('c' || ($1::int % 3000), 'w' || ($1::int / 2))`, [n])
    }
  })()
  expect(await act(marketing.team, 'rebuild-replica')).toEqual({ replica, table: 'public.crm_customer', begun: true })
  expect(await act(marketing.team, 'rebuild-replica'), 'again goes on').toMatchObject({ begun: false })
  await rebuilt(marketing)
  // Rights that are given and taken meanwhile are those that count.
  await db.query(
    'grant delete on crm_customer to pg_monitor; revoke select on crm_customer from public; revoke update (name) on crm_customer from pg_monitor',
  )
  const before = (await db.query<{ rights: string; indexes: string }>(names)).rows[0]
  expect(await switched(marketing)).toEqual({ replica, table: 'public.crm_customer' })
  const seen = counts.length
  await expect.poll(() => counts.length).toBeGreaterThan(seen + 5)
  going = false
  await Promise.all([reader, writer])
  expect(counts[0]).toBeGreaterThanOrEqual(3000)
  expect(
    counts.every((n, i) => i === 0 || n >= (counts[i - 1] as number)),
    `fewer rows: ${counts.join()}`,
  ).toBe(true)
  await crm.team.drained()
  await marketing.caughtUp()
  const sorted = (rows: readonly { id?: string }[]) => [...rows].sort((a, b) => ((a.id as string) < (b.id as string) ? -1 : 1))
  expect(sorted(await copied(db))).toEqual(sorted(await owned(crm.db)))
  expect((await db.query(names)).rows[0]).toEqual({ ...before, others: 0 })
})

test('a table of another shape, which can not be made in place; what its owner could not say stays', async () => {
  const bus = testBus()
  await using crm = await newCrm(bus, { rows: 20 })
  const url = (await freshDatabase({ migrated: true })).url
  await using marketing = await newMarketing(bus, { url })
  await ready(marketing.db)
  await crm.db.query(`update customers set email = 'no address' where id = 'c2'`)
  await crm.team.drained()
  await marketing.team.stop()
  const shaped = team<Queryable>('marketing', { database: url, transport: bus.memory.connect(), allowUnsafe: true })
  shaped.keeps(Customer, { fields: ['email'], columns: { id: 'number' } })
  await expect(shaped.migrate()).rejects.toMatchObject({ code: 'COMITY_REPLICA_CHANGED' })
  expect(await act(shaped, 'rebuild-replica')).toMatchObject({ begun: true })
  // What is in the new table and not with its owner, and what no version would ever correct: the new table is what is looked at.
  const { rows: made } = await marketing.db.query<{ name: string }>(`select rebuilt ->> 'table' as name from comity.replicas`)
  await marketing.db.query(
    `insert into ${made[0]?.name} values ('extra', 'a1', 'x@example.com', 1), ('c5', 'a2', 'wrong@example.com', 9000000000000000)`,
  )
  // Its code can begin to run before the switch: it applies to both.
  await shaped.start()
  await rebuilt({ team: shaped } as never)
  await crm.db.query(`update customers set name = 'Live', email = 'live@example.com' where id = 'c3'`)
  await crm.db.query(`delete from customers where id = 'c4'`)
  await crm.team.drained()
  await shaped.caughtUp()
  const findings = `select f.key, f.class from comity.audit_findings f join comity.audits a on a.id = f.audit
    where a.asked_at > (select asked_at from comity.asked_backfills where why = 'rebuild') order by 1`
  expect((await marketing.db.query(findings)).rows, 'all else was filled, and removed').toEqual([
    { key: 'c2', class: 'withheld' },
    { key: 'c5', class: 'ahead' },
  ])
  // What is erased meanwhile is erased in both.
  const { rows: drawn } = await crm.db.query<{ version: string }>('select comity.draw_version()::text as version')
  const erased = { id: randomUUID(), topic: 'crm.customer', key: 'c6', version: Number(drawn[0]?.version) }
  await marketing.db.transaction((tx) => eraseHere(tx, erased, 'ann'))
  const old = (
    await marketing.db.query(`select id, email from crm_customer where id in ('c2', 'c3', 'c4', 'c5', 'c6', 'extra') order by id`)
  ).rows
  expect(await switched({ team: shaped } as never)).toMatchObject({ replica })
  const rows = (
    await marketing.db.query(
      `select number as id, email from crm_customer where number in ('c2', 'c3', 'c4', 'c5', 'c6', 'extra') order by number`,
    )
  ).rows
  expect(rows).toEqual(old)
  expect(rows).toEqual([
    { id: 'c2', email: 'c2@example.com' },
    { id: 'c3', email: 'live@example.com' },
    { id: 'c5', email: 'c5@example.com' },
  ])
  expect(JSON.parse((await marketing.db.query<{ columns: string }>(names)).rows[0]?.columns as string)).toEqual([
    ...['number', 'agency_id', 'email', 'comity_version'],
  ])
  expect((await marketing.db.query('select count(*)::int as n from crm_customer')).rows).toEqual([{ n: 18 }])
  expect(await shaped.migrate({ check: true })).toMatchObject({ pending: [], notes: [] })
  await shaped.stop()
})

test('refused: what depends on the table, what is not ready, and readers from before; a cancelled one leaves nothing', async () => {
  const bus = testBus()
  await using crm = await newCrm(bus, { rows: 50 })
  const url = (await freshDatabase({ migrated: true })).url
  await using marketing = await newMarketing(bus, { url })
  await ready(marketing.db)
  const { db } = marketing
  await db.query('create view by_name as select name from crm_customer')
  await db.query('create table orders (customer text references crm_customer)')
  await db.query('alter table crm_customer add column own int')
  await db.query('alter table crm_customer add constraint named check (name <> $$$$)')
  const refused = (await act(marketing.team, 'rebuild-replica')) as string
  expect(refused).toMatch(/^COMITY_REPLICA_HAS_DEPENDENTS/)
  for (const found of ['the view by_name', 'orders_customer_fkey of orders', 'the column own', 'the constraint named'])
    expect(refused).toContain(found)
  expect(await act(marketing.team, 'switch-replica')).toMatch(/^COMITY_REPLICA_NOT_REBUILDING/)
  await db.query('drop view by_name; drop table orders; alter table crm_customer drop column own, drop constraint named')

  await db.query(
    `insert into comity.pauses (subscription, tenant, reason, author, by) values ('${replica}', '', 'a test', 'ann', 'operator')`,
  )
  expect(await act(marketing.team, 'rebuild-replica')).toMatchObject({ begun: true })
  expect(await act(marketing.team, 'switch-replica')).toMatch(/^COMITY_REPLICA_NOT_REBUILT/)
  expect(await act(marketing.team, 'cancel-rebuild')).toEqual({ replica })
  expect((await db.query(names)).rows[0]).toMatchObject({ others: 0 })
  await db.query('delete from comity.pauses')

  expect(await act(marketing.team, 'rebuild-replica')).toMatchObject({ begun: true })
  await using other = connect(url, { max: 1 })
  await other.transaction(async (tx) => {
    await tx.query('set transaction isolation level repeatable read')
    await tx.query('select 1 from comity.database')
    await rebuilt(marketing)
    expect(await act(marketing.team, 'switch-replica')).toMatch(/^COMITY_READERS_FROM_BEFORE/)
  })
  // One that reads the old table now is waited for, for a moment at a time.
  await other.transaction(async (tx) => {
    await tx.query('select 1 from crm_customer limit 1')
    await expect(act(marketing.team, 'switch-replica')).rejects.toMatchObject({ code: '55P03' })
  })
  await db.query('create index since on crm_customer (name)')
  expect(await act(marketing.team, 'switch-replica')).toMatch(/the index since/)
  await db.query('drop index since')
  expect(await switched(marketing)).toMatchObject({ replica })
  expect(await copied(db)).toEqual(await owned(crm.db))
})
