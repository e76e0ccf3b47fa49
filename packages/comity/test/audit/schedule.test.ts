/** Copies are compared by themselves: in turns that are spread, and when something can have made them untrue. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { noteGaps } from '../../src/audit/gaps.ts'
import { scheduleAudits } from '../../src/audit/schedule.ts'
import type { Transport } from '../../src/transport/transport.ts'
import { teamDatabase } from '../team-database.ts'

const DAY = { full: 86_400_000, keys: 3_600_000 }
const copies = Array.from({ length: 40 }, (_, i) => `m.copy-${i}`)
let database: Awaited<ReturnType<typeof teamDatabase>>
beforeAll(async () => {
  database = await teamDatabase()
  for (const name of copies)
    await database.query(
      `insert into comity.replicas (name, topic, table_schema, table_name, columns) values ($1::text, 'crm.customer', 'public', $1::text, '[]')`,
      [name],
    )
})
afterAll(() => database.close())
beforeEach(async () => {
  for (const table of ['audits', 'jobs', 'asked_backfills', 'audit_gaps', 'transport_moves'])
    await database.query(`delete from comity.${table}`)
})

async function due(age: string, schedule = DAY): Promise<readonly string[]> {
  await database.query('update comity.replicas set created_at = now() - $1::text::interval', [age])
  await scheduleAudits(database, copies, schedule)
  return asked()
}
async function asked(): Promise<readonly string[]> {
  const { rows } = await database.query<{ it: string }>(`select cause || ' ' || extent as it from comity.audits order by 1`)
  return rows.map(({ it }) => it)
}

test('the first turns of the copies of a team are spread over the time between two turns', async () => {
  expect(await due('0 s')).toEqual([])
  const some = await due('10 hours', { full: DAY.full, keys: undefined as never })
  expect(some.length).toBeGreaterThan(3)
  expect(some.length).toBeLessThan(37)
  expect(new Set(some)).toEqual(new Set(['schedule full']))
  expect(await due('24 hours', { full: DAY.full, keys: undefined as never })).toHaveLength(40)
})

test('a turn is one audit, not two at once; the next comes after the time between two turns', async () => {
  expect(await due('24 hours')).toEqual(copies.map(() => 'schedule full'))
  await scheduleAudits(database, copies, DAY)
  expect(await asked()).toHaveLength(40)
  // Not done for days: it is not asked for again and again.
  await database.query(`update comity.audits set asked_at = now() - interval '3 days'`)
  await scheduleAudits(database, copies, DAY)
  expect(await asked()).toHaveLength(40)
  await database.query(
    `update comity.audits set state = 'ended', verdict = 'true', ended_at = now(), asked_at = now() - interval '61 minutes'`,
  )
  await scheduleAudits(database, copies, DAY)
  expect((await asked()).filter((one) => one === 'schedule keys')).toHaveLength(40)
})

test('not while a copy is being filled, and never where it is switched off', async () => {
  await database.query(`insert into comity.asked_backfills (replica, owner, entity, why) values ($1::text, 'crm', 'crm.customer', 'new')`, [
    copies[0],
  ])
  expect(await due('24 hours')).toHaveLength(39)
  await database.query('delete from comity.audits')
  expect(await due('24 hours', { full: undefined, keys: undefined } as never)).toEqual([])
})

test('messages that the broker has removed unread ask for an audit, each time that there are more of them', async () => {
  const [copy, other] = copies as [string, string]
  for (const name of [copy, other])
    await database.query(`insert into comity.subscriptions (name, topic, kind, lanes) values ($1::text, 'crm.customer', 'replica', 16)`, [
      name,
    ])
  const removed = async (expired: number) => {
    const stats = async (names: readonly string[]) =>
      names.map((subscription) => ({ subscription, backlog: 0, ...(subscription === `staging.${copy}` ? { expired } : {}) }))
    await noteGaps(database, { stats } as unknown as Transport, [copy, other], (name) => `staging.${name}`)
    return (await database.query(`select replica, cause, repair, reason from comity.audits`)).rows
  }
  expect(await removed(0)).toEqual([])
  const audit = { replica: copy, cause: 'gap', repair: true, reason: 'the broker has removed 7 messages that had not been received' }
  expect(await removed(7)).toEqual([audit])
  expect(await removed(7)).toEqual([audit])
  await database.query(`update comity.audits set state = 'ended', verdict = 'true', ended_at = now()`)
  expect(await removed(7)).toHaveLength(1)
  expect(await removed(9)).toHaveLength(2)
})

test('a copy that is read at another broker is compared, and repaired', async () => {
  await database.query('update comity.replicas set created_at = now()')
  await database.query(
    `insert into comity.transport_moves (from_name, to_name, subscription, switched_at) values ('a', 'b', $1::text, clock_timestamp())`,
    [copies[0]],
  )
  for (let n = 0; n < 2; n++) await scheduleAudits(database, copies.slice(0, 1), DAY)
  expect((await database.query('select replica, cause, repair from comity.audits')).rows).toEqual([
    { replica: copies[0], cause: 'transport', repair: true },
  ])
})

test('an act over many lines, and another life of the database, ask for one audit each', async () => {
  await database.query('update comity.replicas set created_at = now()')
  await database.query(
    `insert into comity.jobs (id, kind, selection, author, reason, state, lines, messages, done, stop_above, ended_at)
     values ('j', 'skip', jsonb_build_object('subscription', $1::text), 'ann', 'bad deploy', 'done', 500, 500, 500, 1, now())`,
    [copies[1]],
  )
  await database.query(`insert into comity.incarnations (identity, first_version, last_survived) values ('a', 1, 0), ('b', 2, 0)`)
  for (let n = 0; n < 2; n++) await scheduleAudits(database, copies.slice(0, 2), DAY)
  expect(await asked()).toEqual(['incarnation full', 'incarnation full', 'retry full'])
})
