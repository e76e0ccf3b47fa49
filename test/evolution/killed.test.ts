/**
 * A field is renamed by expand and contract while four writers write, with processes of both versions at work in every step, and each of them is ended
 * by kill -9 and started again. Judged by the history checker: nothing is lost, out of order or withheld, and the copy ends as its owner.
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { type Change, historyChecker, type Operation } from 'comity/testing'
import { postgresTransport } from 'comity/transport'
import { afterEach, expect, test } from 'vitest'
import { connect, type PostgresDatabase } from '../../packages/comity/src/postgres/index.ts'
import { publications, WATCH } from '../backfill/observed-copy.ts'
import { until } from '../chaos/until.ts'
import { ChildProcesses } from '../support/child-processes.ts'
import { full } from '../support/full.ts'
import { freshDatabase } from '../support/postgres.ts'
import { recordedChange } from '../support/recorded-change.ts'
import { CUSTOMERS, type Side, sides } from './customers.ts'
import type { TeamProcessOptions } from './team-process.ts'

const WRITERS = 4
const KEYS = 12
/** How often each process is killed in a step. */
const ROUNDS = full ? 4 : 1
const TOPIC = 'crm.customer'

const processes = new ChildProcesses(new URL('team-process.ts', import.meta.url))
const open: AsyncDisposable[] = []
afterEach(async () => {
  processes.killAll()
  for (const one of open.splice(0).reverse()) await one[Symbol.asyncDispose]()
})

test('both versions at work, and killed, in each step', { timeout: full ? 900_000 : 240_000 }, async () => {
  const urls = {
    crm: (await freshDatabase({ migrated: true })).url,
    marketing: (await freshDatabase({ migrated: true })).url,
    bus: (await freshDatabase()).url,
  }
  const [crm, marketing, bus] = [urls.crm, urls.marketing, urls.bus].map((url) => connect(url, { max: WRITERS + 2 })) as [
    PostgresDatabase,
    PostgresDatabase,
    PostgresDatabase,
  ]
  const transport = postgresTransport({ url: urls.bus, allowUnsafe: true })
  open.push(crm, marketing, bus, transport)
  await crm.query(CUSTOMERS)
  const databaseOf = (side: Side): string => (side.startsWith('owner') ? urls.crm : urls.marketing)
  const migrate = async (side: Side): Promise<void> => {
    const team = sides[side]().with<unknown>({ database: databaseOf(side) as never, transport, allowUnsafe: true })
    await team.migrate()
    await team.provision()
  }

  const running = new Map<Side, ChildProcess>()
  const start = async (side: Side): Promise<void> => {
    const options: TeamProcessOptions = { side, database: databaseOf(side), bus: urls.bus }
    const child = processes.start(options)
    running.set(side, child)
    const started = once(child, 'message').then(() => 'it is at work')
    expect(await Promise.race([started, once(child, 'exit').then(([code]) => `it has ended: ${code}`)]), side).toBe('it is at work')
  }
  const kill = async (side: Side): Promise<void> => {
    expect(await processes.ended(running.get(side) as ChildProcess, 'SIGKILL'), side).toBe('SIGKILL')
    running.delete(side)
    faults++
    checker.add({ f: 'fault', phase: 'ok', process: side, time: performance.now(), name: `kill -9 ${side}` })
  }
  /** Each of those that run, one after the other, with time for the others to take over or not. */
  async function killEach(): Promise<void> {
    for (let round = 0; round < ROUNDS; round++) {
      for (const side of [...running.keys()].sort(() => Math.random() - 0.5)) {
        await pause(Math.random() * 1000)
        await kill(side)
        await start(side)
      }
    }
  }

  const checker = historyChecker()
  let faults = 0
  const writing = writers(crm)
  const converged = (column: string): Promise<unknown> =>
    until(
      `the copy's ${column} is as its owner's`,
      async () => {
        const states = (await marketing.query<{ state: string }>('select state from comity.asked_backfills')).rows.map(({ state }) => state)
        const copied = await marketing.query(`select id, ${column} as name from crm_customer order by id`)
        const owned = await crm.query('select id, coalesce(full_name, name) as name from customers order by id')
        return states.every((state) => state === 'ready') && JSON.stringify(copied.rows) === JSON.stringify(owned.rows)
      },
      120_000,
    )
  const settled = async (column: string): Promise<void> => {
    await writing.rest()
    await converged(column)
    writing.goOn()
  }

  await migrate('owner1')
  await migrate('reader1')
  for (const statement of WATCH) await marketing.query(statement)
  await start('owner1')
  await start('reader1')
  writing.goOn()
  await killEach()
  await settled('name')
  // The reader moves, ahead of its owner.
  await kill('reader1')
  await migrate('reader2')
  await start('reader2')
  await killEach()
  await settled('full_name')
  // Expand: old and new processes of the owner, and rows of both.
  await migrate('owner2')
  writing.both = true
  await start('owner2')
  await killEach()
  await writing.rest()
  await writing.fill()
  await settled('full_name')
  await kill('owner1')
  // Contract: every row has the new field.
  await migrate('owner3')
  await start('owner3')
  await killEach()
  await kill('owner2')
  await killEach()
  await writing.rest()
  await converged('full_name')

  const backlog = async (): Promise<number> => (await transport.stats(['marketing.crm-customer']))[0]?.backlog ?? -1
  await until('everything sent has ended', async () => (await backlog()) === 0, 60_000)
  const changes = (await crm.query<{ id: string; key: string }>(`select id::text as id, key from comity.outbox where topic = $1`, [TOPIC]))
    .rows
  const withheld = (await crm.query<{ id: string }>('select id::text as id from comity.withheld where resolved_at is null')).rows
  const rows = (
    await marketing.query<{ id: string; name: string; version: string }>(
      'select id, full_name as name, comity_version::text as version from crm_customer',
    )
  ).rows
  const watched = (
    await marketing.query<{ key: string; version: string | null }>('select key, version::text as version from row_changes order by n')
  ).rows
  for (const operation of writing.history) checker.add(operation)
  for (const { source: _, ...publication } of await publications(bus, ({ name, fullName }) => fullName ?? name)) checker.add(publication)
  const judgement = checker.judge({
    ...{ faultsScheduled: faults, drained: true, topics: [{ name: TOPIC, promise: 'entity' }], subscriptions: [] },
    outboxes: [
      {
        ...{ team: 'crm', pending: [], checkpoints: [] },
        changes: changes.map(({ id, key }) => ({ version: Number(id), topic: TOPIC, key })),
        withheld: withheld.map(({ id }) => ({ version: Number(id), mark: null })),
      },
    ],
    replicas: [
      {
        ...{ name: 'marketing.crm-customer', topic: TOPIC, fields: ['name'], waitingKeys: [], backlog: 0 },
        owner: (await crm.query<{ id: string; name: string }>('select id, full_name as name from customers')).rows.map(asRow),
        rows: rows.map((row) => ({ ...asRow(row), version: Number(row.version) })),
        changes: watched.map(({ key, version }) => ({ key, version: version === null ? null : Number(version) })),
      },
    ],
  })
  expect(judgement.violations).toEqual([])
  expect(judgement).toMatchObject({ valid: true, counts: { faults } })
  expect(withheld).toEqual([])
  expect((await marketing.query('select key from comity.waiting_keys')).rows).toEqual([])
  console.info(`${faults} kills, ${judgement.counts.writes.ok} writes`)
})

