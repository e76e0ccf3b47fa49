/** A copy that was filled is ready when an audit says that it is true. */
import { team } from 'comity'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import { Customer } from './audited-teams.ts'

test('an audit confirms what was filled; a row older than Comity that can not be said is named, and no drift', async () => {
  const bus = testBus()
  await using crm = await testTeam(team('crm').owns(Customer, { table: 'customers' }), {
    bus,
    url: (await freshDatabase({ migrated: true })).url,
    async setup(db) {
      await db.query(
        'create table customers (id text primary key, agency_id text not null, email text not null, name text, score float8 not null)',
      )
      await db.query(`insert into customers values ('good', 'a', 'g@example.com', 'G', 1), ('unfit', 'a', 'u@example.com', 'U', 'NaN')`)
    },
  })
  await using marketing = await testTeam(team('marketing').keeps(Customer, { fields: ['email', 'score'] }), {
    bus,
    url: (await freshDatabase({ migrated: true })).url,
  })
  const state = async () => (await marketing.db.query<{ state: string }>('select state from comity.asked_backfills')).rows[0]?.state
  await expect.poll(state, { timeout: 60_000 }).toBe('ready')
  const { rows } = await marketing.db.query(
    `select a.cause, a.verdict, a.our_rows::int as ours, a.their_rows::int as theirs, f.key, f.class, f.detail
     from comity.audits a left join comity.audit_findings f on f.audit = a.id`,
  )
  expect(rows).toEqual([
    { cause: 'backfill', verdict: 'true', ours: 1, theirs: 2, key: 'unfit', class: 'withheld', detail: 'COMITY_NUMBER_NOT_FINITE' },
  ])
  await crm.db.query(`update customers set score = 2 where id = 'unfit'`)
  await marketing.caughtUp()
  expect((await marketing.db.query('select id from crm_customer order by id')).rows).toEqual([{ id: 'good' }, { id: 'unfit' }])
})
