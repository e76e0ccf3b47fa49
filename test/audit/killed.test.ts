/**
 * Real processes of both teams, one of them ended by kill -9 in the middle of an audit while others write: it is asked again, or begun anew by the
 * other process, and ends with a verdict. Two processes of the copy's team run all the time; each audit is done by one of them.
 */
import type { ChildProcess } from 'node:child_process'
import { afterEach, describe, expect, test } from 'vitest'
import { connect, type PostgresDatabase } from '../../packages/comity/src/postgres/index.ts'
import { CUSTOMERS, oldRows, stateOf } from '../../packages/comity/test/backfill/customers.ts'
import { sides } from '../backfill/sides.ts'
import type { TeamProcessOptions } from '../backfill/team-process.ts'
import type { BusKind } from '../support/buses/bus-address.ts'
import { launchBus, missing } from '../support/buses/launch-bus.ts'
import { ChildProcesses } from '../support/child-processes.ts'
import { full } from '../support/full.ts'
import type { Kill } from '../support/killed-process.ts'
import { freshDatabase } from '../support/postgres.ts'

type Side = 'crm' | 'marketing'
interface Round {
  readonly moment: string
  /** Who ends in it, and when; the owner first, for it is asked first. */
  readonly kills: Partial<Record<Side, Kill>>
}
const DIGESTS: Kill = { at: 'comity.audit_own_digests', times: 1 }
const LOOKED_AT: Kill = { at: 'comity.audit_copied_keys', times: 2 }
const ROUNDS: readonly Round[] = full
  ? [
      { moment: 'the owner is about to compute its digests', kills: { crm: DIGESTS } },
      { moment: 'the copy is about to be looked at', kills: { marketing: LOOKED_AT } },
      { moment: 'the owner has drawn a version, and said nothing', kills: { crm: { at: 'comity.audit_own_keys', times: 1 } } },
      { moment: 'the owner is about to say states anew', kills: { crm: { at: 'comity.audit_own_states', times: 2 } } },
      { moment: 'the copy has computed its digests', kills: { marketing: { at: 'comity.audit_rows', times: 1 } } },
      { moment: 'the copy has begun its repair', kills: { marketing: { at: 'insert into comity.repairs', times: 1 } } },
      { moment: 'the copy has been repaired, and nothing is recorded', kills: { marketing: { at: 'update comity.repairs', times: 1 } } },
    ]
  : [
      {
        moment: 'the owner is about to compute its digests, and the copy about to be looked at',
        kills: { crm: DIGESTS, marketing: LOOKED_AT },
      },
    ]

const processes = new ChildProcesses(new URL('../backfill/team-process.ts', import.meta.url))
afterEach(() => processes.killAll())

for (const kind of ['postgres', 'nats'] as const) {
  const reason = await missing(kind)
  describe.skipIf((reason !== undefined && process.env.CI !== 'true') || (kind !== 'postgres' && !full))(`over ${kind}`, () => {
    test('whoever is killed, each audit ends, names what had drifted, and has it repaired', { timeout: 240_000 }, () => whole(kind))
  })
}