function asRow({ id, name }: { readonly id: string; readonly name: string }) {
  return { key: id, fields: { name } }
}

/** Who write customers by plain SQL, whatever becomes of the processes; each state has a name of its own: its mark. */
function writers(database: PostgresDatabase) {
  const history: Operation[] = []
  let resting: Promise<unknown> = Promise.resolve()
  let enough = false
  async function change(process: string, one: Pick<Change, 'key' | 'kind'>, mark: string, statement: string): Promise<void> {
    const recorded: Change = { topic: TOPIC, ...one, mark: one.kind === 'deleted' ? null : mark }
    const { begun, ended } = await recordedChange(database, process, recorded, mark, statement)
    history.push(begun, ended)
  }
  let last = 0
  async function write(writer: number): Promise<void> {
    for (; !enough; await pause(20)) {
      const n = ++last
      const fullName = self.both ? '$2' : 'null'
      const [kind, statement] = (
        [
          ['state', `insert into customers (id, name, full_name) values ($1, $2, ${fullName}) on conflict do nothing`],
          ['state', `update customers set name = $2, full_name = ${fullName} where id = $1`],
          ['state', `update customers set name = $2, full_name = ${fullName} where id = $1`],
          ['deleted', `delete from customers where id = $1 and $2 <> ''`],
        ] as const
      )[(n + (n >> 3)) % 4] as [Change['kind'], string]
      await change(`writer ${writer}`, { key: `k${(n * 5 + writer * 7) % KEYS}`, kind }, `w${n}`, statement)
    }
  }
  const self = {
    history,
    /** Whether they write both fields, as from the expansion on. */
    both: false,
    goOn(): void {
      enough = false
      resting = Promise.all(Array.from({ length: WRITERS }, (_, i) => write(i)))
      resting.catch(() => undefined)
    },
    /** Nobody writes when it resolves. */
    async rest(): Promise<void> {
      enough = true
      await resting
    },
    /** Gives the new field to rows of before. */
    async fill(): Promise<void> {
      for (let key = 0; key < KEYS; key++) {
        const statement = 'update customers set name = $2, full_name = $2 where id = $1 and full_name is null'
        await change('who fills', { key: `k${key}`, kind: 'state' }, `filled ${key}`, statement)
      }
    },
  }
  return self
}
