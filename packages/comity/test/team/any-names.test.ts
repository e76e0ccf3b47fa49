/** A table that nobody designed for us: its columns are called whatever our own SQL might call something, too. */
import { entity } from '@comity/contract'
import { type Queryable, team } from 'comity'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { until } from '../../../../test/chaos/until.ts'
import { testTeam } from '../../../../test/support/test-team.ts'

const LETTERS = [...'abcdefghijklmnopqrstuvwxyz']
const WORDS = [
  'old',
  'new',
  'row',
  'key',
  'state',
  'tenant',
  'change',
  'leaf',
  'version',
  'hash',
  'excluded',
  'data',
  'value',
  'oid',
  'kept',
  'a$',
  'a$$',
  '$&',
  'constructor',
  'toString',
]
const NAMES = [...LETTERS, ...WORDS]
/** Else the copy would have `a_`, or `to_string`. */
const AS_THEY_ARE = Object.fromEntries(['a$', 'a$$', '$&', 'toString'].map((name) => [name, name]))
const Thing = entity('shop.thing', {
  key: 'id',
  state: z.object({ id: z.int(), ...Object.fromEntries(NAMES.map((name) => [name, z.string()])) }),
})
const quoted = NAMES.map((name) => `"${name}"`)

const tables = {
  plain: [`create table things (id int primary key, ${quoted.map((name) => `${name} text not null`).join(', ')})`],
  'partitioned, with another layout in one part': [
    `create table things (id int primary key, ${quoted.map((name) => `${name} text not null`).join(', ')}) partition by range (id)`,
    'create table things_low partition of things for values from (0) to (50)',
    `create table things_high (${quoted.map((name) => `${name} text not null`).join(', ')}, id int primary key)`,
    'alter table things attach partition things_high for values from (50) to (1000)',
  ],
}

test.each(Object.entries(tables))('%s: written, copied, filled, compared and repaired', async (_which, statements) => {
  const bus = testBus()
  await using shop = await testTeam(team('shop').owns(Thing, { table: 'things' }), {
    bus,
    async setup(db) {
      for (const statement of statements) await db.query(statement)
      await db.query(`insert into things select i, ${NAMES.map((name) => `'${name} ' || i`).join(', ')} from generate_series(0, 99) i`)
    },
  })
  await using stock = await testTeam(team('stock').keeps(Thing, { fields: NAMES as never, columns: AS_THEY_ARE }), { bus })
  const rows = async (sql: Queryable, table: string) =>
    (await sql.query(`select id::text, ${quoted.join(', ')} from ${table} order by id::int`)).rows
  const equal = (what: string) =>
    until(what, async () => JSON.stringify(await rows(stock.db, 'shop_thing')) === JSON.stringify(await rows(shop.db, 'things')), 60_000)

  await equal('it is filled')
  await shop.db.query(`insert into things select 200, ${NAMES.map((name) => `'${name}'`).join(', ')}`)
  await shop.db.query(`insert into things select i, ${NAMES.map((name) => `'${name}'`).join(', ')} from generate_series(300, 310) i`)
  await shop.db.query('update things set "n" = $1::text where id = 1', ['one'])
  await shop.db.query('update things set "o" = "p" || id where id between 20 and 80')
  await shop.db.query('update things set id = 400 where id = 60')
  await shop.db.query('delete from things where id = 2')
  await shop.db.query('delete from things where id between 30 and 70')
  await equal('it follows')

  await stock.db.query(`update shop_thing set "r" = 'another' where id in (3, 90)`)
  await stock.db.query(`delete from shop_thing where id = 4`)
  const audit = async (repair: boolean) => {
    const { rows: asked } = await stock.db.query<{ id: string }>(
      `insert into comity.audits (replica, repair, cause, author, reason) values ('stock.shop-thing', $1::text::boolean, 'operator', 'a test', 'to know')
       returning id::text as id`,
      [String(repair)],
    )
    return until(
      'it has ended',
      async () =>
        (
          await stock.db.query<{ verdict: string; named: number }>(
            `select verdict, (select count(*)::int from comity.audit_findings f where f.audit = a.id) as named
             from comity.audits a where id = $1::text::uuid and state = 'ended'`,
            [asked[0]?.id],
          )
        ).rows[0],
      60_000,
    )
  }
  expect(await audit(false)).toEqual({ verdict: 'drift', named: 3 })
  expect(await audit(true)).toEqual({ verdict: 'true', named: 3 })
  await equal('it is repaired')

  await shop.db.query('truncate things')
  await equal('it is empty')
})
