import { expect, test } from 'vitest'
import { freshDatabase, onNewestPostgres } from '../../../../test/support/postgres.ts'
import type { Clock } from '../../src/foundation/clock.ts'
import type { Queryable } from '../../src/postgres/database.ts'
import { LeaseLost } from '../../src/postgres/errors.ts'
import { acquireLease, type Lease } from '../../src/postgres/lease.ts'
import { connect, type PostgresDatabase } from '../../src/postgres/pool.ts'

/** A clock that stands still until it is moved. */
function handClock(): Clock & { move(ms: number): Promise<void> } {
  let now = 0
  let sleepers: { readonly until: number; readonly wake: () => void }[] = []
  return {
    now: () => new Date(now),
    monotonic: () => now,
    sleep: (ms, signal) =>
      new Promise((wake) => {
        sleepers.push({ until: now + ms, wake })
        signal?.addEventListener('abort', () => wake())
      }),
    async move(ms) {
      now += ms
      for (const sleeper of sleepers) if (sleeper.until <= now) sleeper.wake()
      sleepers = sleepers.filter((sleeper) => sleeper.until > now)
      await new Promise(setImmediate)
    },
  }
}

onNewestPostgres('a lease', (server) => {
  const open = async (): Promise<PostgresDatabase> => {
    const database = connect((await freshDatabase({ server })).url)
    await database.query('create schema comity')
    await database.query(
      'create table comity.leases (name text primary key, holder text, term bigint not null, expires_at timestamptz not null)',
    )
    return database
  }
  const acquire = (database: Queryable, holder: string, clock?: Clock): Promise<Lease | undefined> =>
    acquireLease(database, { name: 'relay', holder, duration: '10s', ...(clock && { clock }) })
  /** The row runs out on the database's clock, without anybody waiting for it. */
  const expire = (database: Queryable): Promise<unknown> => database.query('update comity.leases set expires_at = clock_timestamp()')

  test('has one holder at a time, however many ask at once', async () => {
    await using database = await open()
    const asked = await Promise.all(Array.from({ length: 20 }, (_, i) => acquire(database, `holder ${i}`)))
    const held = asked.filter((lease) => lease !== undefined)
    expect(held).toHaveLength(1)
    expect(held[0]?.term).toBe(1)
    await expire(database)
    const next = await Promise.all(Array.from({ length: 20 }, (_, i) => acquire(database, `next ${i}`)))
    expect(next.filter((lease) => lease !== undefined).map((lease) => lease?.term)).toEqual([2])
    await Promise.all([...held, ...next].map((lease) => lease?.release()))
  })

  test('has a term that grows with every acquisition: by another, by the same, after release', async () => {
    await using database = await open()
    const a = await acquire(database, 'a')
    const again = await acquire(database, 'a')
    expect([a?.term, again?.term]).toEqual([1, 2])
    expect(await a?.renew()).toBe(false)
    expect(a?.signal.aborted).toBe(true)
    expect(await again?.renew()).toBe(true)
    await again?.release()
    const b = await acquire(database, 'b')
    expect(b?.term).toBe(3)
    await expire(database)
    const third = await acquire(database, 'a')
    expect(third?.term).toBe(4)
    expect(await b?.renew()).toBe(false)
    expect(b?.signal.reason).toBeInstanceOf(LeaseLost)
    // What lost the lease does not take it from its holder.
    await b?.release()
    expect(await third?.renew()).toBe(true)
    await third?.release()
  })

  test("ends by its holder's own clock, before the row does, when nobody renews it", async () => {
    await using database = await open()
    const clock = handClock()
    const lease = (await acquire(database, 'a', clock)) as Lease
    await clock.move(8_900)
    expect(lease.signal.aborted).toBe(false)
    expect(lease.validFor()).toBe(100)
    await clock.move(100)
    expect(lease.signal.aborted).toBe(true)
    expect(lease.validFor()).toBe(0)
    expect(await lease.renew()).toBe(false)
    expect(await acquire(database, 'b')).toBeUndefined()
  })

  test('counts from before the database was asked', async () => {
    await using database = await open()
    const clock = handClock()
    const slow: Queryable = {
      async query(text, values) {
        const result = await database.query(text, values)
        await clock.move(4_000)
        return result as never
      },
    }
    const lease = (await acquire(slow, 'a', clock)) as Lease
    expect(lease.validFor()).toBe(5_000)
    expect(await lease.renew()).toBe(true)
    expect(lease.validFor()).toBe(5_000)
    await lease.release()
  })

  test('is extended by renewal', async () => {
    await using database = await open()
    const clock = handClock()
    const lease = (await acquire(database, 'a', clock)) as Lease
    for (let i = 0; i < 5; i++) {
      await clock.move(8_000)
      expect(await lease.renew()).toBe(true)
      expect(lease.validFor()).toBe(9_000)
    }
    expect(lease.signal.aborted).toBe(false)
    await lease.release()
    expect(lease.signal.aborted).toBe(true)
  })

  test('of a stopped process: valid for nothing the moment it goes on, whatever the signal has seen; a late answer changes nothing', async () => {
    await using database = await open()
    const clock = handClock()
    let stopped = false
    const stopping: Queryable = {
      async query(text, values) {
        const result = await database.query(text, values)
        if (stopped) await clock.move(60_000)
        return result as never
      },
    }
    const lease = (await acquire(stopping, 'a', clock)) as Lease
    stopped = true
    expect(await lease.renew()).toBe(false)
    expect(lease.validFor()).toBe(0)
    await expire(database)
    const next = await acquire(database, 'b')
    expect(next?.term).toBe(2)
    await next?.release()
  })

  test('stays held while the database does not answer, until its own clock runs out', async () => {
    await using database = await open()
    const clock = handClock()
    let reachable = true
    const unsteady: Queryable = { query: (text, values) => (reachable ? database : nowhere).query(text, values) }
    const nowhere = connect('postgres://nobody@127.0.0.1:1/nowhere')
    const lease = (await acquire(unsteady, 'a', clock)) as Lease
    reachable = false
    await expect(lease.renew()).rejects.toThrow('no connection')
    expect(lease.validFor()).toBe(9_000)
    await clock.move(9_000)
    expect(lease.signal.aborted).toBe(true)
    await nowhere.close()
  })

  test('released frees the row at once', async () => {
    await using database = await open()
    const lease = (await acquire(database, 'a')) as Lease
    await lease.release()
    await lease.release()
    const b = await acquire(database, 'b')
    expect(b?.term).toBe(2)
    await b?.release()
  })
})
