/** A plan tells about how many rows there are, also of a table that nobody has analysed. */
import { type Queryable, team } from 'comity'
import { planBackfill } from 'comity/admin'
import { testBus, testTeam } from 'comity/testing'
import { expect, test } from 'vitest'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { CUSTOMERS, Customer } from './customers.ts'

const WIDE = (from: number, to: number) =>
  `insert into customers select 'c' || i, 'a1', 'c' || i || '@example.com', repeat('x', 250) from generate_series(${from}, ${to}) i`

test('a few rows are counted, many are estimated by a sample, statistics by the size of now', async () => {
  await using crm = await testTeam<Queryable>(team<Queryable>('crm').owns(Customer, { table: 'customers' }), {
    ...{ bus: testBus(), url: (await freshDatabase({ migrated: true })).url },
    setup: (db) => db.query(`${CUSTOMERS} with (autovacuum_enabled = false); analyze customers`),
  })
  const { declaration } = team('marketing').keeps(Customer, { fields: ['name'] })
  const estimate = async () => (await planBackfill({ declaration, replica: 'marketing.crm-customer' }, crm.team.environment)).estimate
  expect(await estimate()).toBe(0)
  // As rows that are older than Comity.
  await crm.db.query('alter table customers disable trigger all')
  await crm.db.query(WIDE(1, 1234))
  expect(await estimate()).toBe(1234)
  await crm.db.query(WIDE(1235, 40_000))
  const [pages] = (await crm.db.query<{ n: number }>(`select (pg_relation_size('customers') / 8192)::int as n`)).rows
  expect(pages?.n, 'more than are looked at').toBeGreaterThan(1400)
  const sampled = await estimate()
  expect(sampled / 40_000).toBeGreaterThan(0.85)
  expect(sampled / 40_000).toBeLessThan(1.15)
  await crm.db.query('analyze customers')
  await crm.db.query(WIDE(40_001, 60_000))
  expect((await estimate()) / 60_000).toBeCloseTo(1, 1)
})
