/** The same change of an entity's field, for a copy that keeps it: in each step the owner writes on, and at the end the copy is as its owner. */
import type { Queryable, Team } from 'comity'
import { testBus } from 'comity/testing'
import pg from 'pg'
import { expect, test } from 'vitest'
import { until } from '../chaos/until.ts'
import { full } from '../support/full.ts'
import { freshDatabase } from '../support/postgres.ts'
import { CUSTOMERS, sides } from './customers.ts'

const EACH_STEP = full ? 2000 : 60
const KEYS = 40

test('a copy of the changing field is lifted from messages and chunks alike, and ends as its owner', {
  timeout: full ? 600_000 : 120_000,
}, async () => {
  const bus = testBus()
  const [crmDatabase, marketingDatabase] = [await freshDatabase({ migrated: true }), await freshDatabase({ migrated: true })]
  const [crm, marketing] = [crmDatabase, marketingDatabase].map(({ url }) => new pg.Pool({ connectionString: url, max: 4 })) as [
    pg.Pool,
    pg.Pool,
  ]
  await crm.query(CUSTOMERS)
  // Older than Comity: only a backfill brings them.
  await crm.query(`insert into customers (id, name) select 'old' || i, 'Old ' || i from generate_series(1, 700) i`)
  const start = async (url: string, one: Team<Queryable>): Promise<Team<Queryable>> => {
    const started = one.with<Queryable>({ database: url, transport: bus.memory.connect(), allowUnsafe: true })
    await started.migrate()
    await started.provision()
    await started.start()
    return started
  }
  let writes = 0
  async function write(columns: readonly ('name' | 'full_name')[]): Promise<void> {
    for (let n = 0; n < EACH_STEP; n++) {
      const [key, name] = [`c${Math.floor(Math.random() * KEYS)}`, `name ${++writes}`]
      await crm.query(
        `insert into customers (id, name, full_name) values ($1, $2, $3)
         on conflict (id) do update set ${columns.map((column) => `${column} = excluded.${column}`).join(', ')}`,
        [key, name, columns.includes('full_name') ? name : null],
      )
    }
  }
  const states = async () =>
    (await marketing.query('select distinct state from comity.asked_backfills')).rows.map(({ state }) => state).join()
  const owned = async () => (await crm.query(`select id, coalesce(full_name, name) as name from customers order by id collate "C"`)).rows
  const copied = async (column: string) =>
    (await marketing.query(`select id, ${column} as name from crm_customer order by id collate "C"`)).rows
  const converged = async (column: string): Promise<void> => {
    await until(
      'the copy is as its owner',
      async () => JSON.stringify(await copied(column)) === JSON.stringify(await owned()) && (await states()) === 'ready',
      120_000,
    )
  }

  const owner1 = await start(crmDatabase.url, sides.owner1())
  const reader1 = await start(marketingDatabase.url, sides.reader1())
  await write(['name'])
  await converged('name')
  // The reader is ahead of its owner: it has no field of what it keeps, and lifts.
  await reader1.stop()
  const [reader2] = await Promise.all([start(marketingDatabase.url, sides.reader2()), write(['name'])])
  await converged('full_name')
  // Expand: rows of before beside rows that have both.
  const owner2 = await start(crmDatabase.url, sides.owner2())
  await Promise.all([write(['name', 'full_name']), owner1.stop()])
  await converged('full_name')
  await marketing.query(
    `insert into comity.audits (replica, repair, cause, author, reason) values ('marketing.crm-customer', false, 'operator', 'a test', 'to know')`,
  )
  const verdicts = async () => (await marketing.query(`select verdict from comity.audits where cause = 'operator'`)).rows[0]?.verdict
  await until('the audit has ended', async () => (await verdicts()) !== null, 120_000)
  expect(await verdicts()).toBe('true')
  // Contract: every row has the new field.
  await crm.query('update customers set full_name = name where full_name is null')
  const owner3 = await start(crmDatabase.url, sides.owner3())
  await Promise.all([write(['name', 'full_name']), owner2.stop()])
  await converged('full_name')
  expect((await crm.query('select count(*)::int as n from comity.withheld where resolved_at is null')).rows).toEqual([{ n: 0 }])
  expect((await marketing.query('select key from comity.waiting_keys')).rows).toEqual([])
  for (const one of [owner3, reader2]) await one.stop()
  await Promise.all([crm.end(), marketing.end()])
})
