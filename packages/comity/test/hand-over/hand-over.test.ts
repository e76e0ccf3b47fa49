import { entity } from '@comity/contract'
import { type Queryable, team } from 'comity'
import { type AuditBegun, auditOf, listWithheld } from 'comity/admin'
import { afterEach, expect, test } from 'vitest'
import { act } from '../admin/act.ts'
import { eventually } from '../control/eventually.ts'
import {
  After,
  Back,
  Before,
  copied,
  give,
  heard,
  keeping,
  lastDrawn,
  options,
  owning,
  ready,
  rowsOf,
  TABLE,
  Teams,
  takeable,
  told,
} from './teams.ts'

const teams = new Teams()
afterEach(() => teams.stopAll())

test('an entity goes to another team: its readers go on as they are, and nothing is lost', async () => {
  const at = { crm: await teams.place(), accounts: await teams.place(), marketing: await teams.place() }
  const next = await teams.run(keeping('accounts', Before), at.accounts)
  // Its versions begin below those of the owner of before: only taking over moves them.
  await next.db.query('select comity.notice_incarnation()::text')
  const owner = await teams.run(owning('crm', Before), at.crm, TABLE)
  await owner.db.query(
    `insert into customers values ('c1', 'a1', 'one@x.org', 'One'), ('c2', 'a1', 'two@x.org', null), ('c3', 'a2', 'three@x.org', 'Three')`,
  )
  const reader = await teams.run(keeping('marketing', Before), at.marketing)
  await copied(next, 'three@x.org')
  await copied(reader, 'three@x.org')
  await owner.db.query(`update customers set email = 'last@x.org' where id = 'c1'`)
  await owner.db.query(`delete from customers where id = 'c3'`)

  const { version } = await give(owner)
  expect(await lastDrawn(next)).toBeLessThan(version)
  // Somebody who does not know yet: named, and not lost without a word.
  await owner.db.query(`update customers set email = 'too-late@x.org' where id = 'c2'`)
  const withheld = await eventually('what is withheld', async () => (await listWithheld(owner.team.environment as never))[0])
  expect(withheld).toMatchObject({ topic: 'crm.customer', key: 'c2', code: 'COMITY_HANDED_OVER' })
  expect(withheld.version).toBeGreaterThan(version)
  await told(owner)

  await copied(next, 'last@x.org')
  await heard(reader)
  await takeable(next)
  // In a rolling deploy: the process of the code before takes nothing of what is its team's own from now on.
  const heir = await teams.run(owning('accounts', After), at.accounts)
  expect(await rowsOf(heir)).toEqual([
    { id: 'c1', agencyId: 'a1', email: 'last@x.org', name: 'One' },
    { id: 'c2', agencyId: 'a1', email: 'two@x.org', name: null },
  ])
  expect(await lastDrawn(heir)).toBeGreaterThan(version)
  // What the reader knows as the owner's contract still names the team of before.
  await heir.db.query(`insert into customers (id, agency_id, email, name) values ('c3', 'a2', 'again@x.org', 'Again')`)
  await heir.db.query(`update customers set email = 'first@x.org' where id = 'c1'`)
  await heir.db.query(`delete from customers where id = 'c2'`)
  await copied(reader, 'first@x.org')
  await expect.poll(() => rowsOf(reader)).toEqual(await rowsOf(heir))
  expect((await heir.team.migrate()).applied).toEqual([])
  await teams.stop(next)
  const { rows: paused } = await heir.db.query('select subscription, reason from comity.pauses')
  expect(paused).toEqual([{ subscription: 'accounts.crm-customer', reason: expect.stringContaining('remove the subscription') }])
  await act(heir.team as never, 'remove-subscription', { subscription: 'accounts.crm-customer', messages: 0 })

  // And it knows its new owner when it is deployed the next time: it can be filled and compared by it.
  await teams.stop(reader)
  const later = await teams.run(keeping('marketing', After), at.marketing)
  const joined = await teams.run(keeping('sales', After), await teams.place())
  await copied(joined, 'first@x.org')
  // With the marks of its first load: what the team of before may say after that, if a restore brings it back, is nobody's.
  await heard(joined)
  await heir.db.query(`update customers set name = 'Changed' where id = 'c1'`)
  await eventually('one that joined', async () => ((await rowsOf(joined)) as { name: string }[]).find(({ name }) => name === 'Changed'))
  const { audits } = await act<AuditBegun>(later.team as never, 'audit', { replica: 'marketing.crm-customer' })
  const compared = await eventually('the audit', async () => {
    const one = await auditOf(later.team.environment as never, audits[0]?.id ?? '')
    return one.state === 'ended' ? one : undefined
  })
  expect(compared).toMatchObject({ verdict: 'true', ourRows: 2 })
  await expect.poll(() => rowsOf(later)).toEqual(await rowsOf(heir))
})

