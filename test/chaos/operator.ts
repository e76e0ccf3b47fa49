/**
 * What operators meet, in one run: `npm run chaos:operator -- --seed N --seconds S --json [--transport memory] [--adversary]`. Poison, a tenant that floods, a pause, a deploy in
 * which every handler fails, dead letters that are edited, skipped and discarded, and a staged retry of all the others whose process is killed.
 * Progress on standard error, one JSON line on standard output; exits 0 only if the history is valid and what is shown here was seen.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { BusKind } from '../support/buses/bus-address.ts'
import { launchBus } from '../support/buses/launch-bus.ts'
import { freshDatabase } from '../support/postgres.ts'
import { Gauges } from './gauges.ts'
import { effectsOf, latency, medianRate, tenantOf } from './measurement.ts'
import { Random } from './random.ts'
import { monotonic } from './recorder.ts'
import type { Deploy } from './team-process.ts'
import { until } from './until.ts'
import { World } from './world.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    seconds: { type: 'string', default: '40' },
    json: { type: 'boolean', default: false },
    transport: { type: 'string', default: 'postgres' },
    adversary: { type: 'boolean', default: false },
  },
})
const seed = Number(values.seed)
/** Of its four phases; what the breaker, the job and the drain take comes on top. */
const phase = Math.max(3, Number(values.seconds) / 8)
const random = new Random(seed)
const started = performance.now()
const say = (text: string): void => console.error(`${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s  ${text}`)

const folder = fileURLToPath(new URL(`../output/operator-${seed}/`, import.meta.url))
const fresh = async (): Promise<string> => (await freshDatabase()).url
const urls = { shop: await fresh(), mail: await fresh(), stock: await fresh() }
const bus = await launchBus(values.transport as BusKind, { claimSilence: 1000 })
const world = await World.create({ seed, folder, urls, bus, defaults: values.adversary ? { adversary: seed } : {} })
const file = join(folder, 'deploy.json')
const deploy = (what: Deploy): void => writeFileSync(file, JSON.stringify(what))
deploy({})

const RATES = { a: 8, b: 8, c: 8, d: 8, e: 8 } as const
/** What the copies are of, and a few notes for their handler. */
const COPIED = { account: 3, product: 0, line: 0, note: 1, price: 1, clicked: 0, moved: 0 } as const
const POISON: Deploy = { poisonEvery: 100 }
const consumer = {
  deploy: file,
  slowness: 3,
  handling: { attempts: 2, backoff: { min: '20ms', max: '100ms' }, prefetch: 300, breaker: { atLeast: 20, window: '5s' } },
} as const
const mail = world.pools.mail
const failures: string[] = []
const shows = (what: string, holds: boolean): void => {
  if (!holds) failures.push(what)
  say(`${holds ? 'seen' : 'NOT SEEN'}: ${what}`)
}

await Promise.all([world.spawn('shop'), world.spawn('stock'), world.spawn('mail', consumer), world.spawn('mail', consumer)])
const load = await world.load()
const gauges = new Gauges(world)
await load.publish(Object.keys(RATES))
await until('it runs', async () => (await effectsOf(mail, load)).length === 5)
const copies = world.write({ changes: 300, connections: 1, mix: { weights: COPIED, prepared: 0 } })

const at = { calm: monotonic(), poison: 0, flood: 0, broken: 0 }
await load.run(RATES, { seconds: phase })

at.poison = monotonic()
deploy(POISON)
await world.fault('poison', () => load.run({ ...RATES, z: 20 }, { seconds: phase }))
const breakerIn = async (): Promise<boolean> => (await mail.query(`select from comity.pauses where by = 'breaker'`)).rows.length > 0

at.flood = monotonic()
await world.fault('a flood, and a tenant paused within it', async () => {
  const flooding = load.run({ ...RATES, flooder: 10 * 40 }, { seconds: phase })
  await world.operate('mail', 'pause', { tenant: 'b' })
  await pause(phase * 500)
  await world.operate('mail', 'resume', { tenant: 'b' })
  await flooding
})
await pause(1000)
shows('no breaker while a few messages were poison', ![...gauges.pauses].some((one) => one.startsWith('breaker')) && !(await breakerIn()))

