/** Keys of every day of the calendar are compared, and repaired; what no column of the copy can hold is in no copy. */
import { entity } from '@comity/contract'
import { team } from 'comity'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { until } from '../../../../test/chaos/until.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import { fitsKey } from '../../src/audit/row-source.ts'

const Shift = entity('shop.shift', { key: ['day', 'at'], state: z.object({ day: z.iso.date(), at: z.iso.datetime(), name: z.string() }) })

test('a row of the last day of a month has drifted: it is named, and repaired', async () => {
  const bus = testBus()
  await using shop = await testTeam(team('shop').owns(Shift, { table: 'shifts' }), {
    bus,
    async setup(db) {
      await db.query('create table shifts (day date, at timestamptz, name text not null, primary key (day, at))')
      await db.query(
        `insert into shifts select d, d + interval '1 hour', 'n' from generate_series('2024-02-27'::date, '2024-03-31', '1 day') d`,
      )
    },
  })
  await using stock = await testTeam(team('stock').keeps(Shift, { fields: ['name'] }), { bus })
  const ready = async () => (await stock.db.query(`select from comity.asked_backfills where state = 'ready'`)).rows.length === 1
  await until('it is filled', ready, 30_000)
  await stock.db.query(`update shop_shift set name = 'wrong' where day in ('2024-02-29', '2024-03-30', '2024-03-31')`)
  await stock.db.query(
    `insert into comity.audits (replica, repair, cause, author, reason) values ('stock.shop-shift', true, 'operator', 'a test', 'to know')`,
  )
  const audited = await until(
    'it is compared',
    async () =>
      (
        await stock.db.query(
          `select a.verdict, array(select f.class from comity.audit_findings f where f.audit = a.id) as classes
           from comity.audits a where cause = 'operator' and state = 'ended'`,
        )
      ).rows[0],
    30_000,
  )
  expect(audited).toEqual({ verdict: 'true', classes: ['different', 'different', 'different'] })
  expect((await stock.db.query(`select from shop_shift where name = 'wrong'`)).rows).toEqual([])
  await shop.team.drained()
})

test.each([
  [
    'date',
    ['2020-01-31', '2020-02-29', '0001-12-30', '9999-12-31'],
    ['2021-02-29', '2021-02-31', '2021-04-31', '2021-13-01', '2021-00-10', '2021-01-00', '0000-01-01', 'x'],
  ],
  [
    'timestamptz',
    ['2020-01-31T23:59:59.123456Z', '2020-02-29T00:00:00Z'],
    ['2021-02-29T00:00:00Z', '2020-01-01T24:00:00Z', '2020-01-31', '2020-06-31T10:00:00Z'],
  ],
])('which texts a key of %s fits', (type, fitting, others) => {
  const fits = (text: string) => fitsKey({ name: 'r', schema: 's', table: 't', columns: [{ field: 'k', column: 'k', type, key: 0 }] }, text)
  expect(fitting.filter((text) => !fits(text))).toEqual([])
  expect(others.filter(fits)).toEqual([])
})