test('one that code publishes goes in the same way', async () => {
  const at = { crm: await teams.place(), accounts: await teams.place() }
  const owner = await teams.run(team<Queryable>('crm').owns(Before), at.crm)
  const publish = (email: string): Promise<number> =>
    owner.db.transaction((tx) => owner.team.publish(owner.db.join(tx), Before, { id: 'c1', agencyId: 'a1', email, name: null }))
  await publish('one@x.org')
  const next = await teams.run(keeping('accounts', Before), at.accounts)
  await copied(next, 'one@x.org')
  await ready(next)
  await publish('last@x.org')
  const { version } = await give(owner)
  expect(await publish('too-late@x.org')).toBeGreaterThan(version)
  const withheld = await eventually('what is withheld', async () => (await listWithheld(owner.team.environment as never))[0])
  expect(withheld.code).toBe('COMITY_HANDED_OVER')
  await takeable(next)
  await copied(next, 'last@x.org')
  await teams.stop(next)
  const heir = await teams.run(owning('accounts', After), at.accounts)
  expect(await rowsOf(heir)).toMatchObject([{ id: 'c1', email: 'last@x.org' }])
})

test('and back again: versions only grow, and each reader knows whose each of them is', async () => {
  const at = { crm: await teams.place(), accounts: await teams.place(), marketing: await teams.place() }
  const owner = await teams.run(owning('crm', Before), at.crm, TABLE)
  await owner.db.query(`insert into customers values ('c1', 'a1', 'one@x.org', 'One')`)
  const next = await teams.run(keeping('accounts', Before), at.accounts)
  const reader = await teams.run(keeping('marketing', Before), at.marketing)
  await copied(next, 'one@x.org')
  await copied(reader, 'one@x.org')
  const first = await give(owner)
  await takeable(next)
  await teams.stop(next)
  const heir = await teams.run(owning('accounts', After), at.accounts)
  // The team of before keeps a copy now, beside its old table.
  await owner.db.query('update comity.hand_overs set told_at = null')
  await teams.stop(owner)
  // It owns nothing now, and tells its readers all the same what it had no time for.
  const old = await teams.run(keeping('crm', After), at.crm, 'alter table customers rename to former_customers')
  await told(old)
  await heir.db.query(`update customers set email = 'two@x.org'`)
  await copied(old, 'two@x.org')
  const second = await give(heir, 'crm')
  expect(second.version).toBeGreaterThan(first.version)
  await takeable(old)
  await teams.stop(old)
  const again = await teams.run(owning('crm', Back), at.crm)
  await again.db.query(`update customers set email = 'three@x.org'`)
  await copied(reader, 'three@x.org')
  // Here it is nobody's any more.
  await heir.db.query(`update customers set email = 'too-late@x.org'`)
  await eventually('what is withheld', async () => (await listWithheld(heir.team.environment as never))[0])
  expect(await listWithheld(again.team.environment as never)).toEqual([])
  const versions = await reader.db.query<{ version: string }>('select comity_version::text as version from customers')
  expect(Number(versions.rows[0]?.version)).toBeGreaterThan(second.version)
})

