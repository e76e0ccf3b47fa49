import { memoryBus } from 'comity'
import type { IncomingMessage } from 'comity/transport'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { onNewestPostgres } from '../../../../test/support/postgres.ts'
import { announcer } from '../../src/control/announcer.ts'
import type { Heartbeat } from '../../src/control/contracts.ts'
import { lookAtTeam, statusLine } from '../../src/control/heartbeat.ts'
import { processBeat } from '../../src/control/process-beat.ts'
import { type ProcessProgress, ProgressTracker } from '../../src/control/progress-tracker.ts'
import { problemOf } from '../../src/control/system-message.ts'
import type { Loop } from '../../src/foundation/index.ts'
import type { PostgresDatabase } from '../../src/postgres/index.ts'
import { teamDatabase } from '../team-database.ts'
import { eventually } from './eventually.ts'
import { Noted } from './operated.ts'

onNewestPostgres('a heartbeat', () => {
  let database: PostgresDatabase
  const running: Loop[] = []
  beforeAll(async () => {
    database = await teamDatabase([Noted])
  })
  afterEach(async () => {
    await Promise.all(running.splice(0).map((one) => one.stop()))
    await database.query('delete from comity.processes')
    await database.query('delete from comity.subscriptions')
    await database.query('delete from comity.waiting_keys')
  })
  afterAll(() => database.close())

  const self = { team: 'crm', library: '1.2.3' }
  const look = async (): Promise<Heartbeat> => (await lookAtTeam(database, self)).heartbeat
  const subscription = (name: string) =>
    database.query(`insert into comity.subscriptions (name, topic, kind, lanes) values ($1::text, 'x.y', 'handler', 4)`, [name])
  const row = (holder: string, progress: ProcessProgress, silent = '0 s') =>
    database.query(
      `insert into comity.processes (holder, beat_at, pid, host, library, progress)
       values ($1::text, clock_timestamp() - $3::text::interval, 1, 'here', '1.2.3', $2::text::jsonb)`,
      [holder, JSON.stringify(progress), silent],
    )
  const running1 = (name: string, state: 'idle' | 'working' | 'stuck', inFlight = 0): ProcessProgress => ({
    subscriptions: { [name]: { state, inFlight, ended: 0 } },
  })

  test('says the worst that any living process says, and of a subscription that none runs, that it is unattended', async () => {
    await subscription('crm.mail')
    await subscription('crm.nobody')
    await database.query(
      `insert into comity.counts (subscription, lane, applied, stale) values ('crm.mail', 0, 40, 0), ('crm.mail', 1, 2, 7) on conflict do nothing`,
    )
    await database.query(`insert into comity.waiting_keys (subscription, key, reason) values ('crm.mail', 'k', 'parked')`)
    await row('one', running1('crm.mail', 'working', 3))
    await row('two', running1('crm.mail', 'stuck', 1))
    const heartbeat = await look()
    expect(problemOf('comity.heartbeat', heartbeat)).toBeUndefined()
    expect(heartbeat.subscriptions).toEqual([
      { name: 'crm.mail', state: 'stuck', inFlight: 4, ended: { applied: 42, stale: 7 }, waitingKeys: 1 },
      { name: 'crm.nobody', state: 'unattended', inFlight: 0, ended: {}, waitingKeys: 0 },
    ])
    expect(heartbeat.state).toBe('stuck')
    expect(heartbeat.relay).toMatchObject({ state: 'unattended', holder: null, pending: 0, withheld: 0 })
  })

  test('shows a process that is silent for a minute as gone, counts nothing of it, and forgets it after an hour', async () => {
    await subscription('crm.mail')
    await row('alive', running1('crm.mail', 'idle'), '59 s')
    await row('hangs', running1('crm.mail', 'stuck', 9), '62 s')
    await row('long ago', running1('crm.mail', 'stuck', 9), '61 min')
    const { processes, subscriptions } = await look()
    expect(Object.fromEntries(processes.map(({ holder, gone }) => [holder, gone]))).toEqual({ alive: undefined, hangs: true })
    expect(subscriptions).toMatchObject([{ state: 'idle', inFlight: 0 }])
    const { rows } = await database.query('select holder from comity.processes order by 1')
    expect(rows).toEqual([{ holder: 'alive' }, { holder: 'hangs' }])
  })

  test('the status is the same as long as only numbers change', async () => {
    await subscription('crm.mail')
    await row('one', running1('crm.mail', 'working', 3))
    const before = statusLine(await look())
    await database.query('update comity.processes set progress = $1::text::jsonb', [JSON.stringify(running1('crm.mail', 'working', 700))])
    expect(statusLine(await look())).toBe(before)
    await database.query('update comity.processes set progress = $1::text::jsonb', [JSON.stringify(running1('crm.mail', 'stuck', 700))])
    expect(statusLine(await look())).not.toBe(before)
  })

  test('of a team with ten busy subscriptions and three processes has at most 4 KB; of one with a thousand, the worst come first', async () => {
    const names = Array.from({ length: 10 }, (_, i) => `marketing.crm-customer-changed-${i}`)
    for (const name of names) await subscription(name)
    await database.query(
      `insert into comity.counts (subscription, lane, applied, duplicate, stale, waiting, discarded)
       select unnest($1::text::text[]), 0, 123456789, 12345, 1234567, 1234, 12 on conflict do nothing`,
      [`{${names.join()}}`],
    )
    const subscriptions = Object.fromEntries(names.map((name) => [name, { state: 'working' as const, inFlight: 1000, ended: 123_456 }]))
    for (const n of [1, 2, 3]) await row(`marketing-worker-7d9f8b6c5-x2x${n}z:${n}:0a1b2c3d`, { subscriptions })
    expect(Buffer.byteLength(JSON.stringify(await look()))).toBeLessThanOrEqual(4096)

    await database.query(
      `insert into comity.subscriptions (name, topic, kind, lanes) select 'crm.s' || i, 'x.y', 'handler', 4 from generate_series(1, 990) i`,
    )
    const many = await look()
    expect(many.subscriptions).toHaveLength(100)
    expect(many.omitted).toBe(900)
    expect(many.subscriptions.every(({ state }) => state === 'unattended')).toBe(true)
  })

  test('comes from one process of a team at a time; another one goes on when it stops, and none says anything before it is cleared', async () => {
    const bus = memoryBus()
    const heard: IncomingMessage[] = []
    const listening = new AbortController()
    const transport = bus.connect()
    await transport.provision({
      topics: ['heartbeat', 'declaration'].map((kind) => ({ name: `comity.crm.${kind}`, team: 'crm' })),
      subscriptions: [{ name: 'platform.heard', team: 'platform', topic: 'comity.crm.heartbeat' }],
    })
    const listened = transport.receive(
      'platform.heard',
      async (deliveries) => {
        heard.push(...deliveries.map(({ message }) => message))
        return deliveries.map(() => 'ack')
      },
      { signal: listening.signal },
    )
    let clear = (): void => undefined
    const clearance = new Promise<void>((resolve) => {
      clear = resolve
    })
    let mayAnnounce = false
    const start = async (holder: string): Promise<Loop> => {
      const made = announcer({
        ...{ team: 'crm', holder, database, transport, topicNamed: (name) => name, mayAnnounce: () => mayAnnounce },
        cleared: (signal) => clearance.then(() => signal),
        declared: { team: 'crm', owns: [], publishes: [], keeps: [], handles: [], operates: [], operators: [] },
        contracts: [],
      })
      running.push(made)
      await made.start()
      return made
    }
    const first = await start('first')
    expect((await database.query(`select from comity.leases where name = 'control'`)).rows).toEqual([])
    mayAnnounce = true
    clear()
    await eventually('the first heartbeat', () => (heard.length > 0 ? heard : undefined))
    const second = await start('second')
    const holder = async () =>
      (await database.query<{ holder: string | null }>(`select holder from comity.leases where name = 'control'`)).rows[0]?.holder
    expect(await holder()).toBe('first')
    await first.stop()
    second.wake()
    await eventually('the second takes over', async () => ((await holder()) === 'second' ? true : undefined))
    await eventually('and says so', () => (heard.length === 2 ? true : undefined))
    expect(heard.map(({ attributes }) => attributes['ce-source'])).toEqual(['/teams/crm', '/teams/crm'])

    // At once when a status changes, long before it is time.
    const now = {
      inFlight: 0,
      ended: { applied: 0, duplicate: 0, stale: 0, waiting: 0, discarded: 0 },
      troubleSince: undefined,
      lastEndedAt: undefined,
      oldestSentAt: undefined,
      pausedBy: undefined,
      resting: [],
      running: [],
      tenants: [],
    }
    await subscription('crm.mail')
    const tracker = new ProgressTracker({ subscriptions: [{ name: 'crm.mail', patience: 30_000, progress: () => now }], relay: undefined })
    const beat = processBeat({ holder: 'second', database, tracker, onStatus: () => second.wake() })
    running.push(beat)
    await beat.start()
    await eventually('idle', () =>
      heard.map(({ data }) => JSON.parse(data) as Heartbeat).find(({ subscriptions }) => subscriptions[0]?.state === 'idle'),
    )
    await beat.stop()
    expect((await database.query('select from comity.processes')).rows).toEqual([])
    listening.abort()
    await listened
  })
})
