/**
 * Two teams ask a third for changes of the same accounts, each expecting what its own copy says, while processes of all three are ended by kill -9 at
 * every step and, in the long form, the broker repeats what it delivers. Judged by the history checker: H15, each request has one outcome, and no update is lost.
 */
import type { ChildProcess } from 'node:child_process'
import { type Ask, checkHistory, type Operation, type RequestObservation } from 'comity/testing'
import { afterEach, expect, test } from 'vitest'
import { connect, type PostgresDatabase } from '../../packages/comity/src/postgres/index.ts'
import { postgresTransport } from '../../packages/comity/src/transport/index.ts'
import { ChildProcesses } from '../support/child-processes.ts'
import { full } from '../support/full.ts'
import type { Kill } from '../support/killed-process.ts'
import { freshDatabase } from '../support/postgres.ts'
import { ACCOUNTS, ASKERS, EFFECTS, Rename, type Side, sides } from './sides.ts'
import type { TeamProcessOptions } from './team-process.ts'

const MOMENTS: readonly (readonly [side: Side, moment: string, kill: Kill])[] = [
  ['crm', 'the handler has run, and nothing is decided', { at: 'insert into comity.requests', times: 12 }],
  ['marketing', 'heard, and not kept', { at: 'insert into comity.asked as a', times: 2 }],
  ['crm', 'decided and committed, and not acknowledged', { at: '-- committed', times: 20 }],
  ['crm', 'about to tell', { at: '-- send comity.marketing.outcomes-crm', times: 3 }],
  ['crm', 'told, and not recorded', { at: 'update comity.requests r set told_at', times: 3 }],
  ['crm', 'received, and not looked at', { at: 'select .select r.outcome from comity.requests', times: 15 }],
  ['marketing', 'asked, and not sent', { at: '-- send crm.rename-account', times: 3 }],
  ['marketing', 'sent, and not recorded as sent', { at: '-- sent crm.rename-account', times: 3 }],
  ['sales', 'sent, and not recorded as sent', { at: '-- sent crm.rename-account', times: 3 }],
]
const moments = full ? MOMENTS : MOMENTS.slice(0, 2)
const REQUESTS = full ? 50_000 : 240
/** Few: the teams meet at them. */
const KEYS = full ? 200 : 12

const processes = new ChildProcesses(new URL('team-process.ts', import.meta.url))
afterEach(() => processes.killAll())

