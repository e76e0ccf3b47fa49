/** A breaking change by expand and contract, step by step, with both versions of owner and reader at work under load: the history checker finds nothing. */
import { fromAttributes } from '@comity/contract'
import { type Queryable, type Team, team } from 'comity'
import { checkHistory, type Operation, testBus } from 'comity/testing'
import { unmarkedTransport } from 'comity/transport'
import pg from 'pg'
import { expect, test } from 'vitest'
import { until } from '../chaos/until.ts'
import { full } from '../support/full.ts'
import { freshDatabase } from '../support/postgres.ts'
import { before, moved } from './readers.ts'
import { Renamed1, Renamed2, Renamed3 } from './versions.ts'

const EACH_STEP = full ? 2000 : 60
const KEYS = 8
const TOPIC = Renamed1.name

test('both versions live, one after the other step: no message is lost, repeated, out of order or left behind', {
  timeout: full ? 600_000 : 120_000,
}, async () => {
  const bus = testBus()
  const [crmDatabase, marketingDatabase] = [await freshDatabase({ migrated: true }), await freshDatabase({ migrated: true })]
  const pools = [crmDatabase, marketingDatabase].map(({ url }) => new pg.Pool({ connectionString: url, max: 4 }))
  const [crm, marketing] = pools as [pg.Pool, pg.Pool]
  await marketing.query(
    'create table effects (n bigint generated always as identity, message text primary key, key text, version bigint, mark text, name text)',
  )
  const operations: Operation[] = []
  const at = (url: string) => (one: Team<Queryable>) =>
    one.with<Queryable>({ database: url, transport: bus.memory.connect(), allowUnsafe: true })
  const [owner, reader] = [at(crmDatabase.url), at(marketingDatabase.url)]
  const running: Team<Queryable>[] = []
  const start = async (one: Team<Queryable>): Promise<Team<Queryable>> => {
    await one.start()
    running.push(one)
    return one
  }
  const stop = async (one: Team<Queryable>): Promise<void> => {
    running.splice(running.indexOf(one), 1)
    await one.stop()
  }

  const names = (name: string) => ({ name, fullName: name })
  let writes = 0
  /** A process of the owner as it writes: in its own version. */
  async function write(process: string, one: Team<Queryable>, version: 1 | 2 | 3, count: number): Promise<void> {
    const client = await crm.connect()
    for (let n = 0; n < count; n++) {
      const [key, op] = [`c${Math.floor(Math.random() * KEYS)}`, `w${++writes}`]
      const both = { id: key, mark: op, ...names(`name of ${op}`) }
      const change = { topic: TOPIC, key, kind: 'event', mark: op } as const
      operations.push({ f: 'write', phase: 'invoke', process, time: performance.now(), op, changes: [change] })
      await client.query('begin')
      const sql: Queryable = { query: async (text, values) => ({ rows: (await client.query(text, values as unknown[])).rows as never[] }) }
      const called = performance.now()
      const drawn =
        version === 1
          ? await one.publish(sql, Renamed1, { id: key, mark: op, name: both.name })
          : version === 2
            ? await one.publish(sql, Renamed2, both)
            : await one.publish(sql, Renamed3, { id: key, mark: op, fullName: both.fullName })
      const committingAt = performance.now()
      await client.query('commit')
      operations.push({
        f: 'write',
        phase: 'ok',
        process,
        time: performance.now(),
        op,
        committingAt,
        outcomes: [{ at: called, version: drawn }],
      })
    }
    client.release()
  }

  const watching = new AbortController()
  const observer = unmarkedTransport(bus.memory.connect())
  await observer.provision({
    topics: [{ name: TOPIC, team: 'crm' }],
    subscriptions: [{ name: 'observer.renamed', team: 'observer', topic: TOPIC }],
  })
  const observing = observer.receive(
    'observer.renamed',
    async (deliveries) => {
      for (const { message } of deliveries) {
        const { subject: key, version } = fromAttributes(message.attributes)
        const { mark } = JSON.parse(message.data) as { mark: string }
        operations.push({
          f: 'publication',
          phase: 'ok',
          process: 'observer',
          time: performance.now(),
          topic: TOPIC,
          key,
          kind: 'event',
          version,
          mark,
          message: message.id,
        })
      }
      return deliveries.map(() => 'ack' as const)
    },
    { signal: watching.signal },
  )

  const owner1 = owner(team('crm').publishes(Renamed1))
  const owner2 = owner(team('crm').publishes(Renamed2))
  const owner3 = owner(team('crm').publishes(Renamed3))
  const [reader1, reader2] = [reader(before()), reader(moved())]
  const deploy = async (one: Team<Queryable>): Promise<void> => {
    await one.migrate()
    await one.provision()
  }

  await deploy(owner1)
  await deploy(reader1)
  await start(owner1)
  await start(reader1)
  await write('owner 1', owner1, 1, EACH_STEP)
  // Expand: old and new processes of the owner.
  await deploy(owner2)
  await start(owner2)
  await Promise.all([write('owner 1', owner1, 1, EACH_STEP), write('owner 2', owner2, 2, EACH_STEP)])
  // One of the old ones is restarted by whatever restarts it: it is not refused.
  await stop(owner1)
  const restarted = await start(owner(team('crm').publishes(Renamed1)))
  // Readers move, while old and new messages come.
  await deploy(reader2)
  await start(reader2)
  await Promise.all([write('owner 1', restarted, 1, EACH_STEP), write('owner 2', owner2, 2, EACH_STEP)])
  await stop(restarted)
  await stop(reader1)
  await write('owner 2', owner2, 2, EACH_STEP)
  // Contract: those that still send both beside those that do not.
  await deploy(owner3)
  await start(owner3)
  await Promise.all([write('owner 2', owner2, 2, EACH_STEP), write('owner 3', owner3, 3, EACH_STEP)])
  await stop(owner2)
  await write('owner 3', owner3, 3, EACH_STEP)

  await until(
    'every effect is there',
    async () =>
      Number((await marketing.query('select count(*) as n from effects')).rows[0].n) >= writes &&
      operations.filter(({ f }) => f === 'publication').length >= writes,
    60_000,
  )
  const effects = (await marketing.query('select message, key, version::float8 as version, mark, name from effects order by n')).rows
  const waiting = (await marketing.query('select message from comity.waiting_keys')).rows.map(({ message }) => message)
  const changes = (await crm.query('select id::float8 as version, topic, key from comity.outbox order by id')).rows
  const withheld = (await crm.query('select id::float8 as version from comity.withheld')).rows.map(({ version }) => ({
    version,
    mark: null,
  }))
  watching.abort()
  await observing.catch(() => undefined)
  for (const one of [...running]) await stop(one)
  await Promise.all(pools.map((pool) => pool.end()))

  const judgement = checkHistory(operations, {
    topics: [{ name: TOPIC, promise: 'ordered' }],
    faultsScheduled: 0,
    drained: true,
    outboxes: [{ team: 'crm', changes, withheld, pending: [], checkpoints: [] }],
    subscriptions: [
      {
        ...{ name: 'marketing.crm-customer-renamed', topic: TOPIC, waiting, discarded: [], backlog: 0 },
        effects: effects.map(({ message, key, version, mark }) => ({ generation: 1, message, key, kind: 'event', version, mark })),
      },
    ],
    replicas: [],
  })
  expect(judgement.violations).toEqual([])
  expect(judgement).toMatchObject({ valid: true, counts: { effects: writes } })
  // Whatever version it came in, the reader has read the same thing.
  expect(effects.filter(({ mark, name }) => name !== `name of ${mark}`)).toEqual([])
})

