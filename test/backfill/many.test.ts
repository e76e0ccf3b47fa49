/**
 * Backfills that are started, killed and resumed, one after the other, under 16 writers: what the history checker says of the copy, and what another
 * team has got meanwhile. 30 of them in the full form; COMITY_BACKFILLS=6 runs fewer, wherever. They end each side's process by kill -9 at a random
 * moment, so each takes seconds: killed.test.ts has the short form.
 */
import { afterEach, expect, test } from 'vitest'
import { connect, type PostgresDatabase } from '../../packages/comity/src/postgres/index.ts'
import { historyChecker } from '../../packages/comity/src/testing/index.ts'
import { postgresTransport } from '../../packages/comity/src/transport/index.ts'
import { again, asked, CUSTOMERS, copied, oldRows, owned, stateOf } from '../../packages/comity/test/backfill/customers.ts'
import { full } from '../support/full.ts'
import { freshDatabase } from '../support/postgres.ts'
import { observedCopy, publications, WATCH } from './observed-copy.ts'
import { Processes } from './processes.ts'
import { sides } from './sides.ts'
import { Writers } from './writers.ts'

const BACKFILLS = Number(process.env.COMITY_BACKFILLS ?? 30)
const SEED = Number(process.env.COMITY_SEED ?? Date.now() % 1_000_000)
const WRITERS = 16
const ROWS = 1500

const processes = new Processes()
afterEach(() => processes.kill())

test.runIf(full || process.env.COMITY_BACKFILLS !== undefined)(
  'whatever is killed, each copy that is ready is what its owner has, and nobody else notices',
  { timeout: 60_000 + BACKFILLS * 120_000 },
  async () => {
    const [crm, marketing, sales, bus] = await Promise.all([freshDatabase(), freshDatabase(), freshDatabase(), freshDatabase()])
    const urls = { crm: crm.url, marketing: marketing.url, sales: sales.url }
    const [crmDb, marketingDb, salesDb, busDb] = [crm, marketing, sales, bus].map(({ url }) => connect(url, { max: WRITERS + 2 })) as [
      PostgresDatabase,
      PostgresDatabase,
      PostgresDatabase,
      PostgresDatabase,
    ]
    await crmDb.query(CUSTOMERS)
    await crmDb.query(oldRows(ROWS))
    await salesDb.query('create table seen (version bigint not null, key text not null, kind text not null)')
    const operator = postgresTransport({ url: bus.url, allowUnsafe: true })
    for (const side of ['crm', 'sales', 'marketing'] as const) {
      const team = sides[side].with({ database: urls[side], transport: operator, allowUnsafe: true })
      await team.migrate()
      await team.provision()
      await team.stop()
    }
    await operator.close()
    for (const statement of WATCH) await marketingDb.query(statement)

    let seed = SEED
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
      return Math.floor((seed / 2 ** 32) * below)
    }
    const checker = historyChecker()
    const writers = new Writers({ database: crmDb, random, record: (operation) => checker.add(operation) })
    const start = (side: 'crm' | 'marketing' | 'sales') => processes.start(side, { database: urls[side], bus: bus.url })
    for (const side of ['crm', 'sales', 'marketing'] as const) start(side)
    const writing = writers.run(WRITERS)

    const kills = { crm: 0, marketing: 0, inTheMiddle: 0 }
    for (let round = 0; round < BACKFILLS; round++) {
      // The first was asked for by `migrate`.
      if (round > 0) await again(marketingDb)
      for (const side of random(2) === 0 ? (['crm', 'marketing'] as const) : (['marketing', 'crm'] as const)) {
        await until(async () => (await stateOf(marketingDb)) !== 'asking', 90_000)
        await new Promise((resolve) => setTimeout(resolve, random(700)))
        if ((await stateOf(marketingDb)) === 'filling') kills.inTheMiddle++
        await processes.restart(side, () => start(side))
        kills[side]++
        processes.faults.push({ f: 'fault', phase: 'ok', process: 'test', time: performance.now(), name: `kill ${side}` })
      }
      const began = performance.now()
      await until(async () => (await stateOf(marketingDb)) === 'ready', 300_000).catch(async (error: unknown) => {
        const { rows } = await crmDb.query('select * from comity.backfills order by asked_at desc limit 1')
        throw new Error(`backfill ${round + 1} is not ready: ${JSON.stringify([(await asked(marketingDb))[0], rows[0]])}`, { cause: error })
      })
      process.stdout.write(
        `backfill ${round + 1} of ${BACKFILLS}: ready ${((performance.now() - began) / 1000).toFixed(1)} s after the last kill\n`,
      )
      expect(await missingBelowMarks(crmDb, marketingDb), `ready, backfill ${round + 1}, seed ${SEED}`).toEqual([])
    }
    writers.stop()
    await writing

    const outbox = (await crmDb.query<{ id: string; key: string }>('select id::text as id, key from comity.outbox order by id')).rows
    const seen = async () =>
      (await salesDb.query<{ version: string }>('select version::text as version from seen order by seen.version')).rows
    await until(async () => (await seen()).length >= outbox.length, 600_000)
    await until(async () => JSON.stringify(await copied(marketingDb)) === JSON.stringify(await owned(crmDb)), 300_000)
    // Exactly the live publications, each once, and not one of the thirty times the table.
    expect((await seen()).map(({ version }) => version)).toEqual(outbox.map(({ id }) => id))

    for (const publication of await publications(busDb)) checker.add(publication)
    for (const fault of processes.faults) checker.add(fault)
    const judgement = checker.judge({
      ...{ topics: [{ name: 'crm.customer', promise: 'entity' }], faultsScheduled: 2 * BACKFILLS, drained: true },
      ...{ outboxes: [], subscriptions: [] },
      replicas: [await observedCopy(crmDb, marketingDb)],
    })
    process.stdout.write(
      `${JSON.stringify({ seed: SEED, kills, writes: judgement.counts.writes, published: judgement.counts.published })}\n`,
    )
    expect(judgement.violations).toEqual([])
    expect(judgement.valid).toBe(true)
    expect(kills.inTheMiddle).toBeGreaterThan(BACKFILLS / 2)
    expect((await marketingDb.query('select * from comity.conflicts')).rows).toEqual([])
    const states = (await asked(marketingDb)).map(({ state }) => state)
    expect(states).toEqual(states.map(() => 'ready'))
    expect(states).toHaveLength(BACKFILLS)
    await Promise.all([crmDb, marketingDb, salesDb, busDb].map((database) => database.close()))
  },
)

/** Of what nobody has announced above its last version, a copy that is ready has exactly what its owner has: H20. */
async function missingBelowMarks(owner: PostgresDatabase, copy: PostgresDatabase): Promise<readonly unknown[]> {
  const there = new Map((await copied(copy)).map((row) => [String(row.id), JSON.stringify(row)]))
  const last = (await asked(copy))[0]?.last_version
  const { rows } = await owner.query<{ key: string; id: string | null; email: string; name: string }>(
    `select k.key, c.id, c.email, c.name
     from (select id as key from customers union select unnest($2::text[])) k left join customers c on c.id = k.key
     where not exists (select from comity.outbox o where o.key = k.key and o.id > $1::text::bigint)`,
    [last, [...there.keys()]],
  )
  expect(rows.length, 'keys that could be compared').toBeGreaterThan(50)
  return rows.filter(({ key, id, email, name }) => there.get(key) !== (id === null ? undefined : JSON.stringify({ id, email, name })))
}

async function until(holds: () => Promise<boolean>, timeout = 30_000): Promise<void> {
  await expect.poll(holds, { timeout, interval: 20 }).toBe(true)
}