async function whole(kind: BusKind): Promise<void> {
  await using bus = await launchBus(kind)
  const urls = { crm: (await freshDatabase()).url, marketing: (await freshDatabase()).url }
  await using crm = connect(urls.crm)
  await using marketing = connect(urls.marketing)
  await crm.query(CUSTOMERS)
  await crm.query(oldRows(600))
  await crm.query(`insert into customers values ('c700', 'a1', 'c700@example.com', 'C'), ('c701', 'a1', 'c701@example.com', 'C')`)
  const operator = await bus.connect()
  for (const side of ['crm', 'marketing'] as const) {
    const team = sides[side].with({ database: urls[side], transport: operator, allowUnsafe: true })
    await team.migrate()
    await team.provision()
    await team.stop()
  }
  await operator.close()
  const run = (side: keyof typeof urls, kill?: Kill): ChildProcess => {
    const options: TeamProcessOptions = {
      side,
      database: urls[side],
      bus: bus.address.url,
      kind,
      bucketLease: 4000,
      ...(kill ? { kill } : {}),
    }
    return processes.start(options)
  }
  const running: Record<keyof typeof urls, ChildProcess> = { crm: run('crm'), marketing: run('marketing') }
  await expect.poll(() => stateOf(marketing), { timeout: 60_000, interval: 100 }).toBe('ready')

  await using _writing = writer(crm)
  // On the other broker once, with nobody killed.
  const rounds = kind === 'postgres' || full ? ROUNDS : []
  for (const { moment, kills } of rounds) {
    const killed = (['crm', 'marketing'] as const).filter((side) => kills[side] !== undefined)
    await Promise.all(killed.map((side) => processes.ended(running[side], 'SIGKILL')))
    await corrupt(marketing)
    for (const side of killed) running[side] = run(side, kills[side])
    const id = await asked(marketing)
    for (const side of killed) {
      expect(await processes.ended(running[side]), moment).toBe('SIGKILL')
      // Its process is gone; whoever comes next waits until its hold has ended, which is half a minute.
      if (side === 'marketing')
        await marketing.query('update comity.audits set held_until = clock_timestamp() where id = $1::text::uuid', [id])
      running[side] = run(side)
    }
    expect(await verdict(marketing, id), moment).toEqual({ verdict: 'true', keys: ['c700', 'c701'] })
  }

  // In the short form on the other broker only.
  if (kind === 'postgres' && !full) return
  const second = run('marketing')
  await corrupt(marketing)
  const ids = [await asked(marketing), await asked(marketing), await asked(marketing)]
  const verdicts = []
  for (const id of ids) verdicts.push(await verdict(marketing, id))
  expect(verdicts.map(({ verdict: one }) => one)).toEqual(['true', 'true', 'true'])
  // The first of them repairs, and nobody beside it: each key was said anew once.
  expect(verdicts.flatMap(({ keys }) => keys).sort()).toEqual(['c700', 'c701'])
  await processes.ended(second, 'SIGKILL')
}

/** Rows that nobody writes: one is gone, one is another. */
async function corrupt(marketing: PostgresDatabase): Promise<void> {
  await expect
    .poll(async () => (await marketing.query(`select 1 from crm_customer where id in ('c700', 'c701')`)).rows.length, { timeout: 60_000 })
    .toBe(2)
  await marketing.query(`delete from crm_customer where id = 'c700'`)
  await marketing.query(`update crm_customer set name = 'nobody' where id = 'c701'`)
}

async function asked(marketing: PostgresDatabase): Promise<string> {
  const { rows } = await marketing.query<{ id: string }>(
    `insert into comity.audits (replica, repair, cause, author, reason) values ('marketing.crm-customer', true, 'operator', 'a test', 'to know')
     returning id::text as id`,
  )
  return rows[0]?.id as string
}

async function verdict(marketing: PostgresDatabase, id: string): Promise<{ verdict: string | null; keys: readonly string[] }> {
  const state = async (): Promise<string | undefined> =>
    (await marketing.query<{ state: string }>('select state from comity.audits where id = $1::text::uuid', [id])).rows[0]?.state
  await expect.poll(state, { timeout: 60_000, interval: 100 }).toBe('ended')
  const { rows } = await marketing.query<{ verdict: string | null; keys: readonly string[] }>(
    `select a.verdict, array(select f.key from comity.audit_findings f where f.audit = a.id and f.class <> 'moving' order by f.key) as keys
     from comity.audits a where a.id = $1::text::uuid`,
    [id],
  )
  return rows[0] as { verdict: string | null; keys: readonly string[] }
}

function writer(crm: PostgresDatabase): AsyncDisposable {
  let writing = true
  const work = (async () => {
    for (let n = 0; writing; n++) {
      await crm.query(`update customers set name = $2 where id = $1`, [`c${(n * 37) % 600}`, `N${n}`])
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  })()
  return {
    async [Symbol.asyncDispose]() {
      writing = false
      await work
    },
  }
}
