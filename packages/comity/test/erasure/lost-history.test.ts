/** An owner's database is put back: what its lost history had said is turned away by name, and what handlers had done for it is named. */
import { randomUUID } from 'node:crypto'
import { PermanentError, type Queryable, team } from 'comity'
import { teamStatus } from 'comity/admin'
import { type TestBus, type TestTeam, testBus, testTeam } from 'comity/testing'
import { expect, test } from 'vitest'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { sayAboutCopy } from '../../src/control/copying-channel.ts'
import { erasuresTopic } from '../../src/control/erasure-topics.ts'
import { ERASURE } from '../../src/erasure/contracts.ts'
import { LOST_HISTORY } from '../../src/erasure/lost-history.ts'
import { connect } from '../../src/postgres/index.ts'
import { act } from '../admin/act.ts'
import { Called, newCrm } from './erasing-teams.ts'

const SUBSCRIPTION = 'marketing.calls'

async function publish(crm: TestTeam<Queryable>, key: string): Promise<number> {
  const { rows } = await crm.db.transaction(async (tx) => {
    await crm.team.publish(tx, Called, { customerId: key, said: 'hello' })
    return tx.query<{ id: string }>('select max(id)::text as id from comity.outbox where key = $1::text', [key])
  })
  return Number(rows[0]?.id)
}

/** As the files of an earlier moment have it: another life, without these rows, that had settled what is at or below the checkpoint. */
async function putBack(db: Queryable, lost: readonly number[], checkpoint: number): Promise<void> {
  await db.query('delete from comity.outbox where id = any ($1::text::bigint[])', [`{${lost.join()}}`])
  await db.query(`update comity.checkpoint set id = $1::text::bigint where source = 'outbox'`, [String(checkpoint)])
  await db.query(`update comity.incarnations set identity = identity || ' before'`)
  await db.query(`update comity.lost_histories set identity = identity || ' before'`)
  await db.query(`select setval('comity.incarnation_mark', 0)`)
}

