/** Several copies of one entity in one team: each with its own table, fields, rows, subscription, backfill and audit. */
import { entity } from '@comity/contract'
import { type Queryable, team } from 'comity'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'

const Customer = entity('crm.customer', { key: 'id', state: z.object({ id: z.string(), email: z.string(), name: z.string() }) })

test('each is filled, kept true and audited for itself, and one that stands holds back no other', async () => {
  const bus = testBus()
  await using crm = await testTeam(team<Queryable>('crm').owns(Customer, { table: 'customers' }), {
    ...{ bus, url: (await freshDatabase({ migrated: true })).url },
    async setup(db) {
      await db.query('create table customers (id text primary key, email text not null, name text not null)')
      await db.query(`insert into customers select 'c' || i, 'e' || i, 'n' || i from generate_series(1, 50) i`)
    },
  })
  const marketing = team<Queryable>('marketing')
    .keeps(Customer, { fields: ['email'] })
    .keeps(Customer, { name: 'people', table: 'people', fields: ['name'], columns: { name: 'called' } })
    .keeps(Customer, { name: 'first', table: 'firsts', fields: ['name', 'email'], where: { name: ['n1', 'moved'] } })
  await using one = await testTeam(marketing, { bus, url: (await freshDatabase({ migrated: true })).url })
  const states = async () => (await one.db.query('select replica, state from comity.asked_backfills order by replica')).rows
  await expect
    .poll(states, { timeout: 60_000 })
    .toEqual(['marketing.crm-customer', 'marketing.first', 'marketing.people'].map((replica) => ({ replica, state: 'ready' })))
  const audits = (await one.db.query('select distinct replica, verdict from comity.audits order by replica')).rows
  expect(audits).toEqual((await states()).map((row) => ({ replica: (row as { replica: string }).replica, verdict: 'true' })))

  await one.db.query(
    `insert into comity.pauses (subscription, tenant, reason, author, by) values ('marketing.people', '', 'a test', 'ann', 'operator')`,
  )
  await crm.db.query(`update customers set email = 'new', name = 'moved' where id = 'c2'`)
  await crm.team.drained()
  const row = async (table: string) =>
    (await one.db.query(`select * from ${table} where id = 'c2'`)).rows.map(({ comity_version: _, ...rest }) => rest)
  await expect.poll(() => row('crm_customer')).toEqual([{ id: 'c2', email: 'new' }])
  await expect.poll(() => row('firsts')).toEqual([{ id: 'c2', name: 'moved', email: 'new' }])
  expect(await row('people')).toEqual([{ id: 'c2', called: 'n2' }])
  await one.db.query('delete from comity.pauses')
  await expect.poll(() => row('people'), { timeout: 60_000 }).toEqual([{ id: 'c2', called: 'moved' }])

  expect(one.team.replica(Customer).table).toBe('public.crm_customer')
  const people = one.team.replica(Customer, { name: 'people' })
  expect(people.table).toBe('public.people')
  await crm.db.query(`update customers set name = 'again' where id = 'c3'`)
  const { rows } = await crm.db.query<{ id: string }>(`select max(id)::text as id from comity.outbox where key = 'c3'`)
  await people.waitFor({ topic: 'crm.customer', key: 'c3', version: Number(rows[0]?.id) })
  expect(await people.versionOf('c3')).toBe(Number(rows[0]?.id))
  expect(() => one.team.replica(Customer, { name: 'none' })).toThrow(/keeps no copy of crm.customer named none/)
})
