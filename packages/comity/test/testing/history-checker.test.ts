import { describe, expect, test } from 'vitest'
import type { Ask, Observations, Operation, Publication, RequestObservation } from '../../src/testing/history-checker/history.ts'
import { checkHistory } from '../../src/testing/history-checker.ts'

/** One entity, one unordered event, one ordered event; a replica and two handlers: a run small enough to read. */
const topics = [
  { name: 'crm.customer', promise: 'entity', owner: 'crm' },
  { name: 'crm.visited', promise: 'event', owner: 'crm' },
  { name: 'crm.step', promise: 'ordered', owner: 'crm' },
] as const

interface Run {
  operations: Operation[]
  observations: Mutable<Observations>
}
type Mutable<T> = T extends readonly (infer E)[] ? Mutable<E>[] : T extends object ? { -readonly [K in keyof T]: Mutable<T[K]> } : T

function write(op: string, time: number, topic: string, key: string, mark: string | null, version: number): Operation[] {
  const kind = topic === 'crm.customer' ? (mark === null ? 'deleted' : 'state') : 'event'
  return [
    { f: 'write', phase: 'invoke', process: 'w1', time, op, changes: [{ topic, key, kind, mark }] },
    { f: 'write', phase: 'ok', process: 'w1', time: time + 3, op, committingAt: time + 2, outcomes: [{ at: time + 1, version }] },
  ]
}

function publication(time: number, topic: string, key: string, mark: string | null, version: number): Publication {
  const kind = topic === 'crm.customer' ? (mark === null ? 'deleted' : 'state') : 'event'
  return { f: 'publication', phase: 'ok', process: 'observer', time, topic, key, kind, version, mark, message: `crm.${version}` }
}

/** Customer 7: written twice, deleted, written again; 8 once. Two visits and two steps of key 7. */
function valid(): Run {
  const said: [topic: string, key: string, mark: string | null, version: number][] = [
    ['crm.customer', '7', 'a', 10],
    ['crm.customer', '7', 'b', 20],
    ['crm.visited', '7', 'v1', 30],
    ['crm.customer', '7', null, 40],
    ['crm.customer', '7', 'c', 50],
    ['crm.visited', '7', 'v2', 60],
    ['crm.customer', '8', 'd', 70],
    ['crm.step', '7', 's1', 80],
    ['crm.step', '7', 's2', 90],
  ]
  const operations = said.flatMap(([topic, key, mark, version]) => [
    ...write(`op${version}`, version * 10, topic, key, mark, version),
    publication(version * 10 + 5, topic, key, mark, version),
  ])
  const effects = (topic: string) =>
    said
      .filter((one) => one[0] === topic)
      .map(([, key, mark, version]) => ({
        generation: 1,
        message: `crm.${version}`,
        key,
        kind: 'event' as const,
        version,
        mark,
        time: version * 10 + 7,
      }))
  const row = (key: string, name: string, version: number) => ({ key, fields: { name }, version })
  operations.push(asked('r1', 'x', { expect: 'w' }), asked('r2', 'y', { expect: 'w' }))
  return {
    operations,
    observations: {
      topics: topics.map((topic) => ({ ...topic })),
      faultsScheduled: 0,
      drained: true,
      outboxes: [
        {
          team: 'crm',
          changes: said.map(([topic, key, , version]) => ({ version, topic, key })),
          withheld: [],
          pending: [],
          checkpoints: [
            { version: 40, term: 1 },
            { version: 90, term: 2 },
          ],
        },
      ],
      subscriptions: ['crm.visited', 'crm.step'].map((topic) => ({
        name: `data.${topic}`,
        topic,
        effects: effects(topic),
        waiting: [],
        discarded: [],
        backlog: 0,
        counts: { applied: 2, waiting: 0, discarded: 0 },
      })),
      replicas: [
        {
          name: 'marketing.customer',
          topic: 'crm.customer',
          fields: ['name'],
          owner: [
            { key: '7', fields: { name: 'c' } },
            { key: '8', fields: { name: 'd' } },
          ],
          rows: [row('7', 'c', 50), row('8', 'd', 70)],
          changes: [
            { key: '7', version: 10 },
            { key: '7', version: 20 },
            { key: '7', version: null },
            { key: '7', version: 50 },
            { key: '8', version: 70 },
          ],
          waitingKeys: [],
          backlog: 0,
          ended: 5,
        },
      ],
      troubles: [],
      requests: [
        {
          topic: 'crm.rename',
          decided: [
            { asker: 'marketing', id: 'r1', outcome: 'accepted' },
            { asker: 'marketing', id: 'r2', outcome: 'rejected' },
          ],
          heard: [
            { asker: 'marketing', id: 'r1', outcome: 'accepted' },
            { asker: 'marketing', id: 'r2', outcome: 'rejected' },
          ],
          effects: [{ asker: 'marketing', id: 'r1', key: '7', mark: 'x' }],
          before: { '7': 'w' },
          after: { '7': 'x' },
        },
      ],
    },
  }
}

