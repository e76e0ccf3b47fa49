/** Real processes, ended by kill -9 at each step of a backfill while others write: the next one goes on, and the copy is exact. */
import type { ChildProcess } from 'node:child_process'
import { afterEach, expect, test } from 'vitest'
import { connect } from '../../packages/comity/src/postgres/index.ts'
import { postgresTransport } from '../../packages/comity/src/transport/index.ts'
import { CUSTOMERS, copied, oldRows, owned, stateOf } from '../../packages/comity/test/backfill/customers.ts'
import { ChildProcesses } from '../support/child-processes.ts'
import { full } from '../support/full.ts'
import type { Kill } from '../support/killed-process.ts'
import { freshDatabase } from '../support/postgres.ts'
import { type Side, sides } from './sides.ts'
import type { TeamProcessOptions } from './team-process.ts'

const OWNER = {
  'sent, and not saved': { at: '-- sent comity.marketing.copy', times: 3 },
  'drawn, and not read': { at: 'comity.backfill_parts', times: 2 },
  'read, and not sent': { at: '-- send comity.marketing.copy', times: 3 },
  'about to save': { at: 'update comity.backfills set place', times: 4 },
} as const
const COPY = {
  'applied, and not saved': { at: 'update comity.asked_backfills set state = case when state = .asking', times: 2 },
  'received, and not applied': { at: 'order by lane for update', times: 2 },
  'committed, and not acknowledged': { at: '-- committed', times: 3 },
} as const

/** A process takes seconds to start: the long form has all of them. */
const some = <Value>(moments: Readonly<Record<string, Value>>): readonly (readonly [string, Value])[] =>
  Object.entries(moments).filter((_, i) => full || i === 0)

const processes = new ChildProcesses(new URL('team-process.ts', import.meta.url))
afterEach(() => processes.killAll())

test('whoever is killed at whichever step, the copy is what its owner has', { timeout: full ? 360_000 : 150_000 }, async () => {
  const [crm, marketing, bus] = [await freshDatabase(), await freshDatabase(), await freshDatabase()]
  const [crmDb, marketingDb] = [connect(crm.url), connect(marketing.url)]
  await crmDb.query(CUSTOMERS)
  await crmDb.query(oldRows(1500))
  const operator = postgresTransport({ url: bus.url, allowUnsafe: true })
  for (const [side, { url }] of [
    ['crm', crm],
    ['marketing', marketing],
  ] as const) {
    const team = sides[side].with({ database: url, transport: operator, allowUnsafe: true })
    await team.migrate()
    await team.provision()
    await team.stop()
  }
  await operator.close()
  const run = (side: Side, kill?: Kill): ChildProcess => {
    const options: TeamProcessOptions = {
      side,
      database: side === 'crm' ? crm.url : marketing.url,
      bus: bus.url,
      ...(kill ? { kill } : {}),
    }
    return processes.start(options)
  }

  let writing = true
  let changes = 0
  const writer = (async () => {
    for (let n = 0; writing; n++) {
      const id = `c${(n * 37) % 1600}`
      const [sql, values] = [
        [`update customers set name = $2 where id = $1`, [id, `N${n}`]],
        [`delete from customers where id = $1`, [id]],
        [
          `insert into customers values ($1, 'a1', 'new@example.com', $2) on conflict (id) do update set name = excluded.name`,
          [id, `New ${n}`],
        ],
      ][n % 3] as [string, unknown[]]
      await crmDb.query(sql, values)
      changes++
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })()

  const killed: string[] = []
  let other = run('marketing')
  for (const [moment, kill] of some<Kill>(OWNER)) {
    expect(await processes.ended(run('crm', kill)), moment).toBe('SIGKILL')
    killed.push(moment)
    expect(await stateOf(marketingDb), moment).not.toBe('ready')
  }
  await processes.ended(other, 'SIGKILL')
  other = run('crm')
  for (const [moment, kill] of some<Kill>(COPY)) {
    expect(await processes.ended(run('marketing', kill)), moment).toBe('SIGKILL')
    killed.push(moment)
  }
  run('marketing')
  await expect.poll(() => stateOf(marketingDb), { timeout: 90_000, interval: 100 }).toBe('ready')
  writing = false
  await writer
  await expect
    .poll(async () => JSON.stringify(await copied(marketingDb)), { timeout: 60_000, interval: 200 })
    .toBe(JSON.stringify(await owned(crmDb)))
  expect(killed).toHaveLength(full ? 7 : 2)
  expect(changes).toBeGreaterThan(200)
  expect((await marketingDb.query('select * from comity.conflicts')).rows).toEqual([])
  // One job, whatever happened to it.
  expect((await crmDb.query('select state from comity.backfills')).rows).toEqual([{ state: 'done' }])
  await Promise.all([crmDb.close(), marketingDb.close()])
})
