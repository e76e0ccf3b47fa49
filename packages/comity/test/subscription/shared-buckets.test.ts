import { PermanentError } from 'comity'
import { adversarialTransport, type TestBus } from 'comity/testing'
import { describe, expect, test } from 'vitest'
import { overlappingBus } from '../../../../test/support/overlapping-bus.ts'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { eventually } from '../control/eventually.ts'
import { crm, effects, message, SENT, type Sql, send } from './sent-messages.ts'

/** Where a bucket is not at one process: both are given everything, at once. */
const sharedBus = (): TestBus => ({ memory: overlappingBus(), teams: new Set() })

/** The process of that name waits for the lane that this transaction has; connections of this one's own may, too. */
async function laneIsWanted(own: Sql, by: string): Promise<void> {
  await eventually('another process waits for the lane', async () => {
    await own.query('select pg_stat_clear_snapshot()::text') // else a transaction sees the same activity all the time
    const { rows } = await own.query(
      'select from pg_stat_activity where application_name = $1::text and pg_backend_pid() = any (pg_blocking_pids(pid))',
      [by],
    )
    return rows.length > 0 || undefined
  })
}

const waiting = async (db: Sql): Promise<readonly unknown[]> => (await db.query('select key, message from comity.waiting_keys')).rows

/** So many deliveries have ended, in both processes together. */
async function ended(db: Sql, count: number): Promise<void> {
  await eventually(`${count} deliveries have ended`, async () => {
    const { rows } = await db.query('select sum(applied + duplicate + waiting + stale + discarded)::int as count from comity.counts')
    return Number(rows[0]?.count) >= count || undefined
  })
}

describe('two processes that are given the same messages', () => {
  test('a message that fails for good here, and meanwhile succeeds there, joins no line', async () => {
    const bus = sharedBus()
    const tried: string[] = []
    await using first = await crm(bus, async ({ n }, { tx }) => {
      tried.push(`first ${n}`)
      if (n !== 1) return
      await laneIsWanted(tx, 'second')
      throw new PermanentError('this process is of an older version, say')
    })
    await send(bus, message('a', 1), message('a', 2))
    await eventually('the first is at it', () => tried[0])
    await using second = await crm(bus, () => undefined, {}, { url: `${first.url}?application_name=second`, setUp: false })
    await ended(second.db, 4)
    expect(await effects(first.db)).toEqual([1, 2])
    expect(await waiting(first.db)).toEqual([])
    await send(bus, message('a', 3))
    await ended(first.db, 6)
    expect(await effects(first.db)).toEqual([1, 2, 3])
  })

  test('waiting for the lane longer than a statement may last is no attempt of the message', async () => {
    const bus = sharedBus()
    const { url } = await freshDatabase()
    let begun = 0
    await using first = await crm(
      bus,
      async ({ n }) => {
        if (n === 1) begun++
        if (n === 1) await new Promise((resolve) => setTimeout(resolve, 3000))
      },
      {},
      { url },
    )
    await send(bus, message('a', 1), message('a', 2))
    await eventually('the first is at it', () => begun || undefined)
    const impatient = `${url}?statement_timeout=1000&query_timeout=5000`
    await using second = await crm(bus, () => undefined, {}, { url: impatient, setUp: false })
    await ended(second.db, 4)
    expect(await waiting(first.db)).toEqual([])
    expect(await effects(first.db)).toEqual([1, 2])
    expect(begun).toBe(1)
  })

  test('whatever fails, wherever, and however often it comes: each effect once, and those of a key in order', async () => {
    const inner = sharedBus()
    let seed = 0
    // Each process behind an adversary of its own.
    const adverse = {
      ...inner.memory,
      connect: () => adversarialTransport(inner.memory.connect(), { seed: ++seed, longest: 30, prefetch: 12 }),
    }
    const bus = { ...inner, memory: adverse } as unknown as TestBus
    let healthy = false
    let failures = 0
    const decide =
      (mine: number) =>
      ({ n }: { readonly n: number }, { attempt }: { readonly attempt: number }): void => {
        if (healthy || (n * 7 + mine * 3 + attempt) % 5 !== 0) return
        failures++
        throw n % 2 === 0 ? new PermanentError('never here') : new TypeError('not now')
      }
    const options = { attempts: 2, backoff: { min: '5ms', max: '30ms' }, breaker: false } as const
    await using first = await crm(bus, decide(1), options)
    await using second = await crm(bus, decide(2), options, { url: first.url, setUp: false })
    const keys = Array.from({ length: 12 }, (_, k) => `k${k}`)
    for (let n = 0; n < 15; n++) await send(inner, ...keys.map((key, k) => message(key, 1 + n + ((k * 3) % 7))))
    await first.team.caughtUp()
    await ended(first.db, 2 * 12 * 15)
    healthy = true
    const { rows } = await first.db.query('select key from comity.waiting_keys')
    for (const { key } of rows) await second.team.retry(SENT, String(key))
    expect(failures).toBeGreaterThan(20)
    for (const [k, key] of keys.entries())
      expect(await effects(first.db, key), key).toEqual(Array.from({ length: 15 }, (_, n) => 1 + n + ((k * 3) % 7)))
    expect(await waiting(first.db)).toEqual([])
  })
})