/** A request about key 7. */
const asked = (id: string, mark: string, given: Partial<Ask> = {}): Ask => ({
  ...{ f: 'ask', phase: 'ok', process: 'w1', time: 600, asker: 'marketing', id, topic: 'crm.rename', key: '7', mark },
  ...given,
})
const ask = (run: Run, id: string, mark: string, given: Partial<Ask> = {}) => void run.operations.push(asked(id, mark, given))
const requests = (run: Run) => run.observations.requests?.[0] as Mutable<RequestObservation>
const heardOf = (run: Run, id: string) => requests(run).heard.find((one) => one.id === id) as { outcome: string | null }
const accept = (run: Run, id: string, mark: string) => {
  requests(run).decided.push({ asker: 'marketing', id, outcome: 'accepted' })
  requests(run).heard.push({ asker: 'marketing', id, outcome: 'accepted' })
  requests(run).effects.push({ asker: 'marketing', id, key: '7', mark })
  requests(run).after['7'] = mark
}

/** Its owner's database was put back to an older state: of the writes, those that are in it are named. */
const loseHistory = (run: Run): void => {
  run.observations.restored = true
  run.observations.committed = ['op10', 'op20', 'op30', 'op40', 'op50', 'op60', 'op70', 'op80', 'op90']
}
const committed = (run: Run) => run.observations.committed as string[]
const visits = (run: Run) => run.observations.subscriptions[0] as Mutable<Observations['subscriptions'][number]>
const steps = (run: Run) => run.observations.subscriptions[1] as Mutable<Observations['subscriptions'][number]>
const copy = (run: Run) => run.observations.replicas[0] as Mutable<Observations['replicas'][number]>
const outbox = (run: Run) => run.observations.outboxes[0] as Mutable<Observations['outboxes'][number]>
const applies = (subscription: Mutable<Observations['subscriptions'][number]>, applied: number) => {
  subscription.counts = { ...(subscription.counts as NonNullable<typeof subscription.counts>), applied }
}
/** Messages that wait or were discarded, and are counted there. */
const endsWithout = (subscription: Mutable<Observations['subscriptions'][number]>, how: 'waiting' | 'discarded', messages: string[]) => {
  subscription[how] = messages
  subscription.counts = { ...(subscription.counts as NonNullable<typeof subscription.counts>), [how]: messages.length }
}
/** The visit 60 was edited before it ran. */
const edit = (run: Run) => {
  effect(run, 1).message = 'crm.60~1'
  effect(run, 1).mark = 'mended'
  visits(run).edited = [{ message: 'crm.60', replacedBy: 'crm.60~1' }]
}
/** The visit 60 was ended without its effect. */
const discard = (run: Run) => {
  visits(run).effects.pop()
  visits(run).discarded = ['crm.60']
  visits(run).counts = { applied: 1, waiting: 0, discarded: 1 }
}
const effect = (run: Run, index: number) => visits(run).effects[index] as Mutable<Observations['subscriptions'][number]['effects'][number]>
const without = (run: Run, drop: (operation: Operation) => boolean) => {
  run.operations = run.operations.filter((operation) => !drop(operation))
}
const isPublication = (version: number) => (operation: Operation) => operation.f === 'publication' && operation.version === version
const end = (run: Run, op: string, replace: Partial<Extract<Operation, { f: 'write' }>>) => {
  run.operations = run.operations.map((operation) =>
    operation.f === 'write' && operation.op === op && operation.phase !== 'invoke'
      ? ({ ...operation, ...replace } as Operation)
      : operation,
  )
}
/** Never published, and gone from what the owner recorded: as if a relay had skipped it and nobody kept a ledger. */
const lose = (run: Run, version: number) => {
  without(run, isPublication(version))
  outbox(run).changes = outbox(run).changes.filter((change) => change.version !== version)
}
const move = <T>(all: T[], from: number, to: number) => all.splice(to, 0, ...all.splice(from, 1))