test('three owners: a reader with the contract of the first follows each of them, also when it was away meanwhile; and is compared once it knows the last', async () => {
  const Sales = entity('crm.customer', { ...options, owner: 'sales', former: ['crm', 'accounts'] })
  const at = { crm: await teams.place(), accounts: await teams.place(), sales: await teams.place(), marketing: await teams.place() }
  const crm = await teams.run(owning('crm', Before), at.crm, TABLE)
  await crm.db.query(`insert into customers values ('c1', 'a1', 'crm@x.org', 'One'), ('c2', 'a1', 'two@x.org', 'Two')`)
  const accounts = await teams.run(keeping('accounts', Before), at.accounts)
  const sales = await teams.run(keeping('sales', Before), at.sales)
  const reader = await teams.run(keeping('marketing', Before), at.marketing)
  for (const one of [accounts, sales, reader]) await ready(one)
  await give(crm)
  await takeable(accounts)
  await teams.stop(accounts)
  const second = await teams.run(owning('accounts', After), at.accounts)
  await second.db.query(`update customers set email = 'accounts@x.org' where id = 'c1'`)
  for (const one of [sales, reader]) await copied(one, 'accounts@x.org')

  // Away from here on: both marks and everything between and behind them come at once.
  await teams.stop(reader)
  await second.db.query(`update customers set email = 'away@x.org' where id = 'c2'`)
  // To fill or to compare a copy its team has to know who owns it.
  await teams.stop(sales)
  const informed = await teams.run(keeping('sales', After), at.sales)
  // Whoever gives it away has to know that it is whole.
  await act(informed.team as never, 'backfill-start', { replica: 'sales.crm-customer' })
  await eventually('it is filled again', async () =>
    (await informed.db.query('select from comity.asked_backfills')).rows.length === 2 &&
    (await informed.db.query(`select from comity.asked_backfills where state <> 'ready'`)).rows.length === 0
      ? true
      : undefined,
  )
  await give(second, 'sales')
  await takeable(informed)
  await teams.stop(informed)
  const third = await teams.run(owning('sales', Sales), at.sales)
  await third.db.query(`update customers set email = 'sales@x.org' where id = 'c1'`)
  await third.db.query(`insert into customers (id, agency_id, email, name) values ('c3', 'a2', 'three@x.org', 'Three')`)

  const back = await teams.run(keeping('marketing', Before), at.marketing)
  await copied(back, 'sales@x.org')
  await expect.poll(() => rowsOf(back), { timeout: 10_000 }).toEqual(await rowsOf(third))
  await heard(back, 2)
  await third.db.query(`delete from customers where id = 'c2'`)
  await expect.poll(() => rowsOf(back), { timeout: 10_000 }).toEqual(await rowsOf(third))
  expect((await back.db.query('select * from comity.waiting_keys')).rows).toEqual([])

  await teams.stop(back)
  const later = await teams.run(keeping('marketing', Sales), at.marketing)
  const { audits } = await act<AuditBegun>(later.team as never, 'audit', { replica: 'marketing.crm-customer' })
  const compared = await eventually('the audit', async () => {
    const one = await auditOf(later.team.environment as never, audits[0]?.id ?? '')
    return one.state === 'ended' ? one : undefined
  })
  expect(compared).toMatchObject({ verdict: 'true', ourRows: 2 })
})