test('what waits and what comes of it is discarded as lost, what a handler had done is named; nothing else is touched', async () => {
  const bus: TestBus = testBus()
  const heard: string[] = []
  const lines: Record<string, unknown>[] = []
  const log = (fields: object) => void lines.push(fields as Record<string, unknown>)
  let refuses = false
  const url = (await freshDatabase({ migrated: true })).url
  const config = team<Queryable>('marketing').on(
    Called,
    ({ key }) => {
      if (refuses) throw new PermanentError('not now')
      heard.push(key)
    },
    { name: 'calls', breaker: false },
  )
  await using marketing = await testTeam<Queryable>(config, {
    ...{ bus, url: (await freshDatabase({ migrated: true })).url },
    logger: { debug() {}, info() {}, warn: log, error: log },
  })
  const versions: Record<string, number> = {}
  {
    await using crm = await newCrm(bus, { url })
    for (const key of ['kept', 'parked', 'done']) {
      refuses = key === 'parked'
      versions[key] = await publish(crm, key)
      await marketing.caughtUp()
    }
    // In the same line as one that is lost.
    refuses = true
    const after = await publish(crm, 'parked')
    versions['parked, kept'] = after
    await marketing.caughtUp()
    refuses = false
    versions['kept, above'] = await publish(crm, 'kept')
    await marketing.caughtUp()
    await act(marketing.team as never, 'pause', { subscription: SUBSCRIPTION })
    versions.queued = await publish(crm, 'queued')
    await crm.team.drained()
  }
  expect(heard).toEqual(['kept', 'done', 'kept'])
  const { db } = marketing
  const id = (name: string) => `crm-${versions[name]}`
  const discarded = async () =>
    (await db.query(`select message, key, reason from comity.discarded where subscription = '${SUBSCRIPTION}' order by message`)).rows
  {
    await using owner = connect(url)
    await putBack(
      owner,
      ['parked', 'done', 'queued'].map((name) => versions[name] as number),
      versions.kept as number,
    )
  }
  await using crm = await newCrm(bus, { url })
  const noted = 'select message from comity.lost_handled'
  await expect.poll(async () => (await db.query(noted)).rows, { timeout: 20_000, interval: 20 }).toEqual([{ message: id('done') }])
  expect(await discarded()).toEqual([{ message: id('parked'), key: 'parked', reason: 'lost' }])
  expect(lines).toContainEqual({
    ...{ event: 'comity.history.lost', team: 'marketing', sender: 'crm', subscription: SUBSCRIPTION },
    ...{ handled: 1, discarded: 1, messages: [id('done')] },
  })
  const status = await teamStatus(marketing.team.declaration, marketing.team.environment)
  expect(status.subscriptions).toMatchObject([{ name: SUBSCRIPTION, lostHandled: 1, waiting: 1 }])

  heard.length = 0
  await act(marketing.team as never, 'resume', { subscription: SUBSCRIPTION })
  await act(marketing.team as never, 'retry', { subscription: SUBSCRIPTION, key: 'parked' })
  versions.new = await publish(crm, 'new')
  await crm.team.drained()
  await expect.poll(() => [...heard].sort(), { timeout: 20_000, interval: 20 }).toEqual(['new', 'parked'])
  await marketing.caughtUp()
  expect(await discarded()).toEqual([
    { message: id('parked'), key: 'parked', reason: 'lost' },
    { message: id('queued'), key: 'queued', reason: 'lost' },
  ])
  expect([...heard].sort()).toEqual(['new', 'parked'])

  // Whoever brings it: only what is of the history that goes on.
  heard.length = 0
  await act(marketing.team as never, 'replay', { subscription: SUBSCRIPTION, to: 'beginning' })
  await expect.poll(() => heard.includes('new'), { timeout: 20_000, interval: 20 }).toBe(true)
  await marketing.caughtUp()
  expect([...heard].sort()).toEqual(['kept', 'kept', 'new', 'parked'])
  expect(await discarded(), 'named once, and what was done is no discarded one').toHaveLength(2)

  // Only what the newest life says holds, as when an operator puts back the files that were newer after all.
  const speaker = { team: 'crm', transport: crm.team.environment.transport, topicNamed: (name: string) => name }
  const say = (life: number, ranges: [number, number][]) =>
    sayAboutCopy(speaker, erasuresTopic('crm'), [{ contract: LOST_HISTORY, replica: 'crm.history', data: { v: 1, life, ranges } }])
  const lost = async () => (await db.query('select count(*)::int as n, max(life)::text as life from comity.lost')).rows[0]
  expect(await lost()).toMatchObject({ n: 2 })
  const newest = Number.MAX_SAFE_INTEGER
  await say(newest, [[1, 2]])
  await say(1, [[1, 3]])
  // What is heard after it.
  const erasure = { v: 1, id: randomUUID(), topic: Called.name, key: 'nobody', version: 1, at: new Date().toISOString() }
  await sayAboutCopy(speaker, erasuresTopic('crm'), [{ contract: ERASURE, replica: Called.name, data: erasure }])
  const erased = async () => (await db.query('select key from comity.erased')).rows
  await expect.poll(erased, { timeout: 20_000, interval: 20 }).toEqual([{ key: 'nobody' }])
  expect(await lost()).toEqual({ n: 1, life: String(newest) })
})

test('where a transaction was prepared nobody can tell, and nothing is turned away', async () => {
  const url = (await freshDatabase({ migrated: true })).url
  await using db = connect(url)
  {
    await using _crm = await newCrm(testBus(), { url })
  }
  const note = async () => {
    await db.query('select comity.notice_incarnation()::text')
    await db.query('select comity.note_lost_history()::text')
    return (
      await db.query<{ ranges: string | null }>('select ranges::text as ranges from comity.lost_histories order by noted_at desc limit 1')
    ).rows[0]
  }
  expect(await note(), 'its first life has lost nothing').toBeUndefined()
  await putBack(db, [], 0)
  await using other = connect(url, { max: 1 })
  await other.query('begin')
  await other.query('lock table comity.outbox in row exclusive mode')
  await other.query(`prepare transaction 'left over'`)
  expect(await note()).toEqual({ ranges: null })
  await other.query(`commit prepared 'left over'`)
  await putBack(db, [], 0)
  expect(await note()).toEqual({ ranges: expect.stringMatching(/^\[\[0, \d+\]\]$/) })
})
