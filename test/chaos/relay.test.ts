import { expect } from 'vitest'
import { shortAndFull } from '../support/full.ts'
import { isSettled } from './observations.ts'
import { readHistory } from './recorder.ts'
import { scenario } from './scenario.ts'
import { until } from './until.ts'
import type { World } from './world.ts'

/** Sends that the broker stored, by the process that sent. */
async function storedSends(world: World): Promise<Readonly<Record<string, number>>> {
  const sends: Record<string, number> = {}
  for await (const operation of readHistory(world.folder)) {
    if (operation.f === 'send' && operation.phase === 'ok') sends[operation.process] = (sends[operation.process] ?? 0) + 1
  }
  return sends
}

/** After how many batches. */
const TIMES = shortAndFull([1], [2])

scenario(
  '5. the relay is killed after the broker stored a batch, before the checkpoint, and between two messages of a batch: repetitions only, and the order holds',
  async ({ world, judge }) => {
    await Promise.all([world.spawn('mail'), world.spawn('stock')])
    for (const at of TIMES) {
      for (const moment of ['after-send', 'mid-send'] as const) {
        const relay = world.launch('shop', { failpoints: [world.failpoint(moment, 'SIGKILL', at)] })
        const writing = world.write({ changes: 120, connections: 6, mix: { keys: 10 } })
        const { signal } = await relay.exited
        world.happened(`kill the relay ${moment}`, signal === 'SIGKILL')
        await writing
      }
    }
    await world.spawn('shop')
    const { counts } = await judge()
    expect(counts.faults).toBe(2 * TIMES.length)
    expect(counts.publications).toBeGreaterThan(counts.published)
  },
)

scenario(
  '6. the relay is stopped past its lease in mid-batch: another leads soon, the late sends and checkpoints of the first are refused',
  async ({ world, judge }) => {
    await Promise.all([world.spawn('mail'), world.spawn('stock')])
    const first = await world.spawn('shop', { failpoints: [world.failpoint('before-send', 'SIGSTOP', 5)] })
    const writing = world.write({ changes: 200, connections: 4 })
    await until('the relay has stopped itself', () => world.isStopped(first))
    await world.spawn('shop')
    const from = performance.now()
    await until('another leads', async () => {
      const { rows } = await world.pools.shop.query<{ term: string }>(`select term::text as term from comity.leases where name = 'relay'`)
      return Number(rows[0]?.term) > 1
    })
    expect(performance.now() - from).toBeLessThan(1500 + 2000 + 8000) // the lease + 2 s, and a process's start on a busy machine
    await writing
    await until('it has sent everything', () => isSettled(world.pools.shop))
    world.happened('stop the relay past its lease', first.signal('SIGCONT'))
    await world.write({ changes: 100, connections: 4 })
    await judge()
  },
)

scenario('7. the relay loses its database, then the broker: no false checkpoint, and the order holds after it heals', async ({ world }) => {
  const [shop, bus] = [await world.proxy('shop'), await world.proxy('bus')]
  await Promise.all([
    world.spawn('mail'),
    world.spawn('stock'),
    world.spawn('shop', { database: shop.through(world.urls.shop), bus: world.bus.through(bus) }),
  ])
  for (const [side, proxy] of Object.entries({ shop, bus })) {
    const writing = world.write({ changes: 200, connections: 4 })
    for (let n = 0; n < 3; n++) {
      await world.fault(`the relay loses ${side}`, async () => {
        proxy.disturb({ kind: 'reset' })
        await until('something is unsent', async () => !(await isSettled(world.pools.shop)))
      })
      proxy.disturb({ kind: 'none' })
    }
    await writing
  }
})

scenario(
  '8. the reply to a publication is lost: it is sent again under the same id, and has one effect',
  async ({ world, judge }) => {
    const proxy = await world.proxy('bus')
    await Promise.all([world.spawn('mail'), world.spawn('stock'), world.spawn('shop', { bus: world.bus.through(proxy) })])
    await world.write({ changes: 50, connections: 2 })
    for (let n = 0; n < 3; n++) {
      await until('the relay is well', () => isSettled(world.pools.shop))
      await world.fault('lose the reply to a publication', async () => {
        const before = world.publishedCount
        proxy.disturb({ kind: 'drop-replies' })
        await world.write({ changes: 40, connections: 2 })
        await until('the broker has stored some of it', () => world.publishedCount > before)
        proxy.disturb({ kind: 'reset' })
      })
      proxy.disturb({ kind: 'none' })
    }
    const { counts } = await judge()
    expect(counts.publications).toBeGreaterThan(counts.published)
  },
  { long: true },
)

scenario(
  '9. two relays are started by mistake: one publishes',
  async ({ world, judge }) => {
    await Promise.all([world.spawn('shop'), world.spawn('shop'), world.spawn('shop'), world.spawn('mail'), world.spawn('stock')])
    await world.fault('three relays at once', () => world.write({ changes: 300, connections: 4 }))
    await judge()
    expect(Object.keys(await storedSends(world))).toHaveLength(1)
  },
  { long: true },
)