/** For every class: what violates it and nothing else, and what looks like it and is lawful. */
const cases: Record<string, { caught: Record<string, (run: Run) => void>; lawful: Record<string, (run: Run) => void> }> = {
  'H1 prefix': {
    caught: {
      'the first event of a topic': (run) => {
        lose(run, 30)
        visits(run).effects.shift()
        applies(visits(run), 1)
      },
      'a handler that had none': (run) => {
        steps(run).effects = []
        applies(steps(run), 0)
      },
    },
    lawful: {
      'its writer never learnt whether it committed': (run) => {
        lose(run, 30)
        visits(run).effects.shift()
        applies(visits(run), 1)
        end(run, 'op30', { phase: 'info' })
      },
    },
  },
  'H1 middle': {
    caught: {
      'a state between others': (run) => {
        lose(run, 50)
        copy(run).rows[0] = { key: '7', fields: { name: 'c' }, version: 50 }
        copy(run).ended = 4
      },
    },
    lawful: {
      'it is withheld': (run) => {
        without(run, isPublication(20))
        outbox(run).withheld = [{ version: 20, mark: 'b' }]
        copy(run).ended = 4
      },
      'it was rolled back to a savepoint': (run) => {
        lose(run, 20)
        copy(run).ended = 4
        end(run, 'op20', { outcomes: [{ undone: true }] })
      },
    },
  },
  'H1 postfix': {
    caught: {
      'the last event of a topic': (run) => {
        lose(run, 60)
        visits(run).effects.pop()
        applies(visits(run), 1)
      },
      'the last one at a handler': (run) => {
        visits(run).effects.pop()
        applies(visits(run), 1)
      },
    },
    lawful: {
      'it waits': (run) => {
        visits(run).effects.pop()
        applies(visits(run), 1)
        endsWithout(visits(run), 'waiting', ['crm.60'])
      },
      'it was discarded by name': (run) => {
        visits(run).effects.pop()
        applies(visits(run), 1)
        endsWithout(visits(run), 'discarded', ['crm.60'])
      },
    },
  },
  'H1 deletion': {
    caught: {
      'a deletion that was not published': (run) => {
        lose(run, 40)
        copy(run).ended = 4
      },
    },
    lawful: {
      'it found no row': (run) => {
        lose(run, 40)
        copy(run).ended = 4
        end(run, 'op40', { outcomes: [{ undone: true }] })
      },
    },
  },
  'H1 acknowledged': {
    caught: {
      'a COMMIT that the owner forgot': (run) => {
        run.observations.committed = ['op10', 'op20', 'op30', 'op40', 'op50', 'op60', 'op70', 'op80']
      },
    },
    lawful: {
      'its database was put back by intention': (run) => {
        run.observations.committed = ['op10', 'op20', 'op30', 'op40', 'op50', 'op60', 'op70', 'op80']
        run.observations.restored = true
      },
    },
  },
  H2: {
    caught: {
      'an effect that nobody attempted': (run) => {
        visits(run).effects.push({ generation: 1, message: 'crm.65', key: '7', kind: 'event', version: 65, mark: 'ghost' })
        applies(visits(run), 3)
      },
      'a publication that nobody attempted': (run) => {
        run.operations.push(publication(999, 'crm.customer', '9', 'ghost', 95))
        outbox(run).changes.push({ version: 95, topic: 'crm.customer', key: '9' })
        copy(run).ended = 6
      },
      'one deletion too many': (run) => {
        run.operations.push(publication(999, 'crm.customer', '9', null, 95))
        outbox(run).changes.push({ version: 95, topic: 'crm.customer', key: '9' })
        copy(run).ended = 6
      },
    },
    lawful: { 'its outcome is unknown': (run) => end(run, 'op60', { phase: 'info' }) },
  },
  H3: {
    caught: {
      'the transaction rolled back': (run) => {
        end(run, 'op70', { phase: 'fail' })
      },
      'the savepoint rolled back': (run) => end(run, 'op70', { outcomes: [{ undone: true }] }),
      'its row is not in the database': (run) => {
        end(run, 'op70', { phase: 'info' })
        run.observations.committed = ['op10', 'op20', 'op30', 'op40', 'op50', 'op60', 'op80', 'op90']
      },
    },
    lawful: { 'the writer was killed at COMMIT': (run) => without(run, (o) => o.f === 'write' && o.op === 'op70' && o.phase === 'ok') },
  },
  H4: {
    caught: { 'seen before COMMIT was sent': (run) => end(run, 'op70', { committingAt: 706 }) },
    lawful: { 'seen before COMMIT was answered': (run) => end(run, 'op70', { committingAt: 704, time: 720 }) },
  },
  H5: {
    caught: {
      'the same message twice': (run) => {
        visits(run).effects.push({ ...effect(run, 1) })
        applies(visits(run), 3)
      },
      'the same event under two versions': (run) => {
        run.operations.push(publication(999, 'crm.visited', '7', 'v2', 95))
        outbox(run).changes.push({ version: 95, topic: 'crm.visited', key: '7' })
        endsWithout(visits(run), 'discarded', ['crm.95'])
      },
    },
    lawful: {
      'a state that is announced once more': (run) => {
        run.operations.push(publication(999, 'crm.customer', '8', 'd', 95))
        outbox(run).changes.push({ version: 95, topic: 'crm.customer', key: '8' })
        copy(run).ended = 6
      },
      'a replay': (run) => {
        visits(run).effects.push({ ...effect(run, 0), generation: 2 }, { ...effect(run, 1), generation: 2 })
        applies(visits(run), 4)
      },
      'a repeated publication': (run) => void run.operations.push(publication(999, 'crm.visited', '7', 'v2', 60)),
    },
  },
  H6: {
    caught: {
      'published with two contents': (run) => void run.operations.push(publication(999, 'crm.visited', '7', 'v1', 60)),
      'one number for two changes': (run) => {
        run.operations = run.operations.map((o) => (isPublication(70)(o) ? { ...(o as Publication), version: 30, message: 'crm.30' } : o))
        end(run, 'op70', { outcomes: [{}] })
        outbox(run).changes = outbox(run).changes.filter(({ version }) => version !== 70)
        outbox(run).changes.push({ version: 30, topic: 'crm.customer', key: '8' })
        copy(run).rows[1] = { key: '8', fields: { name: 'd' }, version: 30 }
        copy(run).changes = []
      },
      'another content at a handler': (run) => {
        effect(run, 0).kind = 'deleted'
      },
    },
    lawful: { 'a repetition of the same': (run) => void run.operations.push(publication(999, 'crm.customer', '7', null, 40)) },
  },
  H7: {
    caught: {
      'an ordered event': (run) => void steps(run).effects.reverse(),
      'an event that was committed before the other was published': (run) => void visits(run).effects.reverse(),
    },
    lawful: {
      'events of concurrent transactions': (run) => {
        visits(run).effects.reverse()
        end(run, 'op30', { time: 700 })
      },
    },
  },
  H8: {
    caught: {
      'one of a key is missing below another': (run) => {
        visits(run).effects.shift()
        applies(visits(run), 1)
      },
    },
    lawful: {
      'it waits alone': (run) => {
        endsWithout(visits(run), 'waiting', ['crm.30'])
        visits(run).effects.shift()
        applies(visits(run), 1)
      },
    },
  },
  H9: {
    caught: {
      'a later state first': (run) => {
        const index = run.operations.findIndex(isPublication(20))
        move(run.operations, run.operations.findIndex(isPublication(50)), index)
      },
    },
    lawful: {
      'keys overlap': (run) => move(run.operations, run.operations.findIndex(isPublication(70)), 0),
      'an old one is repeated': (run) => void run.operations.push(publication(999, 'crm.customer', '7', 'a', 10)),
    },
  },
  H10: {
    caught: {
      'a row went back': (run) => void copy(run).changes?.push({ key: '7', version: 20 }, { key: '7', version: 50 }),
      'a later read is older': (run) => {
        const read = { f: 'read', phase: 'ok', process: 'r', replica: 'marketing.customer', key: '7' } as const
        run.operations.push({ ...read, invokedAt: 600, time: 601, version: 50 }, { ...read, invokedAt: 602, time: 603, version: 20 })
      },
    },
    lawful: {
      'reads overlap': (run) => {
        const read = { f: 'read', phase: 'ok', process: 'r', replica: 'marketing.customer', key: '7' } as const
        run.operations.push({ ...read, invokedAt: 600, time: 603, version: 50 }, { ...read, invokedAt: 602, time: 604, version: 20 })
      },
    },
  },
  'H11 missing': {
    caught: {
      'a row is not there': (run) => void copy(run).rows.pop(),
      'a row is not there that the new history wrote, after a lost one had deleted it': (run) => {
        loseHistory(run)
        committed(run).splice(committed(run).indexOf('op40'), 1)
        copy(run).rows.shift()
      },
    },
    lawful: {
      'a lost history deleted it': (run) => {
        loseHistory(run)
        run.operations.push(...write('op95', 950, 'crm.customer', '8', null, 95), publication(955, 'crm.customer', '8', null, 95))
        copy(run).rows.pop()
        copy(run).changes?.push({ key: '8', version: null })
        copy(run).ended = 6
      },
      'its key waits': (run) => {
        copy(run).rows.pop()
        copy(run).waitingKeys = ['8']
      },
    },
  },
  'H11 extra': {
    caught: { 'a row too many': (run) => void copy(run).rows.push({ key: '9', fields: { name: 'x' }, version: 9 }) },
    lawful: {},
  },
  'H11 stale': {
    caught: {
      'an older state stayed': (run) => {
        copy(run).rows[0] = { key: '7', fields: { name: 'b' }, version: 20 }
      },
    },
    lawful: {
      'an older version of the same content': (run) => {
        copy(run).rows[1] = { key: '8', fields: { name: 'd' }, version: 60 }
      },
    },
  },
  'H11 field': {
    caught: {
      'the newest version with another value': (run) => {
        copy(run).rows[0] = { key: '7', fields: { name: 'C' }, version: 50 }
      },
    },
    lawful: {
      'a field that is not kept': (run) => {
        copy(run).owner[0] = { key: '7', fields: { name: 'c', phone: '1' } }
      },
    },
  },
  H12: {
    caught: {
      'a row came back for a while': (run) => {
        copy(run).changes?.splice(3, 0, { key: '7', version: 25 })
      },
      'a row stayed': (run) => {
        lose(run, 50)
        without(run, (o) => o.f === 'write' && o.op === 'op50')
        copy(run).owner.shift()
        copy(run).rows[0] = { key: '7', fields: { name: 'b' }, version: 20 }
        copy(run).changes = []
        copy(run).ended = 4
      },
    },
    lawful: { 'written again': () => undefined },
  },
  H14: {
    caught: {
      'an older version': (run) =>
        void run.operations.push({
          f: 'read',
          phase: 'ok',
          process: 'r',
          replica: 'marketing.customer',
          key: '7',
          invokedAt: 600,
          time: 601,
          token: 50,
          version: 20,
        }),
      nothing: (run) =>
        void run.operations.push({
          f: 'read',
          phase: 'ok',
          process: 'r',
          replica: 'marketing.customer',
          key: '8',
          invokedAt: 600,
          time: 601,
          token: 70,
          version: null,
        }),
    },
    lawful: {
      'a deletion': (run) =>
        void run.operations.push({
          f: 'read',
          phase: 'ok',
          process: 'r',
          replica: 'marketing.customer',
          key: '7',
          invokedAt: 400,
          time: 401,
          token: 20,
          version: null,
        }),
      'something newer': (run) =>
        void run.operations.push({
          f: 'read',
          phase: 'ok',
          process: 'r',
          replica: 'marketing.customer',
          key: '7',
          invokedAt: 600,
          time: 601,
          token: 20,
          version: 50,
        }),
    },
  },
  H16: {
    caught: {
      'recorded, and nowhere': (run) => {
        outbox(run).changes.push({ version: 95, topic: 'crm.customer', key: '9' })
      },
      'sent and withheld': (run) => {
        outbox(run).withheld = [{ version: 20, mark: 'b' }]
      },
      'sent and not recorded': (run) => void outbox(run).changes.pop(),
      'applied and waiting': (run) => {
        visits(run).waiting = ['crm.60']
      },
      'counted wrong': (run) => {
        applies(visits(run), 1)
      },
      'a message of a replica that ended nowhere': (run) => {
        copy(run).ended = 4
      },
      'discarded and waiting': (run) => {
        discard(run)
        visits(run).waiting = ['crm.60']
        visits(run).counts = { applied: 1, waiting: 1, discarded: 1 }
      },
      'discarded, and counted elsewhere': (run) => {
        discard(run)
        visits(run).counts = { applied: 1, waiting: 1, discarded: 0 }
      },
      'edited, and the original had its effect instead': (run) => {
        edit(run)
        effect(run, 1).message = 'crm.60'
        effect(run, 1).mark = 'v2'
      },
    },
    lawful: {
      'discarded by name': discard,
      edited: edit,
      'edited twice, and discarded': (run) => {
        discard(run)
        visits(run).discarded = ['crm.60~2']
        visits(run).edited = [
          { message: 'crm.60', replacedBy: 'crm.60~1' },
          { message: 'crm.60~1', replacedBy: 'crm.60~2' },
        ]
      },
      'repetitions of a replica': (run) => {
        copy(run).ended = 40
      },
    },
  },
  'H15 zero': {
    caught: {
      'asked, and never decided': (run) => {
        ask(run, 'r3', 'z')
        requests(run).heard.push({ asker: 'marketing', id: 'r3', outcome: null })
      },
      'decided, and never heard': (run) => {
        heardOf(run, 'r1').outcome = null
      },
    },
    lawful: {
      'of a transaction that rolled back': (run) => ask(run, 'r3', 'z', { phase: 'fail' }),
      'nobody knows whether it committed, and it did not': (run) => ask(run, 'r3', 'z', { phase: 'info' }),
    },
  },
  'H15 two': {
    caught: {
      'decided twice': (run) => void requests(run).decided.push({ asker: 'marketing', id: 'r2', outcome: 'rejected' }),
      'one outcome there, another one here': (run) => {
        heardOf(run, 'r2').outcome = 'expired'
      },
    },
    lawful: {
      'one id of two askers': (run) => {
        ask(run, 'r2', 'z', { asker: 'sales' })
        requests(run).decided.push({ asker: 'sales', id: 'r2', outcome: 'withdrawn' })
        requests(run).heard.push({ asker: 'sales', id: 'r2', outcome: 'withdrawn' })
      },
    },
  },
  'H15 half': {
    caught: {
      'rejected, with an effect': (run) => {
        ask(run, 'r3', 'z')
        accept(run, 'r3', 'z')
        for (const list of ['decided', 'heard'] as const) Object.assign(requests(run)[list].at(-1) as object, { outcome: 'rejected' })
      },
      'accepted, with none': (run) => {
        requests(run).effects = []
        requests(run).after = { '7': 'w' }
      },
    },
    lawful: {},
  },
  'H15 phantom': {
    caught: {
      'decided, and never asked': (run) => void requests(run).decided.push({ asker: 'marketing', id: 'r9', outcome: 'expired' }),
      'of a transaction that rolled back': (run) => {
        ask(run, 'r3', 'z', { phase: 'fail' })
        requests(run).decided.push({ asker: 'marketing', id: 'r3', outcome: 'expired' })
        requests(run).heard.push({ asker: 'marketing', id: 'r3', outcome: 'expired' })
      },
    },
    lawful: {},
  },
  'H15 lost': {
    caught: {
      'two that expected the same': (run) => {
        ask(run, 'r3', 'z', { expect: 'w' })
        accept(run, 'r3', 'z')
      },
      'the last that was accepted is not there': (run) => {
        requests(run).after['7'] = 'w'
      },
    },
    lawful: {
      'one after the other': (run) => {
        ask(run, 'r3', 'z', { expect: 'x' })
        accept(run, 'r3', 'z')
      },
      'that expects nothing': (run) => {
        ask(run, 'r3', 'z')
        accept(run, 'r3', 'z')
      },
    },
  },
  H18: {
    caught: {
      "a clone's write was published": (run) => {
        run.operations = run.operations.map((o) => (o.f === 'write' && o.op === 'op70' && o.phase === 'invoke' ? { ...o, clone: true } : o))
      },
      'a send of a stale term was stored': (run) => {
        const send = { f: 'send', process: 'crm', team: 'crm', incarnation: 1 } as const
        run.operations.push(
          { ...send, phase: 'invoke', op: 's1', time: 10, term: 2 },
          { ...send, phase: 'ok', op: 's1', time: 11, term: 2 },
          { ...send, phase: 'invoke', op: 's2', time: 12, term: 1 },
          { ...send, phase: 'ok', op: 's2', time: 13, term: 1 },
        )
      },
      'a stale term moved the checkpoint': (run) => void outbox(run).checkpoints.push({ version: 90, term: 1 }),
      'the checkpoint went back': (run) => void outbox(run).checkpoints.push({ version: 80, term: 2 }),
    },
    lawful: {
      'a send of a stale term was stored by a broker that has no fences': (run) => {
        const send = { f: 'send', process: 'crm', team: 'crm', incarnation: 1 } as const
        run.observations.fenced = false
        run.operations.push(
          { ...send, phase: 'invoke', op: 's1', time: 10, term: 2 },
          { ...send, phase: 'ok', op: 's1', time: 11, term: 2 },
          { ...send, phase: 'invoke', op: 's2', time: 12, term: 1 },
          { ...send, phase: 'ok', op: 's2', time: 13, term: 1 },
        )
      },
      'a send of a stale term was refused, or overlapped': (run) => {
        const send = { f: 'send', process: 'crm', team: 'crm', incarnation: 1 } as const
        run.operations.push(
          { ...send, phase: 'invoke', op: 's1', time: 10, term: 2 },
          { ...send, phase: 'ok', op: 's1', time: 14, term: 2 },
          { ...send, phase: 'invoke', op: 's2', time: 12, term: 1 },
          { ...send, phase: 'ok', op: 's2', time: 15, term: 1 },
          { ...send, phase: 'invoke', op: 's3', time: 16, term: 1 },
          { ...send, phase: 'fail', op: 's3', time: 17, term: 1 },
        )
      },
    },
  },
  H19: {
    caught: {
      'acknowledged, and no effect': (run) => {
        visits(run).effects.shift()
        applies(visits(run), 1)
        run.operations.push({ f: 'ack', phase: 'ok', process: 'data', time: 500, subscription: 'data.crm.visited', messages: ['crm.30'] })
      },
    },
    lawful: {
      'acknowledged, with its effect': (run) =>
        void run.operations.push({
          f: 'ack',
          phase: 'ok',
          process: 'data',
          time: 500,
          subscription: 'data.crm.visited',
          messages: ['crm.30'],
        }),
    },
  },
  H22: {
    caught: {
      'not drained': (run) => {
        run.observations.drained = false
      },
      'messages left': (run) => {
        visits(run).backlog = 1
      },
      'too late': (run) => {
        run.observations.maxLag = 100
        effect(run, 1).time = 5000
      },
      'a settled change is still pending': (run) => {
        outbox(run).pending = [90]
      },
    },
    lawful: {
      'late, and nobody minds': (run) => {
        effect(run, 1).time = 5000
      },
    },
  },
  H23: {
    caught: {
      'more than its bound': (run) => {
        run.observations.bounds = [{ component: 'mail-1', of: 'memory in MB', worst: 401, limit: 400 }]
      },
      'what nobody could measure': (run) => {
        run.observations.bounds = [{ component: 'mail-1', of: 'memory in MB', worst: Number.NaN, limit: 400 }]
      },
    },
    lawful: {
      'all that it may have': (run) => {
        run.observations.bounds = [{ component: 'mail-1', of: 'memory in MB', worst: 400, limit: 400 }]
      },
    },
  },
  H24: {
    caught: {
      'withheld, and not shown': (run) => {
        run.observations.troubles = [{ component: 'crm', trouble: 'withheld', known: 3, shown: 0 }]
      },
    },
    lawful: {
      'withheld, and shown': (run) => {
        run.observations.troubles = [{ component: 'crm', trouble: 'withheld', known: 3, shown: 3 }]
      },
    },
  },
}

