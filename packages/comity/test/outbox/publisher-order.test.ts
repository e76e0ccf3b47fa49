/** Versions: per key they grow in the order of the commits, and none is used twice, in this life of the database or another. */
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type EmbeddedPostgres, launchPostgres } from '@comity/embedded-postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Publisher } from '../../src/outbox/publisher.ts'
import { applyMigrations, connect, loadMigrations, type Queryable } from '../../src/postgres/index.ts'
import { Counted, Customer, Noted, type PublishingDatabase, publishingDatabase } from './publishing.ts'

let db: PublishingDatabase
beforeAll(async () => {
  db = await publishingDatabase()
})
afterAll(() => db.close())

const customer = (id: string, n: number) => ({ id, agencyId: 'a1', email: `${n}@example.com` })
const count = (id: number, n: number) => ({ id, shop: 1, n })
const numbers = Array.from({ length: 60 }, (_, n) => n)
const ascending = (versions: readonly number[]) => [...versions].sort((a, b) => a - b)

interface Publishing {
  readonly what: string
  readonly topic: string
  readonly publish: (tx: Queryable, key: number, n: number) => Promise<number>
}
const ordered: readonly Publishing[] = [
  {
    what: 'states of an entity',
    topic: 'crm.customer',
    publish: (tx, key, n) => new Publisher(Customer).publish(tx, customer(String(key), n)),
  },
  { what: 'ordered events', topic: 'crm.counted', publish: (tx, key, n) => new Publisher(Counted).publish(tx, count(key, n)) },
]

describe.each(ordered)('$what', ({ topic, publish }) => {
  test('get their versions in the order of their commits, from any number of writers', async () => {
    const commits = new Map<number, number[]>()
    await db.query(`create table if not exists commits (topic text, key int, n int, version bigint, primary key (topic, key, n))`)
    await Promise.all(
      numbers.map((n) =>
        db.transaction(async (tx) => {
          const key = n % 3
          const version = await publish(tx, key, n)
          // Numbered after the publication: whoever publishes next for this key has not been let in yet.
          await tx.query(
            `insert into commits select $1::text, $2::int, count(*) + 1, $3::text::bigint from commits where topic = $1::text and key = $2::int`,
            [topic, key, String(version)],
          )
        }),
      ),
    )
    const { rows } = await db.query<{ key: number; version: string }>(
      `select key, version::text as version from commits where topic = $1::text order by key, n`,
      [topic],
    )
    for (const { key, version } of rows) commits.set(key, [...(commits.get(key) ?? []), Number(version)])
    expect(rows).toHaveLength(numbers.length)
    for (const versions of commits.values()) expect(versions).toEqual(ascending(versions))
  })

  test('draw their version only when the key is theirs', async () => {
    const drawn = await db.transaction(async (tx) => {
      const first = await publish(tx, 100, 1)
      const waiter = db.transaction((other) => publish(other, 100, 2))
      await blocked()
      return { first, other: await db.transaction((other) => publish(other, 101, 1)), waiter }
    })
    const versions = [drawn.first, drawn.other, await drawn.waiter]
    expect(versions).toEqual(ascending(versions))
  })

  test('under REPEATABLE READ fail rather than overtake', async () => {
    const before = (await db.outbox(topic)).length
    await db.session(async (session) => {
      await session.query('begin isolation level repeatable read')
      await session.query('select 1 as one from comity.contracts')
      await db.transaction((tx) => publish(tx, 200, 1))
      await expect(publish(session, 200, 2)).rejects.toMatchObject({ code: '40001' })
      await session.query('rollback')
    })
    expect(await db.outbox(topic)).toHaveLength(before + 1)
  })
})

test('bulk calls over the same keys in opposite orders never deadlock', async () => {
  const [customers, counts] = [new Publisher(Customer), new Publisher(Counted)]
  for (let round = 0; round < 15; round++) {
    const states = numbers.map((n) => customer(`bulk ${n}`, round))
    const events = numbers.map((n) => count(1000 + n, round))
    await Promise.all([
      db.transaction((tx) => customers.publishMany(tx, states)),
      db.transaction((tx) => customers.publishMany(tx, states.toReversed())),
      db.transaction((tx) => counts.publishMany(tx, events)),
      db.transaction((tx) => counts.publishMany(tx, events.toReversed())),
    ])
  }
  const rows = (await db.outbox()).filter(({ key }) => key === 'bulk 7' || key === '1007')
  expect(rows.filter(({ topic }) => topic === 'crm.customer')).toHaveLength(30)
  expect(rows.filter(({ topic }) => topic === 'crm.counted')).toHaveLength(30)
})

test('events that are not ordered wait for nobody', async () => {
  const notes = new Publisher(Noted)
  await db.transaction(async (tx) => {
    const first = await notes.publish(tx, { id: 'same', body: 1 })
    const second = await db.transaction((other) => notes.publish(other, { id: 'same', body: 2 }))
    expect(second).toBeGreaterThan(first)
  })
})

