import { parseArgs } from 'node:util'
import { type BrokerName, fetchBroker, launchBroker } from '../../scripts/brokers.mjs'
import { apply } from './apply.ts'
import { type AuditResult, audit } from './audit.ts'
import { CURVE, curveTable, drawCurve, LONG_CURVE } from './audit-curve.ts'
import { backfill } from './backfill.ts'
import { endToEnd } from './end-to-end.ts'
import { idle } from './idle.ts'
import { type Round, summarise } from './measure.ts'
import { natsPeer } from './peers/nats.ts'
import type { Peer } from './peers/peer.ts'
import { postgresPeer } from './peers/postgres.ts'
import { capture, publish } from './publish.ts'
import { relay } from './relay.ts'
import { requestLatency } from './requests.ts'
import { snapshot } from './snapshot.ts'
import { transport } from './transport.ts'

/** What the transport is compared with; where there is none, `transport` can't be run. */
const PEERS: Readonly<Record<string, Peer>> = { postgres: postgresPeer, nats: natsPeer }
const BROKERS = ['postgres', 'nats', 'google-pubsub']
const WITH_BROKER = ['end-to-end', 'transport']

const benchmarks: Readonly<Record<string, { readonly events: number; readonly run: (events: number, broker?: string) => Promise<Round> }>> =
  {
    'end-to-end': { events: 200_000, run: endToEnd },
    publish: { events: 20_000, run: publish },
    capture: { events: 20_000, run: capture },
    relay: { events: 100_000, run: relay },
    apply: { events: 100_000, run: apply },
    transport: { events: 200_000, run: (events, broker) => transport(events, { broker, peer: PEERS[values.transport] as Peer }) },
  }

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean' },
    rounds: { type: 'string', default: '3' },
    events: { type: 'string' },
    /** Of `audit`: the cost by rows, as a table, and as a picture in docs/; `--long` to five million. */
    curve: { type: 'boolean' },
    long: { type: 'boolean' },
    minutes: { type: 'string', default: '5' },
    /** Of `end-to-end` and `transport`. */
    transport: { type: 'string', default: 'postgres' },
  },
})
if (!BROKERS.includes(values.transport)) {
  process.stderr.write(`no transport "${values.transport}"; there are: ${BROKERS.join(', ')}\n`)
  process.exit(2)
}
if (positionals.includes('transport') && !(values.transport in PEERS)) {
  process.stderr.write(`${values.transport} has no peer here: an emulator's loops would be compared with themselves; try end-to-end\n`)
  process.exit(2)
}
const names = positionals.length === 0 ? Object.keys(benchmarks) : positionals
for (const name of names) {
  if (name === 'requests') {
    process.stdout.write(`${JSON.stringify(await requestLatency(Number(values.events ?? 1000)))}\n`)
    continue
  }
  if (name === 'idle') {
    process.stdout.write(`${JSON.stringify(await idle(Number(values.minutes)))}\n`)
    continue
  }
  if (name === 'snapshot') {
    process.stdout.write(`${JSON.stringify(await snapshot(Number(values.minutes)))}\n`)
    continue
  }
  if (name === 'audit' && (values.curve || values.long)) {
    const results: AuditResult[] = []
    for (const rows of values.long ? LONG_CURVE : CURVE) {
      results.push(await audit(rows))
      process.stderr.write(`${JSON.stringify(results.at(-1))}\n`)
    }
    drawCurve(results)
    process.stdout.write(values.json ? `${JSON.stringify({ name: 'audit-curve', results })}\n` : `${curveTable(results)}\n`)
    continue
  }
  if (name === 'audit') {
    process.stdout.write(`${JSON.stringify(await audit(Number(values.events ?? 1_000_000)))}\n`)
    continue
  }
  if (name === 'backfill') {
    process.stdout.write(`${JSON.stringify(await backfill(Number(values.events ?? 1_000_000)))}\n`)
    continue
  }
  const benchmark = benchmarks[name]
  if (benchmark === undefined) {
    process.stderr.write(`no benchmark "${name}"; there are: ${Object.keys(benchmarks).join(', ')}\n`)
    process.exit(2)
  }
  const rounds: Round[] = []
  for (let round = 1; round <= Number(values.rounds); round++) {
    // A broker anew for each round: Google's emulator keeps every message in memory.
    const broker = values.transport !== 'postgres' && WITH_BROKER.includes(name) ? await launch(values.transport as BrokerName) : undefined
    const measured = await benchmark.run(Number(values.events ?? benchmark.events), broker?.url)
    await broker?.close()
    rounds.push(measured)
    process.stderr.write(
      `${name}, round ${round}: ${Math.round(measured.events / measured.seconds)} events/s, limit ${Math.round(measured.limitRate)}\n`,
    )
  }
  const shown = WITH_BROKER.includes(name) && values.transport !== 'postgres' ? `${name} through ${values.transport}` : name
  const result = summarise(shown, rounds)
  if (values.json) process.stdout.write(`${JSON.stringify(result)}\n`)
  else {
    const { rate, min, max, cpuMicros, limit, ratio } = result
    process.stdout.write(
      `${shown.padEnd(12)} ${rate} events/s (${min}–${max}), ${cpuMicros} µs of our processor time each, ${ratio} of its limit ${limit}\n`,
    )
  }
}

async function launch(name: BrokerName): Promise<Awaited<ReturnType<typeof launchBroker>>> {
  const missing = await fetchBroker(name)
  if (missing !== undefined) {
    process.stderr.write(`${missing}\n`)
    process.exit(1)
  }
  return launchBroker(name)
}
