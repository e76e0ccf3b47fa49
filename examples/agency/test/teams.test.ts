/** Tests as a team writes them: a bus in memory, real databases, every team in this process. */

import { fromPg } from 'comity/pg'
import { testBus } from 'comity/testing'
import pg from 'pg'
import { expect, test } from 'vitest'
import { testTeam } from '../../../test/support/test-team.ts'
import crmConfig from '../src/crm/comity.config.ts'
import { tables as crmTables } from '../src/crm/tables.ts'
import analysisConfig from '../src/data-analysis/comity.config.ts'
import { tables as analysisTables } from '../src/data-analysis/tables.ts'
import { launch, sendByHand, sendNext } from '../src/marketing/campaigns.ts'
import marketingConfig from '../src/marketing/comity.config.ts'
import { tables as marketingTables } from '../src/marketing/tables.ts'

test('Marketing keeps email and name of every customer, and no phone', async () => {
  const bus = testBus()
  await using crm = await testTeam(crmConfig, { bus, setup: (db) => db.query(crmTables) })
  await using marketing = await testTeam(marketingConfig, {
    bus,
    setup: (db) => db.query(marketingTables),
    database: (url) => fromPg(new pg.Pool({ connectionString: url, allowExitOnIdle: true })),
  })

  await crm.db.query(
    `insert into customers (agency_id, email, name, phone) values ('beaver', 'ada@example.org', 'Ada', '+999 1'), ('beaver', 'gone@example.org', 'X', null)`,
  )
  await crm.db.query(`update customers set name = 'Ada L.', phone = '+999 2' where email = 'ada@example.org'`)
  await crm.db.query(`delete from customers where email = 'gone@example.org'`)
  await marketing.caughtUp()

  const { rows } = await marketing.db.query('select * from crm_customer')
  expect(rows).toEqual([
    { id: '1', agency_id: 'beaver', email: 'ada@example.org', name: 'Ada L.', comity_version: expect.stringMatching(/^\d+$/) },
  ])
})

test('an email that was sent has its effect once in each team, and what CRM keeps to itself is announced to nobody', async () => {
  const bus = testBus()
  await using crm = await testTeam(crmConfig, { bus, setup: (db) => db.query(crmTables) })
  await using marketing = await testTeam(marketingConfig, {
    bus,
    setup: (db) => db.query(marketingTables),
    database: (url) => fromPg(new pg.Pool({ connectionString: url, allowExitOnIdle: true })),
  })
  await using analysis = await testTeam(analysisConfig, { bus, setup: (db) => db.query(analysisTables) })
  await crm.db.query(
    `insert into customers (agency_id, email, name) select 'beaver', 'c' || i || '@example.org', 'C' from generate_series(1, 3) i`,
  )
  await marketing.caughtUp()

  const pool = new pg.Pool({ connectionString: marketing.url })
  await launch(pool, { id: 'beaver-spring-2026', agencyId: 'beaver', title: 'Spring' })
  expect(await sendNext(pool, 'beaver-spring-2026', 2)).toBe(2)
  expect(await sendNext(pool, 'beaver-spring-2026', 2)).toBe(1)
  expect(await sendNext(pool, 'beaver-spring-2026', 2)).toBe(0)
  await pool.end()
  await crm.caughtUp()
  await analysis.caughtUp()

  const handed = await crm.db.query('select customer_id, campaign_id from third_party_log order by customer_id')
  expect(handed.rows).toEqual(['1', '2', '3'].map((customer_id) => ({ customer_id, campaign_id: 'beaver-spring-2026' })))
  expect((await crm.db.query('select from customers where last_email is null')).rows).toEqual([])
  const sent = await analysis.db.query('select customer_id, year from emails_sent order by customer_id')
  expect(sent.rows).toEqual(['1', '2', '3'].map((customer_id) => ({ customer_id, year: 2026 })))
  const announced = await crm.db.query('select from comity.outbox') // three inserts; last_email is in no contract
  expect(announced.rows).toHaveLength(3)
})

test('a bad message makes its own customer wait, in order, and nobody else', async () => {
  const bus = testBus()
  await using marketing = await testTeam(marketingConfig, {
    bus,
    setup: (db) => db.query(marketingTables),
    database: (url) => fromPg(new pg.Pool({ connectionString: url, allowExitOnIdle: true })),
  })
  await using analysis = await testTeam(analysisConfig, { bus, setup: (db) => db.query(analysisTables) })
  await marketing.db.query(
    `insert into crm_customer (id, agency_id, email, name, comity_version) values ('1', 'b', 'a@example.org', 'A', 1), ('2', 'b', 'b@example.org', 'B', 1)`,
  )
  const pool = new pg.Pool({ connectionString: marketing.url })
  await sendByHand(pool, 'undefined', '1')
  await sendByHand(pool, 'after-2026', '1')
  await sendByHand(pool, 'after-2026', '2')
  await pool.end()

  expect(await analysis.caughtUp()).toEqual({ waiting: 2 })
  const sent = (): Promise<unknown> =>
    analysis.db.query('select customer_id, campaign_id from emails_sent order by sent_at').then(({ rows }) => rows)
  expect(await sent()).toEqual([{ customer_id: '2', campaign_id: 'after-2026' }])

  await analysis.db.query(`insert into campaign_years values ('undefined', 2026)`)
  const { subscriptions } = await analysis.team.status()
  const subscription = subscriptions.find(({ waiting }) => waiting > 0)?.name ?? ''
  expect(await analysis.team.retry(subscription, '1')).toEqual({ ran: 2, stale: 0 })
  expect(await analysis.caughtUp()).toEqual({ waiting: 0 })
  expect(await sent()).toEqual([
    { customer_id: '1', campaign_id: 'undefined' },
    { customer_id: '1', campaign_id: 'after-2026' },
    { customer_id: '2', campaign_id: 'after-2026' },
  ])
})
