import { expect } from 'vitest'
import { effectsOf, latency, tenantOf } from './measurement.ts'
import { monotonic } from './recorder.ts'
import { scenario } from './scenario.ts'
import { until } from './until.ts'

const OTHERS = { a: 5, b: 5, c: 5, d: 5, e: 5 } as const

scenario("30. a tenant floods 10×: the others' p99 stays below twice their own", async ({ world, judge }) => {
  await world.spawn('shop')
  // Two transactions at once, 25 ms each: what is offered in the flood is three times what can be handled.
  const slow = await world.spawn('mail', { slowness: 25, handling: { prefetch: 200 } })
  const load = await world.load()
  await load.publish(Object.keys(OTHERS))
  await until('it runs', async () => (await effectsOf(world.pools.mail, load)).length === 5)
  const calm = monotonic()
  await load.run(OTHERS, { seconds: 5 })
  const flood = monotonic()
  await world.fault('a flood', () => load.run({ ...OTHERS, flooder: 250 }, { seconds: 5 }))
  const end = monotonic()
  const others = async () => (await effectsOf(world.pools.mail, load)).filter((effect) => tenantOf(effect) !== 'flooder')
  const published = [...load.committedAt.keys()].filter((mark) => tenantOf({ mark }) !== 'flooder').length
  await until('all of the others have had their effects', async () => (await others()).length === published, 40_000)
  const effects = await others()
  const p99 = { calm: latency(effects, 0.99, calm, flood), flood: latency(effects, 0.99, flood, end) }
  const p50 = { calm: latency(effects, 0.5, calm, flood), flood: latency(effects, 0.5, flood, end) }
  const flooder = (await effectsOf(world.pools.mail, load)).filter((effect) => tenantOf(effect) === 'flooder')
  const left = [...load.committedAt.keys()].length - published - flooder.length
  console.log({ p99, p50, left, flooder: flooder.length })
  expect(left, 'the flood was none').toBeGreaterThan(300)
  expect(p99.flood).toBeLessThan(2 * p99.calm)
  await slow.kill()
  await world.spawn('mail')
  await judge()
})
