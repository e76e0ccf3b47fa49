import { parseArgs } from 'node:util'
import { apply } from './apply.ts'
import { endToEnd } from './end-to-end.ts'
import { idle } from './idle.ts'
import { type Round, summarise } from './measure.ts'
import { capture, publish } from './publish.ts'
import { relay } from './relay.ts'
import { snapshot } from './snapshot.ts'

const benchmarks: Readonly<Record<string, { readonly events: number; readonly run: (events: number) => Promise<Round> }>> = {
  'end-to-end': { events: 200_000, run: endToEnd },
  publish: { events: 20_000, run: publish },
  capture: { events: 20_000, run: capture },
  relay: { events: 100_000, run: relay },
  apply: { events: 100_000, run: apply },
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean' },
    rounds: { type: 'string', default: '3' },
    events: { type: 'string' },
    minutes: { type: 'string', default: '5' },
  },
})
const names = positionals.length === 0 ? Object.keys(benchmarks) : positionals
for (const name of names) {
  if (name === 'idle') {
    process.stdout.write(`${JSON.stringify(await idle(Number(values.minutes)))}\n`)
    continue
  }
  if (name === 'snapshot') {
    process.stdout.write(`${JSON.stringify(await snapshot(Number(values.minutes)))}\n`)
    continue
  }
  const benchmark = benchmarks[name]
  if (benchmark === undefined) {
    process.stderr.write(`no benchmark "${name}"; there are: ${Object.keys(benchmarks).join(', ')}\n`)
    process.exit(2)
  }
  const rounds: Round[] = []
  for (let round = 1; round <= Number(values.rounds); round++) {
    const measured = await benchmark.run(Number(values.events ?? benchmark.events))
    rounds.push(measured)
    process.stderr.write(
      `${name}, round ${round}: ${Math.round(measured.events / measured.seconds)} events/s, limit ${Math.round(measured.limitRate)}\n`,
    )
  }
  const result = summarise(name, rounds)
  if (values.json) process.stdout.write(`${JSON.stringify(result)}\n`)
  else {
    const { rate, min, max, cpuMicros, limit, ratio } = result
    process.stdout.write(
      `${name.padEnd(12)} ${rate} events/s (${min}–${max}), ${cpuMicros} µs of our processor time each, ${ratio} of its limit ${limit}\n`,
    )
  }
}