test('whoever is killed, each request has one outcome, and no update is lost', { timeout: full ? 3_600_000 : 300_000 }, async () => {
  const urls = Object.fromEntries(await Promise.all(Object.keys(sides).map(async (side) => [side, (await freshDatabase()).url]))) as Record<
    Side,
    string
  >
  const bus = (await freshDatabase()).url
  const dbs = Object.fromEntries(Object.entries(urls).map(([side, url]) => [side, connect(url, { max: 12 })])) as Record<
    Side,
    PostgresDatabase
  >
  await dbs.crm.query(ACCOUNTS)
  await dbs.crm.query(EFFECTS)
  await dbs.crm.query(`insert into accounts select 'k' || i, 'first' from generate_series(1, $1::int) i`, [KEYS])
  const operator = postgresTransport({ url: bus, allowUnsafe: true })
  for (const side of ['crm', ...ASKERS] as const) {
    const team = sides[side].with({ database: urls[side], transport: operator, allowUnsafe: true })
    await team.migrate()
    await team.provision()
    await team.stop()
  }
  await operator.close()

  const run = (side: Side, kill?: Kill): ChildProcess => {
    const options: TeamProcessOptions = {
      side,
      database: urls[side],
      bus,
      ...(full ? { adversary: Object.keys(urls).indexOf(side) + 1 } : {}),
      ...(kill ? { kill } : {}),
    }
    return processes.start(options)
  }
  const running: Record<Side, ChildProcess> = { crm: run('crm'), marketing: run('marketing'), sales: run('sales') }
  for (const asker of ASKERS)
    await expect
      .poll(async () => (await dbs[asker].query('select 1 from crm_account')).rows.length, { timeout: 60_000, interval: 50 })
      .toBe(KEYS)

  const history: Operation[] = []
  // Until everybody who was to be killed has been, there is something to be killed in.
  let killing = true
  const asking = Promise.all(ASKERS.map((asker, n) => askAll(asker, n)))
  for (const [side, moment, kill] of moments) {
    await processes.ended(running[side], 'SIGKILL')
    running[side] = run(side, kill)
    expect(await processes.ended(running[side]), moment).toBe('SIGKILL')
    history.push({ f: 'fault', phase: 'ok', process: side, time: performance.now(), name: moment })
    running[side] = run(side)
  }
  killing = false
  await asking

  for (const asker of ASKERS) {
    const open = async () => (await dbs[asker].query('select 1 from comity.asked where outcome is null')).rows.length
    await expect.poll(open, { timeout: full ? 1_200_000 : 90_000, interval: 100 }).toBe(0)
  }
  const judgement = checkHistory(history, {
    ...{ topics: [], faultsScheduled: moments.length, drained: true, outboxes: [], subscriptions: [], replicas: [] },
    requests: [await observed()],
  })
  expect(judgement.violations).toEqual([])
  expect(judgement).toMatchObject({ valid: true, counts: { faults: moments.length } })
  expect(judgement.counts.requests).toBeGreaterThanOrEqual(REQUESTS)
  // The teams really met: some were accepted, some in conflict, some unlucky.
  const { rows } = await dbs.crm.query<{ said: string; n: number }>(
    `select concat_ws(' ', outcome, reason) as said, count(*)::int as n from comity.requests group by 1 order by 1`,
  )
  console.info(
    `${judgement.counts.requests} requests, ${judgement.counts.faults} kills: ${rows.map(({ said, n }) => `${n} ${said}`).join(', ')}`,
  )
  for (const wanted of ['accepted', 'rejected conflict', 'rejected unlucky']) expect(rows.map(({ said }) => said)).toContain(wanted)
  for (const db of Object.values(dbs)) await db.close()

  /** Asks for what its copy says, again and again; some are asked twice, withdrawn, given no time, or rolled back. */
  async function askAll(asker: (typeof ASKERS)[number], n: number): Promise<void> {
    const transport = postgresTransport({ url: bus, allowUnsafe: true })
    const db = dbs[asker]
    const team = sides[asker].with<unknown>({ database: db as never, transport })
    for (let i = 0; i < REQUESTS / ASKERS.length || killing; i++) {
      const key = `k${((i * 7 + n) % KEYS) + 1}`
      const id = `${asker}-${i}`
      const mark = `${asker}:${i}`
      const seen = (await db.query<{ mark: string }>('select mark from crm_account where id = $1::text', [key])).rows[0]?.mark ?? null
      const expects = i % 5 !== 4
      const recorded = { f: 'ask', process: asker, time: performance.now(), asker, id, topic: Rename.name, key, mark } as const
      const ask: Omit<Ask, 'phase'> = expects ? { ...recorded, expect: seen } : recorded
      const transaction = (rolledBack: boolean): Promise<void> =>
        db.transaction(async (tx) => {
          const given = {
            ...{ id },
            ...(expects ? { expect: seen === null ? null : { mark: seen } } : {}),
            ...(i % 40 === 11 ? { deadline: new Date(0) } : {}),
          }
          await team.ask(tx, Rename, { accountId: key, mark, asker }, given)
          if (rolledBack) throw new RangeError('rolled back on purpose')
        })
      const rolledBack = i % 60 === 17
      const phase = await transaction(rolledBack).then(
        () => 'ok' as const,
        (error: unknown) => {
          if (error instanceof RangeError) return 'fail' as const
          throw error
        },
      )
      history.push({ ...ask, phase })
      if (!rolledBack && i % 20 === 5) await transaction(false)
      if (!rolledBack && i % 30 === 9) await db.transaction((tx) => team.withdraw(tx, Rename, id))
      // Not faster than they are answered, by far: who asks of an old copy only hears of conflicts.
      const open = async () => (await db.query('select 1 from comity.asked where outcome is null limit 21')).rows.length
      for (let tries = 0; i % 10 === 0 && tries < 200 && (await open()) > 20; tries++)
        await new Promise((resolve) => setTimeout(resolve, 20))
    }
    await transport.close()
  }

  async function observed(): Promise<RequestObservation> {
    const pairs = (rows: readonly { id: string; mark: string }[]) => Object.fromEntries(rows.map(({ id, mark }) => [id, mark]))
    const heard = await Promise.all(
      ASKERS.map(async (asker) =>
        (await dbs[asker].query<{ id: string; outcome: string | null }>('select id, outcome from comity.asked')).rows.map((row) => ({
          asker,
          ...row,
        })),
      ),
    )
    return {
      topic: Rename.name,
      decided: (await dbs.crm.query<RequestObservation['decided'][number]>('select asker, id, outcome from comity.requests')).rows,
      heard: heard.flat(),
      effects: (await dbs.crm.query<RequestObservation['effects'][number]>('select asker, id, key, mark from effects order by n')).rows,
      before: Object.fromEntries(Array.from({ length: KEYS }, (_, i) => [`k${i + 1}`, 'first'])),
      after: pairs((await dbs.crm.query<{ id: string; mark: string }>('select id, mark from accounts')).rows),
    }
  }
})
