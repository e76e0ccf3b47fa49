import fc from 'fast-check'
import type { Change, Effect, Observations, Operation, Publication, ReplicaChange } from '../../src/testing/history-checker/history.ts'

/** A model of a system that keeps every promise: what the checker must accept, and what a mutation then spoils. */
export interface SimulatedRun {
  readonly operations: Operation[]
  readonly publications: Publication[]
  readonly effects: Map<string, Effect[]>
  readonly changes: ReplicaChange[]
  readonly owner: Map<string, string>
  readonly committed: string[]
}

const KINDS = ['entity', 'event', 'ordered'] as const
type Kind = (typeof KINDS)[number]
const TOPICS: Record<Kind, string> = { entity: 'a.thing', event: 'a.happened', ordered: 'a.step' }

interface Step {
  readonly writer: number
  readonly kind: Kind
  readonly key: number
  readonly rows: number
  readonly deletes: boolean
  readonly outcome: 'ok' | 'fail' | 'info-committed' | 'info-lost'
  readonly undone: boolean
  readonly pause: number
  readonly repeated: boolean
}

export const simulatedSteps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.record({
    writer: fc.nat(3),
    kind: fc.constantFrom(...KINDS),
    key: fc.nat(2),
    rows: fc.integer({ min: 1, max: 3 }),
    deletes: fc.boolean(),
    outcome: fc.constantFrom('ok', 'ok', 'ok', 'fail', 'info-committed', 'info-lost'),
    undone: fc.boolean(),
    pause: fc.nat(4),
    repeated: fc.boolean(),
  }) as fc.Arbitrary<Step>,
  { minLength: 3, maxLength: 40 },
)

/** Entities and ordered events lock their key until COMMIT; unordered events of different writers overlap and may be drawn in any order. */
export function simulate(steps: readonly Step[]): SimulatedRun {
  const run: SimulatedRun = {
    operations: [],
    publications: [],
    effects: new Map([
      [TOPICS.event, []],
      [TOPICS.ordered, []],
    ]),
    changes: [],
    owner: new Map(),
    committed: [],
  }
  let version = 0
  let time = 0
  let mark = 0
  /** Events whose transaction is open: they appear when it commits. */
  const open: { commitAt: number; publish: () => void }[] = []
  const commitUpTo = (limit: number): void => {
    for (const one of open.filter(({ commitAt }) => commitAt <= limit).sort((a, b) => a.commitAt - b.commitAt)) {
      one.publish()
      open.splice(open.indexOf(one), 1)
    }
  }

  for (const [index, step] of steps.entries()) {
    time += 1 + step.pause
    const op = `op${index}`
    const topic = TOPICS[step.kind]
    const key = String(step.key)
    const changes: Change[] = []
    const versions: number[] = []
    const at: number[] = []
    let exists = run.owner.has(key)
    for (let row = 0; row < step.rows; row++) {
      const deletes = step.kind === 'entity' && step.deletes && exists && row === step.rows - 1
      changes.push({
        topic,
        key,
        kind: step.kind !== 'entity' ? 'event' : deletes ? 'deleted' : 'state',
        mark: deletes ? null : `m${++mark}`,
      })
      versions.push(++version)
      at.push(++time)
      exists = !deletes
    }
    const begunAt = (at[0] as number) - 0.5
    const committingAt = ++time
    // What is unordered may stay open while others go on.
    const end = step.kind === 'event' ? committingAt + step.pause * 3 : ++time
    const undoneIndex = step.undone && step.kind !== 'entity' ? changes.length - 1 : -1
    const commits = step.outcome === 'ok' || step.outcome === 'info-committed'
    const phase = step.outcome === 'ok' ? 'ok' : step.outcome === 'fail' ? 'fail' : 'info'
    run.operations.push({ f: 'write', phase: 'invoke', process: `w${step.writer}`, time: begunAt, op, changes })
    run.operations.push({
      f: 'write',
      phase,
      process: `w${step.writer}`,
      time: end,
      op,
      committingAt,
      outcomes: versions.map((drawn, i) => ({ at: at[i] as number, version: drawn, ...(i === undoneIndex ? { undone: true } : {}) })),
    })
    if (!commits) continue
    run.committed.push(op)
    const publish = (): void => {
      for (const [i, change] of changes.entries()) {
        if (i === undoneIndex) continue
        publishOne(run, change, versions[i] as number, Math.max(end, time) + 0.1)
        if (step.repeated) run.publications.push({ ...(run.publications.at(-1) as Publication) })
      }
    }
    if (step.kind === 'event') open.push({ commitAt: end, publish })
    else publish()
    commitUpTo(time)
  }
  commitUpTo(Number.POSITIVE_INFINITY)
  return run
}

function publishOne(run: SimulatedRun, change: Change, version: number, time: number): void {
  const { topic, key, kind, mark } = change
  const message = `a.${version}`
  run.publications.push({ f: 'publication', phase: 'ok', process: 'observer', time, topic, key, kind, version, mark, message })
  if (topic !== TOPICS.entity) {
    run.effects.get(topic)?.push({ generation: 1, message, key, kind, version, mark, time })
  } else if (mark === null) {
    run.owner.delete(key)
    run.changes.push({ key, version: null })
  } else {
    run.owner.set(key, mark)
    run.changes.push({ key, version })
  }
}

export function observationsOf(run: SimulatedRun): Observations {
  const firsts = [...new Map(run.publications.map((publication) => [publication.version, publication])).values()]
  return {
    topics: KINDS.map((kind) => ({ name: TOPICS[kind], promise: kind, owner: 'a' })),
    faultsScheduled: 0,
    drained: true,
    committed: run.committed,
    outboxes: [
      {
        team: 'a',
        changes: firsts.map(({ version, topic, key }) => ({ version, topic, key })),
        withheld: [],
        pending: [],
        checkpoints: [],
      },
    ],
    subscriptions: [...run.effects].map(([topic, effects]) => ({
      name: `b.${topic}`,
      topic,
      effects,
      waiting: [],
      discarded: [],
      backlog: 0,
      counts: { applied: effects.length, waiting: 0, discarded: 0 },
    })),
    replicas: [
      {
        name: 'b.thing',
        topic: TOPICS.entity,
        fields: ['mark'],
        owner: [...run.owner].map(([key, mark]) => ({ key, fields: { mark } })),
        rows: [...run.owner].map(([key, mark]) => ({
          key,
          fields: { mark },
          version: run.publications.find((publication) => publication.mark === mark)?.version ?? 0,
        })),
        changes: run.changes,
        waitingKeys: [],
        backlog: 0,
        ended: run.publications.filter(({ topic }) => topic === TOPICS.entity).length,
      },
    ],
  }
}
