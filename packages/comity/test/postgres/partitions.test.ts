/** The leaves of outbox, inbox and waiting lines: made ahead, emptied and dropped behind, and never in anybody's way. */
import { expect, test } from 'vitest'
import type { PostgresDatabase } from '../../src/postgres/index.ts'
import { teamDatabase } from '../team-database.ts'

const DAY = 86_400_000_000

async function leaves(database: PostgresDatabase, parent: string): Promise<{ leaf: string; lower: string; upper: string | null }[]> {
  const { rows } = await database.query<{ leaf: string; lower: string; upper: string | null }>(
    'select leaf, lower_bound as lower, upper_bound as upper from comity.partitions where parent = $1::text order by upper_bound is null, length(upper_bound), upper_bound',
    [parent],
  )
  return rows
}
const clock = async (database: PostgresDatabase): Promise<number> =>
  Number((await database.query<{ id: string }>('select comity.clock_id()::text as id')).rows[0]?.id)
const maintain = (database: PostgresDatabase, times = 1) =>
  Array.from({ length: times }).reduce<Promise<unknown>>(
    (before) =>
      before.then(async () => {
        await database.query(`select comity.maintain_outbox('1 day')::text as done`)
        await database.query(`select comity.maintain_inbox('33 days')::text as done`)
        await database.query(`select comity.maintain_waiting('33 days')::text as done`)
      }),
    Promise.resolve(),
  )
const insert = (database: PostgresDatabase, id: number, count = 1) =>
  database.query(
    `insert into comity.outbox (id, topic, key, kind, payload) select n, 'a.b', 'k', 'event', '{}' from generate_series($1::text::bigint, $1::text::bigint + $2::int - 1) n`,
    [String(id), count],
  )

test('leaves are made two weeks ahead, a day each, one at a time', async () => {
  const database = await teamDatabase()
  const before = await leaves(database, 'outbox')
  await maintain(database)
  expect(await leaves(database, 'outbox')).toHaveLength(before.length + 1)
  await maintain(database, 20)
  for (const parent of ['outbox', 'inbox', 'waiting']) expect((await leaves(database, parent)).length).toBeGreaterThanOrEqual(14)
  const made = await leaves(database, 'outbox')
  const bounds = made.slice(1, -1).map(({ lower, upper }) => Number(upper) - Number(lower))
  expect(new Set(bounds)).toEqual(new Set([DAY]))
  expect(Number(made.at(-1)?.lower)).toBeGreaterThan((await clock(database)) + 13 * DAY)
  for (const id of [1, await clock(database), (await clock(database)) + 5 * DAY, (await clock(database)) + 1000 * DAY])
    await insert(database, id)
  await database.close()
})

test('what is settled and a day old goes; what is not settled stays', async () => {
  const database = await teamDatabase()
  const now = await clock(database)
  const [first] = await leaves(database, 'outbox')
  // The oldest leaf ends three days ago.
  const end = now - 3 * DAY
  for (const statement of [
    `alter table comity.outbox detach partition comity.${first?.leaf}`,
    `alter table comity.outbox attach partition comity.${first?.leaf} for values from (minvalue) to (${end})`,
    `create table comity.outbox_next partition of comity.outbox for values from (${end}) to (${first?.upper})`,
    `insert into comity.partitions (parent, leaf, lower_bound, upper_bound) values ('outbox', 'outbox_next', '${end}', '${first?.upper}')`,
    `update comity.partitions set upper_bound = '${end}' where leaf = '${first?.leaf}'`,
  ])
    await database.query(statement)
  await insert(database, now - 4 * DAY)
  await database.query('update comity.checkpoint set id = $1::text::bigint', [String(now - 5 * DAY)])
  await maintain(database)
  expect((await leaves(database, 'outbox')).map(({ leaf }) => leaf)).toContain(first?.leaf)
  await database.query('update comity.checkpoint set id = $1::text::bigint', [String(now - DAY)])

  // A transaction that has written keeps the parent locked: the leaf is emptied, and dropped another time.
  let commit: () => void = () => undefined
  const held = new Promise<void>((resolve) => {
    commit = resolve
  })
  let began: () => void = () => undefined
  const writing = new Promise<void>((resolve) => {
    began = resolve
  })
  const long = database.transaction(async (tx) => {
    await tx.query(`insert into comity.outbox (topic, key, kind, payload) values ('a.b', 'k', 'event', '{}')`)
    began()
    await held
  })
  await writing
  await maintain(database)
  expect((await leaves(database, 'outbox')).map(({ leaf }) => leaf)).toContain(first?.leaf)
  expect((await database.query('select id::text from comity.outbox where id < $1::text::bigint', [String(now - DAY)])).rows).toEqual([])
  commit()
  await long
  await maintain(database)
  expect((await leaves(database, 'outbox')).map(({ leaf }) => leaf)).not.toContain(first?.leaf)
  await database.close()
})

test('a tail that has filled up is left alone, for to end it would hold up the writers', async () => {
  const database = await teamDatabase()
  const tail = (await leaves(database, 'outbox')).at(-1)
  await insert(database, Number(tail?.lower), 200_001)
  await maintain(database, 3)
  expect((await leaves(database, 'outbox')).at(-1)).toEqual(tail)
  await database.close()
})

test('a leaf of lines goes when nothing in it waits any more, and what is older still finds a place', async () => {
  const database = await teamDatabase()
  const [first] = await leaves(database, 'waiting')
  const old = "now() - interval '50 days'"
  await database.query(`update comity.partitions set upper_bound = (now() - interval '40 days')::text where leaf = '${first?.leaf}'`)
  await database.query(`insert into comity.waiting_keys (subscription, key, reason) values ('a.s', 'k', 'parked')`)
  await database.query(
    `insert into comity.waiting (subscription, generation, key, reason, message, time, attributes, data) values ('a.s', 1, 'k', 'parked', 'm', ${old}, '{}', '')`,
  )
  await maintain(database)
  expect((await leaves(database, 'waiting')).map(({ leaf }) => leaf)).toContain(first?.leaf)
  await database.query(`delete from comity.waiting_keys`)
  await maintain(database)
  expect((await leaves(database, 'waiting')).map(({ leaf }) => leaf)).not.toContain(first?.leaf)
  const { rows } = await database.query<{ fits: boolean }>(
    `select greatest(${old}, comity.waiting_floor()) > now() - interval '40 days' as fits`,
  )
  expect(rows).toEqual([{ fits: true }])
  await database.close()
})