describe('another life of the database', () => {
  let folder: string
  let server: EmbeddedPostgres
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'comity-incarnations-'))
    server = await launchPostgres({ directory: join(folder, 'first') })
    await withDatabase(await server.createDatabase('crm'), async (database) => {
      await applyMigrations(database, {
        schema: 'comity',
        major: 1,
        migrations: await loadMigrations(new URL('../../migrations/', import.meta.url)),
      })
      await database.query(
        `insert into comity.contracts (topic, kind, source, key_fields, description) values ('crm.noted', 'event', 'published', '{id}', '{}')`,
      )
      // As if it had been made an hour ago, and had lived since.
      await database.query(`insert into comity.incarnations (identity, first_version, last_survived)
        values (comity.identity(), setval('comity.outbox_id', comity.clock_id(now() - interval '1 hour')) + 1, 0)`)
    })
  }, 90_000)
  afterAll(async () => {
    await server.close()
    await rm(folder, { recursive: true, force: true })
  })

  const drawn: number[] = []
  async function publishSome(): Promise<number[]> {
    return withDatabase(server.databaseUrl('crm'), async (database) => {
      const versions: number[] = []
      for (const body of [1, 2, 3]) versions.push(await database.transaction((tx) => new Publisher(Noted).publish(tx, { id: 'k', body })))
      // Drawn and rolled back: a reader has never seen it, and yet it is never drawn again.
      await expect(
        database.transaction(async (tx) => {
          versions.push(await new Publisher(Noted).publish(tx, { id: 'k', body: 4 }))
          throw new RangeError('rolled back on purpose')
        }),
      ).rejects.toThrow(RangeError)
      drawn.push(...versions)
      return versions
    })
  }
  const incarnations = () =>
    withDatabase(server.databaseUrl('crm'), async (database) =>
      Number((await database.query<{ count: string }>('select count(*)::text as count from comity.incarnations')).rows[0]?.count),
    )

  test('is noticed once, though those who noticed it have not committed, or never do', async () => {
    await withDatabase(server.databaseUrl('postgres'), (database) => database.query('create database noticed template crm'))
    await withDatabase(server.databaseUrl('noticed'), async (database) => {
      const publish = (tx: Parameters<Parameters<typeof database.transaction>[0]>[0]) =>
        new Publisher(Noted).publish(tx, { id: 'k', body: 1 })
      await expect(
        database.transaction(async (tx) => {
          drawn.length = 0
          drawn.push(await publish(tx))
          await database.transaction(async (other) => drawn.push(await publish(other)))
          throw new RangeError('rolled back on purpose')
        }),
      ).rejects.toThrow(RangeError)
      drawn.push(await database.transaction(publish))
      const [first, second, third] = drawn as [number, number, number]
      expect(first).toBeLessThan(clockVersion())
      expect([second - first, third - second]).toEqual([1, 1])
      const { rows } = await database.query<{ first: string }>(
        `select distinct first_version::text as first from comity.incarnations where identity = comity.identity()`,
      )
      expect(rows).toEqual([{ first: String(first) }])
    })
    drawn.length = 0
  })

  test('begins after a restart, after a crash, and with each copy; no version is used twice', async () => {
    const first = await publishSome()
    expect(await incarnations()).toBe(1)
    expect(first[0]).toBeLessThan(clockVersion() - 3_000_000_000) // of an hour ago: nothing has moved it
    await server.close()
    expect(spawnSync('cp', ['-a', join(folder, 'first'), join(folder, 'copy')]).status).toBe(0)

    server = await launchPostgres({ directory: join(folder, 'first') })
    const restarted = await publishSome()
    expect(restarted[0]).toBeGreaterThan((first.at(-1) as number) + 2_000_000)
    expect(await incarnations()).toBe(2)
    await publishSome()
    expect(await incarnations()).toBe(2) // noticed once

    await server.kill('SIGKILL')
    server = await launchPostgres({ directory: join(folder, 'first') })
    await publishSome()
    expect(await incarnations()).toBe(3)
    await server.close()

    server = await launchPostgres({ directory: join(folder, 'copy') })
    const copied = await publishSome()
    expect(copied[0]).toBeGreaterThan(Math.max(...restarted))

    expect(drawn).toHaveLength(20)
    expect(new Set(drawn).size).toBe(drawn.length)
  }, 120_000)
})

const clockVersion = (): number => (Date.now() - Date.UTC(2026, 0, 1)) * 1000

async function withDatabase<Result>(url: string, work: (database: ReturnType<typeof connect>) => Promise<Result>): Promise<Result> {
  await using database = connect(url)
  return await work(database)
}

/** Resolves when a transaction of this database waits for another one. */
async function blocked(): Promise<void> {
  for (;;) {
    const { rows } = await db.query<{ waits: boolean }>(
      `select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock') as waits`,
    )
    if (rows[0]?.waits) return
  }
}
