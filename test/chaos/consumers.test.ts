import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { launchMemoryBus } from '../support/buses/memory-bus.ts'
import { shortAndFull } from '../support/full.ts'
import { scenario } from './scenario.ts'
import { until } from './until.ts'
import type { World } from './world.ts'

async function effects(world: World): Promise<number> {
  const { rows } = await world.pools.mail.query<{ count: number }>('select count(*)::int as count from effects')
  return rows[0]?.count ?? 0
}

/** Only events and notes: what goes to handlers. */
const EVENTS = { weights: { account: 0, product: 0, line: 0, note: 1, price: 0, clicked: 4, moved: 4 }, keys: 10 } as const

/** At which message. */
const TIMES = shortAndFull([3], [6])

scenario(
  '14. a consumer is killed after the effect, before its commit, and after that, before the acknowledgement: one effect',
  async ({ world, judge }) => {
    await Promise.all([world.spawn('shop'), world.spawn('stock')])
    for (const at of TIMES) {
      for (const moment of ['after-effect', 'before-acknowledge'] as const) {
        const consumer = world.launch('mail', { failpoints: [world.failpoint(moment, 'SIGKILL', at)] })
        const writing = world.write({ changes: 60, connections: 4, mix: EVENTS })
        const { signal } = await consumer.exited
        world.happened(`kill a consumer ${moment}`, signal === 'SIGKILL')
        await writing
      }
    }
    await world.spawn('mail')
    const { counts } = await judge()
    expect(counts.faults).toBe(2 * TIMES.length)
  },
)

describe('15. a consumer is stopped past its lease, and a second one takes over', () => {
  for (const [moment, title] of [
    ['after-effect', 'in its transaction'],
    ['before-acknowledge', 'before it acknowledges'],
  ] as const) {
    scenario(
      `${title}: one effect, and the order is kept`,
      async ({ world, judge }) => {
        await Promise.all([world.spawn('shop'), world.spawn('stock')])
        const first = await world.spawn('mail', { failpoints: [world.failpoint(moment, 'SIGSTOP', 5)], sessionTimeout: '1000ms' })
        const writing = world.write({ changes: 150, connections: 4, mix: EVENTS })
        await until('it has stopped itself', () => world.isStopped(first))
        await world.spawn('mail', { sessionTimeout: '1000ms' })
        await writing
        expect(await world.drain(30_000)).toBe(true)
        world.happened(`stop a consumer ${moment}`, first.signal('SIGCONT'))
        await world.write({ changes: 50, connections: 2, mix: EVENTS })
        await judge()
      },
      { long: moment === 'before-acknowledge' },
    )
  }
})

scenario(
  '16. a handler is slower than its time: it is aborted, and its key waits without a second run beside it',
  async ({ world, judge }) => {
    await Promise.all([world.spawn('shop'), world.spawn('stock')])
    const slow = await world.spawn('mail', { slowness: 1000, handling: { timeout: '100ms', attempts: 2 } })
    await world.fault('every handler is too slow', () =>
      world.write({ changes: 4, connections: 1, mix: { ...EVENTS, keys: 2, statements: 1 } }),
    )
    expect(await world.drain(30_000)).toBe(true)
    const { rows } = await world.pools.mail.query<{ count: number }>('select count(*)::int as count from comity.waiting_keys')
    expect(rows[0]?.count).toBeGreaterThan(0)
    // The late handlers have gone on meanwhile, in transactions that are over.
    await new Promise((resolve) => setTimeout(resolve, 1500))
    expect(await effects(world)).toBe(0)
    await slow.kill()
    await judge()
  },
  { long: true },
)

