import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freshDatabase } from '../../../test/support/postgres.ts'
import { compareRows } from '../src/story/compare.ts'

let database: pg.Pool

beforeAll(async () => {
  database = new pg.Pool({ connectionString: (await freshDatabase()).url })
  await database.query(`create table owner (id int, email text, name text);
    insert into owner values (1, 'a@example.org', 'A'), (2, 'b@example.org', 'B'), (3, 'c@example.org', null)`)
})
afterAll(() => database.end())

/** A copy with something done to it. */
async function compareAfter(corruption: string): Promise<object> {
  await database.query('drop table if exists copy; create table copy as select * from owner')
  await database.query(corruption)
  const side = (table: string): { database: pg.Pool; sql: string } => ({ database, sql: `select id, email, name from ${table}` })
  return compareRows('test', 1, side('owner'), side('copy'))
}

test.each([
  ['nothing', 'select', 0, undefined],
  ['one letter of one row', `update copy set name = 'b' where id = 2`, 1, '["2","b@example.org","b"] should be ["2","b@example.org","B"]'],
  [
    'a text where there was none',
    `update copy set name = '' where id = 3`,
    1,
    '["3","c@example.org",""] should be ["3","c@example.org",null]',
  ],
  ['a row that is missing', 'delete from copy where id = 1', 1, '["1","a@example.org","A"] is missing'],
  ['a row that is too many', `insert into copy values (4, 'd@example.org', 'D')`, 1, '["4","d@example.org","D"] is too many'],
  ['a row twice', 'insert into copy select * from copy where id = 1', 1, '["1","a@example.org","A"] is too many'],
  ['two rows exchanged', 'update copy set id = 3 - id where id < 3', 2, '["2","a@example.org","A"] should be ["2","b@example.org","B"]'],
  ['everything', 'truncate copy', 3, '["1","a@example.org","A"] is missing'],
])('the comparison finds %s', async (_what, corruption, mismatches, example) => {
  expect(await compareAfter(corruption)).toEqual({ name: 'test', rows: 3, mismatches, ...(example === undefined ? {} : { example }) })
})

test('an owner that has a key twice is no owner to compare with', async () => {
  const twice = { database, sql: 'select id, email, name from owner union all select 1, email, name from owner where id = 2' }
  const { mismatches } = await compareRows('test', 1, twice, { database, sql: 'select id, email, name from owner' })
  expect(mismatches).toBeGreaterThan(0)
})