test('a reader ahead of its owner parks what it can not read; with the code that can, the line goes on by itself', {
  timeout: full ? 600_000 : 120_000,
}, async () => {
  const bus = testBus()
  const [crmDatabase, marketingDatabase] = [await freshDatabase({ migrated: true }), await freshDatabase({ migrated: true })]
  const marketing = new pg.Pool({ connectionString: marketingDatabase.url, max: 2 })
  await marketing.query(
    'create table effects (n bigint generated always as identity, message text primary key, key text, version bigint, mark text, name text)',
  )
  const on = (url: string, one: Team<Queryable>) =>
    one.with<Queryable>({ database: url, transport: bus.memory.connect(), allowUnsafe: true, autoMigrate: true })
  const crm = on(crmDatabase.url, team('crm').publishes(Renamed1))
  await crm.start()
  // Without a lift.
  const hasty = on(
    marketingDatabase.url,
    team('marketing').on(Renamed3, async () => undefined),
  )
  await hasty.start()
  const { database } = crm.environment
  await database.transaction((tx) => crm.publish(tx as Queryable, Renamed1, { id: 'a', mark: 'm1', name: 'Ann' }))
  await database.transaction((tx) => crm.publish(tx as Queryable, Renamed1, { id: 'a', mark: 'm2', name: 'Anna' }))
  const line =
    'select error_code, (select count(*)::int from comity.waiting w where w.key = k.key and w.seq > k.done) as n from comity.waiting_keys k'
  await until('both wait', async () => (await marketing.query(line)).rows[0]?.n === 2, 60_000)
  expect((await marketing.query(line)).rows).toEqual([{ error_code: 'COMITY_INVALID_MESSAGE', n: 2 }])
  await hasty.stop()

  const ready = on(marketingDatabase.url, moved())
  await ready.start()
  await until('the line is empty', async () => (await marketing.query(line)).rows.length === 0, 60_000)
  expect((await marketing.query('select mark, name from effects order by n')).rows).toEqual([
    { mark: 'm1', name: 'Ann' },
    { mark: 'm2', name: 'Anna' },
  ])
  await ready.stop()
  await crm.stop()
  await marketing.end()
})