test('handed on: who had it first knows that it is not its own, also after a restart, and while it comes back', async () => {
  const at = { crm: await teams.place(), accounts: await teams.place() }
  const owner = await teams.run(owning('crm', Before), at.crm, TABLE)
  await owner.db.query(`insert into customers values ('c1', 'a1', 'one@x.org', 'One')`)
  const next = await teams.run(keeping('accounts', Before), at.accounts)
  await ready(next)
  await give(owner)
  await takeable(next)
  await teams.stop(next)
  await teams.stop(owner)
  const heir = await teams.run(owning('accounts', After), at.accounts)
  const reader = await teams.run(keeping('crm', After), at.crm, 'alter table customers rename to former_customers')
  await heir.db.query(`update customers set email = 'two@x.org'`)
  await copied(reader, 'two@x.org')
  await ready(reader)
  await give(heir, 'crm')
  await heard(reader, 2)
  await teams.stop(reader)
  // It is to have it again, and has not taken it: its old table is still captured, and a history.
  const again = await teams.run(keeping('crm', After), at.crm)
  await again.db.query(`update former_customers set email = 'too-late@x.org'`)
  const late = await eventually('what is withheld', async () => (await listWithheld(again.team.environment as never))[0])
  expect(late).toMatchObject({ code: 'COMITY_HANDED_OVER', key: 'c1' })
  const handed = async (): Promise<unknown> => (await again.db.query(`select comity.handed_to('crm.customer') as team`)).rows
  expect(await handed()).toEqual([{ team: 'crm' }])
  // As if it had heard that it went on to a third team.
  await again.db.query(
    `insert into comity.hand_overs (topic, version, owner, next) select topic, version + 1, 'crm', 'sales' from comity.hand_overs where next = 'crm'`,
  )
  expect(await handed()).toEqual([{ team: 'sales' }])
})

test('each audience of an entity is told on its own topic; a partitioned table goes like any other', async () => {
  const audiences = { accounts: ['email', 'name'], marketing: ['email'] } as const
  const Granted = entity('crm.customer', { ...options, audiences })
  const Inherited = entity('crm.customer', { ...options, audiences, owner: 'accounts', former: ['crm'] })
  const [crmAt, accountsAt] = [await teams.place(), await teams.place()]
  const owner = await teams.run(
    owning('crm', Granted),
    crmAt,
    `create table customers (id text not null, agency_id text not null, email text not null, name text, primary key (id)) partition by hash (id);
     create table customers_0 partition of customers for values with (modulus 2, remainder 0);
     create table customers_1 partition of customers for values with (modulus 2, remainder 1);
     insert into customers select 'c' || i, 'a1', 'old-' || i, null from generate_series(1, 8) i`,
  )
  const columns = { agencyId: 'agency_id' }
  const next = await teams.run(
    team<Queryable>('accounts').keeps(Granted, { fields: ['email', 'name'], table: 'customers', columns, audience: 'accounts' }),
    accountsAt,
  )
  const reader = await teams.run(
    team<Queryable>('marketing').keeps(Granted, { fields: ['email'], table: 'customers', columns, audience: 'marketing' }),
    await teams.place(),
  )
  await ready(next)
  await ready(reader)
  // By the name of a partition: a lock of the whole table holds these writers, too.
  await owner.db.query(`update customers_0 set email = 'last-' || id; update customers_1 set email = 'last-' || id`)
  await give(owner)
  await told(owner)
  await owner.db.query(`update customers_0 set email = 'too-late'; update customers_1 set email = 'too-late'`)
  await takeable(next)
  await teams.stop(next)
  const heir = await teams.run(team<Queryable>('accounts').owns(Inherited, { table: 'customers', columns }), accountsAt)
  await heir.db.query(`update customers set email = 'first-' || id where id in ('c1', 'c2', 'c3')`)
  const emails = async (one: typeof heir): Promise<unknown> => (await one.db.query('select id, email from customers order by id')).rows
  await copied(reader, 'first-c3')
  await eventually('all of it', async () =>
    JSON.stringify(await emails(reader)) === JSON.stringify(await emails(heir)) ? true : undefined,
  )
  expect((await reader.db.query('select from comity.waiting_keys')).rows).toEqual([])
  const late = await eventually('all of what was late', async () => {
    const withheld = await listWithheld(owner.team.environment as never)
    return withheld.length === 8 ? withheld : undefined
  })
  expect(new Set(late.map(({ code }) => code))).toEqual(new Set(['COMITY_HANDED_OVER']))
})