describe('18. a parked key is retried', () => {
  scenario(
    'and the process is killed in the middle: it continues, each effect once and in order',
    async ({ world, judge }) => {
      const poison = join(world.folder, 'poison.txt')
      writeFileSync(poison, '')
      await Promise.all([world.spawn('shop'), world.spawn('stock')])
      const consumer = await world.spawn('mail', { poison, handling: { attempts: 1 } })
      // The first change of every key is poison; its followers join its line.
      const { rows: none } = await world.pools.mail.query('select from effects')
      expect(none).toEqual([])
      appendFileSync(poison, `${Array.from({ length: 400 }, (_, n) => `w${n}:1`).join('\n')}\n`)
      await world.fault('poison', () => world.write({ changes: 80, connections: 1, mix: { ...EVENTS, keys: 3, statements: 2 } }))
      const keys = await until('a key waits, with followers', async () => {
        const { rows } = await world.pools.mail.query<{ subscription: string; key: string; length: number }>(
          `select k.subscription, k.key, count(*)::int as length from comity.waiting_keys k join comity.waiting w using (subscription, key)
         where w.seq > k.done group by 1, 2 having count(*) >= 3`,
        )
        return rows.length > 0 ? rows : undefined
      })
      expect(await world.drain(30_000)).toBe(true)
      await consumer.kill()
      writeFileSync(poison, '')

      for (const { subscription, key } of keys) {
        const dying = await world.spawn('mail', { failpoints: [world.failpoint('after-effect', 'SIGKILL', 2)] })
        await expect(dying.retry(subscription, key)).rejects.toThrow('ended')
        world.happened('kill a consumer that runs a line')
      }
      const last = await world.spawn('mail')
      for (const { subscription, key } of keys) expect(await last.retry(subscription, key)).toMatchObject({ ran: expect.any(Number) })
      const { rows } = await world.pools.mail.query('select from comity.waiting_keys')
      expect(rows).toEqual([])
      await judge()
    },
    { long: true },
  )
})

scenario(
  '19. the broker is at its worst (copies, other orders, lost answers, held keys, stalls): no second effect, no regress',
  async ({ world, judge }) => {
    await Promise.all([
      world.spawn('shop', { adversary: 6 }),
      world.spawn('mail', { adversary: 7 }),
      world.spawn('stock', { adversary: 8 }),
    ])
    await world.fault('an adversarial broker', () => world.write({ changes: 500, connections: 6, mix: { keys: 12 } }))
    await judge()
    const { rows } = await world.pools.mail.query<{ duplicate: number }>('select sum(duplicate)::int as duplicate from comity.counts')
    expect(rows[0]?.duplicate).toBeGreaterThan(10)
    expect(Object.entries(world.misdeeds()).filter(([, count]) => count === 0)).toEqual([])
  },
)

scenario(
  '19b. two processes are given every message, at once, by a broker at its worst, and one is killed: each effect once, in order',
  async ({ world, judge }) => {
    const processes = (['mail', 'mail', 'stock', 'stock'] as const).map((team, n) => world.launch(team, { adversary: 10 + n }))
    await Promise.all([world.spawn('shop'), ...processes.map(({ ready }) => ready)])
    const writing = world.fault('overlapping buckets', () => world.write({ changes: 400, connections: 6, mix: { keys: 12 } }))
    await until('both are at work', async () => (await effects(world)) > 20)
    for (const n of [0, 2]) await world.fault('kill -9', () => processes[n]?.signal('SIGKILL'))
    await writing
    await judge()
  },
  { bus: (options) => launchMemoryBus({ ...options, overlapping: true }), long: true },
)

scenario(
  '28. SIGTERM while handlers run that take seconds: drains, exits within 30 s, loses nothing',
  async ({ world, judge }) => {
    await Promise.all([world.spawn('shop'), world.spawn('stock')])
    const consumer = await world.spawn('mail', { slowness: 2000, handling: { batch: 2 } })
    const writing = world.write({ changes: 60, connections: 4, mix: EVENTS })
    await until('handlers run', async () => (await effects(world)) > 1)
    await world.fault('SIGTERM', async () => {
      const { code, ms } = await consumer.stop()
      expect(code).toBe(0)
      expect(ms).toBeLessThan(30_000)
    })
    await writing
    await world.spawn('mail')
    await judge()
  },
  { long: true },
)
