import { expect, test } from 'vitest'
import type { Queryable } from '../../src/postgres/index.ts'
import { OutboxReader } from '../../src/relay/outbox-reader.ts'
import { teamDatabase } from '../team-database.ts'

const insert = (sql: Queryable, key: string) =>
  sql
    .query<{ id: string }>(
      `insert into comity.outbox (topic, key, kind, payload) values ('t.x', $1::text, 'event', '{}') returning id::text as id`,
      [key],
    )
    .then(({ rows }) => Number(rows[0]?.id))

/** Holds a transaction open until it is told how to end. */
async function open(database: Awaited<ReturnType<typeof teamDatabase>>, key: string) {
  let end: (how: 'commit' | 'rollback') => void = () => undefined
  const ended = new Promise<'commit' | 'rollback'>((resolve) => {
    end = resolve
  })
  let inserted: (id: number) => void = () => undefined
  const id = new Promise<number>((resolve) => {
    inserted = resolve
  })
  const done = database
    .transaction(async (tx) => {
      inserted(await insert(tx, key))
      if ((await ended) === 'rollback') throw new RangeError('rolled back on purpose')
    })
    .catch((error) => {
      if (!(error instanceof RangeError)) throw error
    })
  return {
    id: await id,
    end(how: 'commit' | 'rollback') {
      end(how)
      return done
    },
  }
}

test('a row that commits after a later one is read as soon as it is visible, and nothing is settled past it before', async () => {
  const database = await teamDatabase()
  const reader = new OutboxReader(database)
  reader.reset(0)
  const late = await open(database, 'late')
  const early = await insert(database, 'early')

  expect((await reader.read(10)).rows.map((row) => row.key)).toEqual(['early'])
  for (let i = 0; i < 3; i++) {
    await reader.observe()
    await reader.read(10)
  }
  expect(reader.settled).toBeLessThan(late.id)

  await late.end('commit')
  expect((await reader.read(10)).rows.map((row) => row.key)).toEqual(['late'])
  await reader.observe()
  await reader.read(10)
  expect(reader.settled).toBeGreaterThanOrEqual(early)
  await database.close()
})

test('a number that rolled back is settled when its transaction has ended, not by time', async () => {
  const database = await teamDatabase()
  const reader = new OutboxReader(database)
  reader.reset(0)
  const lost = await open(database, 'lost')
  const kept = await insert(database, 'kept')
  await reader.read(10)
  await reader.observe()
  await reader.read(10)
  expect(reader.settled).toBeLessThan(lost.id)
  await lost.end('rollback')
  await reader.observe()
  expect((await reader.read(10)).rows).toEqual([])
  expect(reader.settled).toBeGreaterThanOrEqual(kept)
  expect(reader.gaps).toBe(0)
  await database.close()
})

test('gaps and what follows come in one order of versions, also when the limit cuts them', async () => {
  const database = await teamDatabase()
  const reader = new OutboxReader(database)
  reader.reset(0)
  const first = await open(database, 'k')
  const second = await open(database, 'k')
  await insert(database, 'other')
  expect((await reader.read(1)).rows.map((row) => row.key)).toEqual(['other'])
  const third = await insert(database, 'k')
  await second.end('commit')
  await first.end('commit')
  const read = [...(await reader.read(2)).rows, ...(await reader.read(2)).rows, ...(await reader.read(2)).rows]
  expect(read.map((row) => row.id)).toEqual([first.id, second.id, third])
  await database.close()
})

test('a settled version is not reached while a read was cut by its limit', async () => {
  const database = await teamDatabase()
  const reader = new OutboxReader(database)
  reader.reset(0)
  const ids: number[] = []
  for (let i = 0; i < 5; i++) ids.push(await insert(database, `k${i}`))
  await reader.observe()
  await reader.read(2)
  expect(reader.settled).toBe(0)
  await reader.read(2)
  expect(reader.settled).toBe(0)
  await reader.read(2)
  expect(reader.settled).toBeGreaterThanOrEqual(ids[4] as number)
  await database.close()
})

test('a transaction that only reads, or that writes elsewhere, holds nothing up', async () => {
  const database = await teamDatabase()
  await database.query('create table elsewhere (n int)')
  const reader = new OutboxReader(database)
  reader.reset(0)
  let end: () => void = () => undefined
  const held = new Promise<void>((resolve) => {
    end = resolve
  })
  let started: () => void = () => undefined
  const running = new Promise<void>((resolve) => {
    started = resolve
  })
  const long = database.transaction(async (tx) => {
    await tx.query('insert into elsewhere values (1)')
    await tx.query('select count(*) from comity.outbox')
    started()
    await held
  })
  await running
  const id = await insert(database, 'k')
  await reader.read(10)
  await reader.observe()
  await reader.read(10)
  expect(reader.settled).toBeGreaterThanOrEqual(id)
  end()
  await long
  await database.close()
})

test('versions are numbers in the order of the read, however many digits they have', async () => {
  const database = await teamDatabase()
  const reader = new OutboxReader(database)
  reader.reset(0)
  await database.query(`select setval('comity.outbox_id', 99999999999997)`)
  const ids: number[] = []
  for (let i = 0; i < 5; i++) ids.push(await insert(database, 'k'))
  expect(ids.map((id) => String(id).length)).toEqual([14, 14, 15, 15, 15])
  expect((await reader.read(10)).rows.map((row) => row.id)).toEqual(ids)
  await database.close()
})

test('large payloads cut a read by their bytes: a prefix of what is unsent, never nothing, and nothing is settled past it', async () => {
  const database = await teamDatabase()
  const reader = new OutboxReader(database)
  reader.reset(0)
  const write = async (kilobytes: number | null): Promise<number> => {
    const { rows } = await database.query<{ id: string }>(
      `insert into comity.outbox (topic, key, kind, payload) values ('t.x', 'k', $2::text, to_json(repeat('x', 1000 * $1::int))::text) returning id::text as id`,
      [kilobytes, kilobytes === null ? 'deleted' : 'updated'],
    )
    return Number(rows[0]?.id)
  }
  const ids: number[] = []
  for (const kilobytes of [1, 9000, null, 3000, 2000, null, 1]) ids.push(await write(kilobytes))
  await reader.observe()
  const reads = []
  do {
    reads.push(await reader.read(100))
    if (!reads.at(-1)?.complete) expect(reader.settled).toBe(0)
  } while (!reads.at(-1)?.complete)
  expect(reads.map(({ rows }) => rows.map(({ id }) => ids.indexOf(id)))).toEqual([
    [0, 1],
    [2, 3, 4],
    [5, 6],
  ])
  expect(reader.settled).toBeGreaterThanOrEqual(ids.at(-1) as number)
  await database.close()
})