at.broken = monotonic()
let closedAfter = Number.NaN
await world.fault('a deploy in which every handler fails', async () => {
  deploy({ ...POISON, broken: true })
  const stop = new AbortController()
  const running = load.run(RATES, { signal: stop.signal })
  await until('the breaker has opened', breakerIn, 60_000)
  say(`the breaker opened after ${Math.round(monotonic() - at.broken)} ms`)
  await pause(Math.max(0, phase * 1000 - (monotonic() - at.broken)))
  deploy(POISON)
  const good = monotonic()
  await until('the breaker has closed', async () => !(await breakerIn()), 90_000)
  closedAfter = monotonic() - good
  stop.abort()
  await running
})
shows('the breaker opened in the bad deploy, and closed by itself after it', closedAfter > 0)

deploy({})
const parked = (
  await mail.query<{ subscription: string; key: string; message: string; data: string }>(
    `select k.subscription, k.key, k.message, w.data from comity.waiting_keys k join comity.waiting w
       on w.subscription = k.subscription and w.key = k.key and w.message = k.message
     where k.reason = 'parked' and k.subscription = 'mail.moved' order by k.key`,
  )
).rows
say(`${parked.length} lines are parked`)
const [edited, skipped, discarded] = parked as [(typeof parked)[number], (typeof parked)[number], (typeof parked)[number]]
const data = JSON.parse(edited.data) as { readonly mark: string }
await world.operate('mail', 'edit-message', { ...edited, data: { ...data, mark: `mended ${data.mark}` } })
const { job: skip } = await world.operate<{ job: string }>('mail', 'skip', { key: skipped.key })
const { job: discard } = await world.operate<{ job: string }>('mail', 'discard', { key: discarded.key })
const ended = async (job: string): Promise<boolean> => ['done', 'stopped', 'cancelled'].includes((await world.job('mail', job)).state)
await until('both have ended', async () => (await ended(skip)) && (await ended(discard)))
const { job } = await world.operate<{ job: string }>('mail', 'retry', { staged: true, rate: Math.max(20, parked.length / 4) })
await world.fault('kill -9 of the process that works on a staged retry', async () => {
  const victim = await until('somebody works on it', async () => (await world.job('mail', job)).done > 0 && world.workerOf('mail', job))
  await pause(random.between(0, 300))
  return victim.signal('SIGKILL') && !(await ended(job))
})
await world.spawn('mail', consumer)
await until('the job has ended', () => ended(job), 60_000)
const retried = await world.job('mail', job)
shows(
  `the staged retry went on in another process (${retried.done} lines, ${retried.state})`,
  retried.state === 'done' && retried.failed === 0,
)
await copies
await world.drain()
const lines = async (): Promise<number> =>
  (await mail.query<{ count: number }>('select count(*)::int as count from comity.waiting_keys')).rows[0]?.count ?? 0
await until('no line is left', async () => (await lines()) === 0, 60_000).catch(() => undefined)
gauges.note('mail', 'lines at the end', await lines(), 0)
await gauges.stop()
const judgement = await world.judge({ timeout: 60_000, bounds: gauges.bounds, troubles: gauges.troubles })

const effects = await effectsOf(mail, load)
const regular = effects.filter((effect) => tenantOf(effect) in RATES)
const throughput = { calm: medianRate(regular, at.calm, at.poison), poison: medianRate(regular, at.poison, at.flood) }
shows(`healthy keys kept ${JSON.stringify(throughput)} effects a second`, throughput.poison >= 0.8 * throughput.calm)
const unpaused = regular.filter((effect) => tenantOf(effect) !== 'b')
const p99 = { calm: latency(unpaused, 0.99, at.calm, at.poison), flood: latency(unpaused, 0.99, at.flood, at.broken) }
await world.close()

const ok = judgement.valid === true && failures.length === 0
for (const violation of judgement.violations) console.error(`${violation.class} ${violation.part ?? ''}: ${violation.detail}`)
if (!ok) console.error(`seed ${seed}, history ${folder}\n${failures.join('\n')}${judgement.reason ?? ''}`)
const line = {
  ...{
    name: 'chaos-operator',
    ok,
    transport: values.transport,
    adversary: values.adversary,
    seed,
    seconds: Math.round((performance.now() - started) / 1000),
    throughput,
    p99,
    closedAfter,
  },
  ...{ parked: parked.length, retried: retried.done, pauses: [...gauges.pauses], bounds: gauges.bounds, failures, ...judgement },
}
console.log(values.json ? JSON.stringify(line) : JSON.stringify(line, undefined, 2))
process.exit(ok ? 0 : 1)