test('the smallest run of every kind of topic is valid', () => {
  const { operations, observations } = valid()
  expect(checkHistory(operations, observations)).toMatchObject({ valid: true, violations: [] })
})

for (const [name, { caught, lawful }] of Object.entries(cases)) {
  describe(name, () => {
    for (const [title, violate] of Object.entries(caught)) {
      test(`caught, and nothing else: ${title}`, () => {
        const run = valid()
        violate(run)
        const judgement = checkHistory(run.operations, run.observations)
        expect(Object.keys(judgement.counts.violations), JSON.stringify(judgement.violations)).toEqual([name])
        expect(judgement.valid).toBe(false)
      })
    }
    for (const [title, change] of Object.entries(lawful)) {
      test(`lawful: ${title}`, () => {
        const run = valid()
        change(run)
        expect(checkHistory(run.operations, run.observations)).toMatchObject({ valid: true, violations: [] })
      })
    }
  })
}

describe('unknown, never valid', () => {
  test('a run in which nothing succeeded', () => {
    const { observations } = valid()
    expect(checkHistory([], { ...observations, requests: [], outboxes: [], subscriptions: [], replicas: [] })).toMatchObject({
      valid: 'unknown',
      reason: 'no write succeeded',
    })
  })

  test('a run whose faults never happened', () => {
    const { operations, observations } = valid()
    const fault = { f: 'fault', process: 'nemesis', time: 1, name: 'kill -9 the relay' } as const
    const scheduled = { ...observations, faultsScheduled: 2 }
    expect(checkHistory([...operations, { ...fault, phase: 'fail' }], scheduled).valid).toBe('unknown')
    expect(checkHistory([...operations, { ...fault, phase: 'ok' }], scheduled).valid).toBe(true)
  })
})
