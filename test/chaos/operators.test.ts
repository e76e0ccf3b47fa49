import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { full } from '../support/full.ts'
import { effectsOf, latency, medianRate, tenantOf } from './measurement.ts'
import { Random } from './random.ts'
import { monotonic } from './recorder.ts'
import { scenario } from './scenario.ts'
import type { TeamProcess } from './team-process-handle.ts'
import { until } from './until.ts'
import type { World } from './world.ts'

const TENANTS = { a: 6, b: 6, c: 6, d: 6 } as const
/** A key's messages at once: as many in the calm as with poison at their head. */
const FOLLOWERS = 500
/** Tries follow each other fast, so that what fails for good does so within a second. */
const HASTY = { attempts: 2, backoff: { min: '20ms', max: '100ms' } } as const

const waiting = async (world: World): Promise<{ readonly key: string; readonly messages: number }[]> =>
  (
    await world.pools.mail.query<{ key: string; messages: number }>(
      `select k.key, count(*)::int as messages from comity.waiting_keys k join comity.waiting w
         on w.subscription = k.subscription and w.key = k.key and w.seq > k.done group by k.key order by 2 desc`,
    )
  ).rows

// Half a minute each, and partly by the clock: `npm run chaos:operator` has the short form of all of it.
const long: typeof scenario = full ? scenario : (name) => void test.skip(name)

long('17 and 18. poison stops its own keys only; a retry of all of them goes on from process to process', async ({ world, judge }) => {
  const [poison, deploy] = [join(world.folder, 'poison.txt'), join(world.folder, 'deploy.json')]
  await world.spawn('shop')
  const consumer = await world.spawn('mail', { poison, deploy, handling: HASTY })
  const load = await world.load()
  await load.publish(Object.keys(TENANTS))
  await until('it runs', async () => (await effectsOf(world.pools.mail, load)).length === 4)
  const calm = monotonic()
  await load.publish(new Array(FOLLOWERS + 1).fill('y'), { key: 'k' })
  await load.run(TENANTS, { seconds: 4 })
  const poisoned = monotonic()
  writeFileSync(deploy, JSON.stringify({ poisonEvery: 100 }))
  await world.fault('poison', async () => {
    writeFileSync(poison, `z:${load.name}:1`)
    // One key whose first message fails, and one in a hundred of all the others.
    await load.publish(new Array(FOLLOWERS + 1).fill('z'), { key: 'k' })
    await load.run(TENANTS, { seconds: 4 })
  })
  const end = monotonic()
  expect(await world.drain()).toBe(true)
  const healthy = (await effectsOf(world.pools.mail, load)).filter((effect) => tenantOf(effect) in TENANTS)
  const rates = { calm: medianRate(healthy, calm, poisoned), poisoned: medianRate(healthy, poisoned, end) }
  expect(rates.poisoned, JSON.stringify(rates)).toBeGreaterThanOrEqual(0.8 * rates.calm)
  const lines = await waiting(world)
  expect(lines).toContainEqual({ key: 'z-k', messages: FOLLOWERS + 1 })
  expect((await world.pools.mail.query('select from comity.pauses')).rows, 'a few bad messages are no bad deploy').toEqual([])
  await consumer.kill()

  // Mended. Each process that works on the job dies at another step of a message.
  const { job } = await world.operate<{ job: string }>('mail', 'retry', { staged: true })
  for (const moment of ['before-effect', 'after-effect', 'before-commit'] as const) {
    const dying = world.launch('mail', { library: 'pg', failpoints: [world.failpoint(moment, 'SIGKILL', 4)] })
    const { signal } = await dying.exited
    world.happened(`kill a process that works on a job ${moment}`, signal === 'SIGKILL')
    // As when the ten seconds are over for which it had the job.
    await world.pools.mail.query('update comity.jobs set held_until = clock_timestamp()')
  }
  await world.spawn('mail')
  const done = await until('the job is done', async () => {
    const found = await world.job('mail', job)
    return found.state !== 'running' && found.state !== 'waiting' && found
  })
  expect(done).toMatchObject({ state: 'done', failed: 0 })
  expect(await waiting(world)).toEqual([])
  const { counts } = await judge()
  expect(counts.faults).toBe(4)
})

long('a tenant is paused in all processes, which are then killed and added at random', async ({ world, judge }) => {
  const random = new Random(world.seed)
  await world.spawn('shop')
  const alive: TeamProcess[] = await Promise.all([world.spawn('mail'), world.spawn('mail')])
  const load = await world.load()
  const stop = new AbortController()
  await load.publish(Object.keys(TENANTS))
  await until('it runs', async () => (await effectsOf(world.pools.mail, load)).length === 4)
  const running = load.run(TENANTS, { signal: stop.signal })
  const calm = monotonic()
  await pause(3000)
  await world.operate('mail', 'pause', { tenant: 'a' })
  const paused = monotonic()
  expect((await world.team('mail').status()).problems).toContainEqual('1 tenants are paused in all subscriptions (a)')
  await pause(5000)
  const resumed = monotonic()
  await world.operate('mail', 'resume', { tenant: 'a' })
  const all = await effectsOf(world.pools.mail, load)
  const others = all.filter((effect) => tenantOf(effect) !== 'a')
  const late = all.filter((effect) => tenantOf(effect) === 'a' && effect.at > paused + 2000 && effect.at < resumed)
  expect(late, 'handled two seconds after the pause was committed').toEqual([])
  expect(medianRate(others, paused, resumed)).toBeGreaterThanOrEqual(0.8 * medianRate(others, calm, paused))

  // Two processes, then four, then one. Whoever joins has started, which takes both cores, before anybody is killed.
  alive.push(...(await Promise.all([world.spawn('mail'), world.spawn('mail')])))
  await until('what has piled up meanwhile is gone', async () => (await world.backlog()) < 50, 60_000)
  const kills: number[] = []
  const kill = () =>
    world.fault('kill -9', () => {
      const [victim] = alive.splice(random.between(0, alive.length - 1), 1) as [TeamProcess]
      kills.push(monotonic())
      return victim.signal('SIGKILL')
    })
  for (let n = 0; n < 3; n++) {
    await kill()
    await pause(random.between(500, 2000))
  }
  await pause(4000)
  stop.abort()
  await running
  await judge()
  // What nobody had when its process died is handled when the lease of its bucket (1.5 s) is over, and two seconds.
  const effects = await effectsOf(world.pools.mail, load)
  const usual = latency(effects, 0.99, calm, paused)
  for (const at of kills) expect(latency(effects, 1, at - 500, at + 500), `usually ${usual} ms`).toBeLessThan(3500 + 2 * usual)
})

long('29. an event loop is blocked past the lease: its work is done once, by somebody', async ({ world }) => {
  await world.spawn('shop')
  const blocked = await world.spawn('mail', { failpoints: [world.failpoint('after-effect', 'block', 20, 2500)] })
  await world.spawn('mail')
  const load = await world.load()
  await load.run(TENANTS, { seconds: 4 })
  world.happened(
    'an event loop stands still',
    readFileSync(blocked.options.failpoints[0]?.marker as string, 'utf8') === String(blocked.pid),
  )
})
