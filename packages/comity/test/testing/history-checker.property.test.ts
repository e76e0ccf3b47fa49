import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Observations } from '../../src/testing/history-checker/history.ts'
import { checkHistory, type Judgement } from '../../src/testing/history-checker.ts'
import { observationsOf, type SimulatedRun, simulate, simulatedSteps } from './simulated-run.ts'

const judge = (run: SimulatedRun, observations: Observations = observationsOf(run)): Judgement =>
  checkHistory([...run.operations, ...run.publications], observations)

test('a run that keeps every promise is valid', () => {
  fc.assert(
    fc.property(simulatedSteps, (steps) => {
      const run = simulate(steps)
      fc.pre(run.publications.length > 0 && run.operations.some((operation) => operation.f === 'write' && operation.phase === 'ok'))
      const judgement = judge(run)
      expect(judgement.violations).toEqual([])
      expect(judgement.valid).toBe(true)
    }),
    { numRuns: 500 },
  )
})

/** An operator ends one waiting message in two without its effect, and puts another in the place of the others. */
function operated(run: SimulatedRun, pick: number): Observations {
  const observations = observationsOf(run)
  const acts = observations.subscriptions.map((subscription) => {
    const discarded: string[] = []
    const edited: { message: string; replacedBy: string }[] = []
    const effects = subscription.effects.flatMap((effect, i) => {
      if ((i + pick) % 3 !== 0) return [effect]
      const replacedBy = `${effect.message}~1`
      if ((i + pick) % 2 === 0) discarded.push(effect.message)
      else edited.push({ message: effect.message, replacedBy })
      return (i + pick) % 2 === 0 ? [] : [{ ...effect, message: replacedBy, mark: `mended ${effect.mark}` }]
    })
    const counts = { applied: effects.length, waiting: 0, discarded: discarded.length }
    return { ...subscription, effects, discarded, edited, counts }
  })
  return { ...observations, subscriptions: acts }
}

test('a run in which an operator discards and edits by name is valid', () => {
  fc.assert(
    fc.property(simulatedSteps, fc.nat(5), (steps, pick) => {
      const run = simulate(steps)
      expect(judge(run, operated(run, pick)).violations).toEqual([])
    }),
    { numRuns: 200 },
  )
})

