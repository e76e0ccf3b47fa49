/**
 * The long run: `npm run chaos -- --seed N --seconds S --json [--changes 100000] [--kills 30] [--faults kill-relay,crash-bus]
 * [--transport memory|postgres|nats|google-pubsub] [--adversary]`. With `--adversary` everything that the teams' processes send and receive goes
 * through an adversarial transport; with `--overlapping` each process is given every message (memory only).
 * Progress on standard error, one JSON line on standard output; exits 0 only if the history is valid.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { BUS_KINDS, type BusKind } from '../support/buses/bus-address.ts'
import { launchBus } from '../support/buses/launch-bus.ts'
import { launchMemoryBus } from '../support/buses/memory-bus.ts'
import { CrashableServer } from '../support/crashable-server.ts'
import { FAULTS, type FaultName, faultsOf, Nemesis, schedule } from './nemesis.ts'
import { Random } from './random.ts'
import { World } from './world.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    seconds: { type: 'string', default: '600' },
    changes: { type: 'string', default: '100000' },
    kills: { type: 'string', default: '30' },
    faults: { type: 'string' },
    transport: { type: 'string', default: 'postgres' },
    adversary: { type: 'boolean', default: false },
    overlapping: { type: 'boolean', default: false },
    connections: { type: 'string', default: '16' },
    json: { type: 'boolean', default: false },
  },
})
const seed = Number(values.seed)
const seconds = Number(values.seconds)
const changes = Number(values.changes)
const kind = values.transport as BusKind
const wanted = values.faults?.split(',').filter((name) => name !== '') as FaultName[] | undefined
if (!BUS_KINDS.includes(kind)) {
  console.error(`chaos: there is no transport ${kind}; there are ${BUS_KINDS.join(', ')}`)
  process.exit(2)
}
const strange = (wanted ?? []).filter((name) => !FAULTS.includes(name))
if (strange.length > 0 || [seed, seconds, changes, Number(values.kills)].some(Number.isNaN)) {
  console.error(`chaos: ${strange.length > 0 ? `no such fault: ${strange.join(', ')}` : 'numbers, please'}; there are ${FAULTS.join(', ')}`)
  process.exit(2)
}

const started = performance.now()
const elapsed = (): number => (performance.now() - started) / 1000
const say = (text: string): void => console.error(`${elapsed().toFixed(1).padStart(6)} s  ${text}`)
const folder = fileURLToPath(new URL(`../output/chaos-${seed}/`, import.meta.url))
const commit = commitOf()

say(`seed ${seed}, ${kind}${values.adversary ? ' with an adversary' : ''}, ${changes} changes or ${seconds} s, commit ${commit}`)
const servers = { owner: await CrashableServer.start(), consumers: await CrashableServer.start() }
const urls = {
  shop: await servers.owner.createDatabase('shop'),
  mail: await servers.consumers.createDatabase('mail'),
  stock: await servers.consumers.createDatabase('stock'),
}
const bus = await (values.overlapping ? launchMemoryBus({ overlapping: true }) : launchBus(kind, { own: true, claimSilence: 2000 }))
const proxy = await bus.proxy()
const world = await World.create({ seed, folder, urls, bus, defaults: values.adversary ? { adversary: seed } : {} })
const possible = faultsOf(bus)
const allowed = (wanted ?? possible).filter((fault) => possible.includes(fault))
const random = new Random(seed)
const faults = schedule(random, Number(values.kills), allowed)
writeFileSync(join(folder, 'schedule.json'), JSON.stringify({ seed, commit, faults }, undefined, 1))
const nemesis = new Nemesis({ world, random, servers, proxy })
await nemesis.start()
say(`running: 6 processes, ${faults.length} faults scheduled`)

let written = 0
let told = elapsed()
const stop = new AbortController()
const deadline = setTimeout(() => stop.abort(), seconds * 1000 - elapsed() * 1000)
const writing = world.write({
  changes,
  connections: Number(values.connections),
  mix: { prepared: 0.01 },
  signal: stop.signal,
  onProgress(count) {
    written = count
    if (elapsed() - told < 5) return
    told = elapsed()
    say(`${written} changes, ${world.faultsHappened} faults`)
  },
})
// Faults come by progress, so that all of them meet a system under load; when time is short, they come faster.
const part = (): number => Math.max(written / changes, elapsed() / (seconds * 0.95))
for (const { at, fault } of faults) {
  while (part() < at && !stop.signal.aborted) await new Promise((resolve) => setTimeout(resolve, 20))
  await nemesis.inflict(fault)
}
await writing
clearTimeout(deadline)
nemesis.rest()
say(`${written} changes written, ${world.faultsHappened} faults; draining`)
const judgement = await world.judge({ timeout: 180_000 })
const toHandlers = judgement.counts.effects
await nemesis.end()
await world.close()
await proxy.close()
await Promise.all(Object.values(servers).map((server) => server.close()))

const ok = judgement.valid === true
say(`${ok ? 'valid' : `${judgement.valid === false ? 'INVALID' : 'UNKNOWN'}`}: ${JSON.stringify(judgement.counts.violations)}`)
if (!ok) {
  console.error(`seed ${seed}\ncommit ${commit}\nfault schedule ${join(folder, 'schedule.json')}\nhistory ${folder}`)
  if (judgement.reason !== undefined) console.error(judgement.reason)
  for (const violation of judgement.violations)
    console.error(`${violation.class}${violation.part ? ` ${violation.part}` : ''}: ${violation.detail}`)
}
const kills = Object.entries(nemesis.done).reduce((sum, [name, times]) => sum + (name.startsWith('kill-') ? times : 0), 0)
const line = {
  name: 'chaos',
  ok,
  transport: kind,
  ...(values.adversary ? { misdeeds: world.misdeeds() } : {}),
  seed,
  commit,
  seconds: Math.round(elapsed()),
  changes: written,
  toHandlers,
  kills,
  faults: nemesis.done,
  ...judgement,
}
console.log(values.json ? JSON.stringify(line) : JSON.stringify(line, undefined, 2))
process.exit(ok ? 0 : 1)

function commitOf(): string {
  try {
    const options = { encoding: 'utf8', cwd: fileURLToPath(new URL('../..', import.meta.url)) } as const
    const dirty = execFileSync('git', ['status', '--porcelain'], options) !== ''
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], options).trim() + (dirty ? ' with changes' : '')
  } catch {
    return 'unknown'
  }
}