/** Each spoils one event of a valid run; answers undefined where the run has none that it could spoil. */
const mutations: Record<string, (run: SimulatedRun, pick: number) => Observations | undefined> = {
  'drop a publication': (run, pick) => {
    const one = run.publications[pick % run.publications.length]
    if (one === undefined) return undefined
    const observations = observationsOf(run)
    for (let i = run.publications.length - 1; i >= 0; i--) if (run.publications[i]?.version === one.version) run.publications.splice(i, 1)
    return observations
  },
  'drop an effect': (run, pick) => {
    const effects = [...run.effects.values()].find((all) => all.length > 0)
    effects?.splice(pick % effects.length, 1)
    return effects && observationsOf(run)
  },
  'duplicate an effect': (run, pick) => {
    const effects = [...run.effects.values()].find((all) => all.length > 0)
    const one = effects?.[pick % effects.length]
    if (one) effects?.push(one)
    return effects && observationsOf(run)
  },
  'publish an event again under another version': (run, pick) => {
    const events = run.publications.filter(({ kind }) => kind === 'event')
    const one = events[pick % events.length]
    if (one === undefined) return undefined
    run.publications.push({ ...one, version: one.version + 1_000_000, message: `a.${one.version + 1_000_000}` })
    return observationsOf(run)
  },
  'reorder two states of a key': (run, pick) => {
    const states = [...new Map(run.publications.toReversed().map((publication) => [publication.version, publication])).values()].filter(
      ({ topic }) => topic === 'a.thing',
    )
    const pairs = states.flatMap((a) => states.filter((b) => b.key === a.key && b.version > a.version).map((b) => [a, b] as const))
    const pair = pairs[pick % pairs.length]
    if (pair === undefined) return undefined
    const from = run.publications.indexOf(pair[0])
    const to = run.publications.indexOf(pair[1])
    if (from < to) run.publications.splice(from, 0, ...run.publications.splice(to, 1))
    else return undefined
    return observationsOf(run)
  },
  'alter what is published': (run, pick) => {
    const marked = run.publications.filter(({ mark }) => mark !== null)
    const one = marked[pick % marked.length]
    if (one === undefined) return undefined
    const observations = observationsOf(run)
    for (const [i, other] of run.publications.entries())
      if (other.version === one.version) run.publications[i] = { ...other, mark: `${one.mark}x` }
    return observations
  },
  'alter a row of the copy': (run) => {
    const observations = observationsOf(run)
    const [replica] = observations.replicas
    const [row] = replica?.rows ?? []
    if (!replica || !row) return undefined
    return { ...observations, replicas: [{ ...replica, rows: [{ ...row, fields: { mark: 'x' } }, ...replica.rows.slice(1)] }] }
  },
  'lose a row of the copy': (run) => {
    const observations = observationsOf(run)
    const [replica] = observations.replicas
    if (!replica || replica.rows.length === 0) return undefined
    return { ...observations, replicas: [{ ...replica, rows: replica.rows.slice(1) }] }
  },
  'bring a row of the copy back': (run) => {
    const index = run.changes.findIndex(({ version }) => version === null)
    const before = run.changes.slice(0, index).filter((change) => change.key === run.changes[index]?.key)
    if (index < 0) return undefined
    run.changes.splice(index + 1, 0, before.at(-1) as (typeof before)[number])
    return observationsOf(run)
  },
  'discard without a record': (run, pick) => {
    const observations = operated(run, pick)
    if (observations.subscriptions.every(({ discarded }) => discarded.length === 0)) return undefined
    const forgotten = observations.subscriptions.map((one) => ({ ...one, discarded: [], counts: { ...one.counts, discarded: 0 } }))
    return { ...observations, subscriptions: forgotten as Observations['subscriptions'] }
  },
  'edit without a record': (run, pick) => {
    const observations = operated(run, pick)
    if (observations.subscriptions.every(({ edited }) => (edited ?? []).length === 0)) return undefined
    return { ...observations, subscriptions: observations.subscriptions.map((one) => ({ ...one, edited: [] })) }
  },
  'run what was edited too': (run, pick) => {
    const observations = operated(run, pick)
    const index = observations.subscriptions.findIndex(({ edited }) => (edited ?? []).length > 0)
    const original = observationsOf(run).subscriptions[index]?.effects.find(
      ({ message }) => message === observations.subscriptions[index]?.edited?.[0]?.message,
    )
    if (original === undefined) return undefined
    const subscriptions = observations.subscriptions.map((one, i) => (i === index ? { ...one, effects: [...one.effects, original] } : one))
    return { ...observations, subscriptions }
  },
  'publish what rolled back': (run) => {
    const failed = run.operations.find((operation) => operation.f === 'write' && operation.phase === 'fail')
    const begin = run.operations.find(
      (operation) => operation.f === 'write' && operation.phase === 'invoke' && operation.op === (failed as { op?: string })?.op,
    )
    if (begin?.f !== 'write' || begin.phase !== 'invoke') return undefined
    const change = begin.changes[0]
    if (change === undefined || change.mark === null) return undefined
    run.publications.push({
      f: 'publication',
      phase: 'ok',
      process: 'observer',
      time: 1e9,
      ...change,
      version: 999_999,
      message: 'a.999999',
    })
    return observationsOf(run)
  },
}

for (const [name, mutate] of Object.entries(mutations)) {
  test(`a run that is spoilt is invalid: ${name}`, () => {
    let spoilt = 0
    fc.assert(
      fc.property(simulatedSteps, fc.nat(1000), (steps, pick) => {
        const run = simulate(steps)
        const observations = mutate(run, pick)
        if (observations === undefined) return
        spoilt++
        expect(judge(run, observations).valid).toBe(false)
      }),
      { numRuns: 300 },
    )
    expect(spoilt).toBeGreaterThan(20)
  })
}

test('a hundred thousand operations are judged in seconds', () => {
  const steps = Array.from({ length: 100_000 }, (_, i) => ({
    writer: i % 16,
    kind: (['entity', 'event', 'ordered'] as const)[i % 3] ?? 'entity',
    key: i % 50,
    rows: 1 + (i % 3),
    deletes: i % 7 === 0,
    outcome: i % 10 === 0 ? ('fail' as const) : ('ok' as const),
    undone: i % 13 === 0,
    pause: i % 4,
    repeated: i % 29 === 0,
  }))
  const run = simulate(steps)
  const observations = { ...observationsOf({ ...run, owner: new Map() }), replicas: [] }
  const started = process.cpuUsage()
  const judgement = judge(run, observations)
  expect(judgement.violations).toEqual([])
  expect(process.cpuUsage(started).user).toBeLessThan(15_000_000) // microseconds; around 4 s on this class of machine
}, 60_000)
