/** What keeps a hand-over right where two things happen at once, or one of them long ago. */
import { silentLogger } from 'comity/transport'
import { afterEach, expect, test } from 'vitest'
import { answerAudit } from '../../src/audit/answer-audit.ts'
import { noteHandOver } from '../../src/subscription/owners.ts'
import { act } from '../admin/act.ts'
import { unhurried } from '../audit/audited-teams.ts'
import { watched } from '../backfill/customers.ts'
import { eventually } from '../control/eventually.ts'
import { teamDatabase } from '../team-database.ts'
import { After, Before, copied, give, keeping, owning, ready, rowsOf, TABLE, Teams, told } from './teams.ts'

const teams = new Teams()
afterEach(() => teams.stopAll())
const FILLED = `${TABLE}; insert into customers values ('c1', 'a1', 'one@x.org', 'One') on conflict do nothing`
const GIVEN = `insert into comity.hand_overs (topic, version, owner, next) values ('crm.customer', comity.draw_version(), 'crm', 'accounts')`

test.each(['keys', 'states'] as const)('an answer (%s) that was read while the entity was handed over says nothing', async (kind) => {
  const crm = await teams.run(owning('crm', Before), await teams.place(), FILLED)
  const ask = (given: boolean) =>
    answerAudit(
      {
        ...{ from: 'marketing', replica: 'marketing.crm-customer' },
        data: {
          ...{ v: 1, id: '', audit: '', entity: 'crm.customer', secret: '0123456789abcdef'.repeat(4) },
          ...{ what: { kind, keys: ['c1'] }, fields: ['id', 'agencyId', 'email', 'name'].map((name) => ({ name, kind: 'text' })) },
        } as never,
      },
      {
        ...{ signal: new AbortController().signal, onWaiting: async () => undefined, ...unhurried },
        database: watched(crm.url, async (text) => {
          if (given && text.includes('audit_own_states')) await crm.db.query(GIVEN)
        }) as never,
      },
    )
  expect(await ask(false)).toMatchObject([{ kind }])
  expect(await ask(true)).toEqual([{ kind: 'refused', reason: expect.stringContaining('belongs to accounts now') }])
})

test('nor does a stretch of a backfill that was', async () => {
  const [at, readers] = [await teams.place(), await teams.place()]
  let given = false
  const crm = await teams.run(owning('crm', Before), at, FILLED, (url) =>
    watched(url, async (text) => {
      if (given || !text.includes('comity.backfill_parts(')) return
      given = true
      await crm.db.query(GIVEN)
    }),
  )
  const reader = await teams.run(keeping('marketing', Before), readers)
  await eventually('the refusal', async () => {
    const { rows } = await reader.db.query<{ said: string }>('select a::text as said from comity.asked_backfills a')
    return rows.find(({ said }) => said.includes('belongs to accounts now'))
  })
  expect(await rowsOf(reader)).toEqual([])
})

test('what was withheld when it was given stays so; what a broker has lost is said again, also after it was taken', async () => {
  const at = await teams.place()
  const crm = await teams.run(owning('crm', Before), await teams.place(), FILLED)
  const accounts = await teams.run(keeping('accounts', Before), at)
  await ready(accounts)
  const { version } = await give(crm)
  await told(crm)
  await crm.db.query(
    `insert into comity.withheld (id, topic, key, kind, tenant, payload, time, code, reason, retry_at)
     values ($1::text::bigint - 1, 'crm.customer', 'c9', 'updated', 'a1', '{"id":"c9","agencyId":"a1","email":"e","name":null}', now(), 'X', 'x', now())`,
    [String(version)],
  )
  await eventually('it is tried', async () => (await crm.db.query(`select from comity.withheld where code = 'COMITY_HANDED_OVER'`)).rows[0])

  const toldAt = async (): Promise<unknown> => (await crm.db.query('select told_at from comity.hand_overs')).rows[0]
  const before = await toldAt()
  await act(crm.team as never, 'rebuild-transport')
  expect(await toldAt()).not.toEqual(before)
  await crm.db.query(`delete from comity.catalog_fields`)
  await act(crm.team as never, 'hand-over', { entity: 'crm.customer', to: 'accounts' })
  expect((await crm.db.query('select from comity.hand_overs')).rows).toHaveLength(1)
})

test('a copy that was filled before its audit could be made is ready all the same', async () => {
  const crm = await teams.run(owning('crm', Before), await teams.place(), FILLED)
  const reader = await teams.run(keeping('marketing', Before), await teams.place())
  await ready(reader)
  await crm.db.query(GIVEN)
  await reader.db.query(
    `insert into comity.hand_overs (topic, version, owner, next) values ('crm.customer', comity.clock_id(), 'crm', 'accounts')`,
  )
  await reader.db.query('delete from comity.audits')
  await reader.db.query(`update comity.asked_backfills set state = 'settling', ended_at = null`)
  await ready(reader)
  await copied(reader, 'one@x.org')
})

test('a hand-over is believed from whoever owned the entity until then, older ones too', async () => {
  await using database = await teamDatabase()
  const known = async (): Promise<unknown> =>
    (await database.query('select version::int as version, owner, next from comity.hand_overs order by version')).rows
  const note = (version: number, owner: string, next: string): Promise<void> =>
    noteHandOver(
      database,
      'marketing.crm-customer',
      { ...After, owner: 'sales', former: ['crm', 'accounts'] },
      { version, owner, next },
      silentLogger,
    )
  await note(200, 'accounts', 'sales')
  await note(300, 'accounts', 'mallory')
  await note(50, 'mallory', 'accounts')
  await note(150, 'crm', 'billing')
  expect(await known()).toEqual([{ version: 200, owner: 'accounts', next: 'sales' }])
  await note(100, 'crm', 'accounts')
  await note(300, 'sales', 'billing')
  await note(300, 'sales', 'billing')
  expect(await known()).toEqual([
    { version: 100, owner: 'crm', next: 'accounts' },
    { version: 200, owner: 'accounts', next: 'sales' },
    { version: 300, owner: 'sales', next: 'billing' },
  ])
})

test('what a team takes back of its history is its own, though another one has drawn the same versions', async () => {
  await using database = await teamDatabase()
  await database.query(
    `insert into comity.subscriptions (name, topic, kind, lanes) values ('marketing.seen', 'crm.customer', 'handler', 1)`,
  )
  await database.query(`insert into comity.lanes (subscription, lane) values ('marketing.seen', 0)`)
  for (const team of ['crm', 'crm-2', 'accounts']) {
    await database.query(
      `insert into comity.inbox (subscription, generation, message, time) values ('marketing.seen', 1, $1::text, now())`,
      [`${team}-51`],
    )
    await database.query(
      `insert into comity.waiting_keys (subscription, key, reason, lane) values ('marketing.seen', $1::text, 'parked', 0)`,
      [team],
    )
    await database.query(
      `insert into comity.waiting (subscription, generation, key, reason, message, time, attributes, data)
       values ('marketing.seen', 1, $1::text, 'parked', $1::text || '-50', now(), '{"ce-comityversion":"50"}', '{}')`,
      [team],
    )
  }
  const { rows } = await database.query<{ waited: string; handled: string }>(
    `select comity.turn_lost_away('crm', 1, '[[1, 100]]', array['crm.customer'])::text as waited, comity.name_lost('crm', array['crm.customer'])::text as handled`,
  )
  expect(JSON.parse(rows[0]?.waited ?? '')).toEqual([{ subscription: 'marketing.seen', messages: 1 }])
  const { rows: named } = await database.query<{ handled: string }>(
    `select comity.name_lost('crm', array['crm.customer'])::text as handled`,
  )
  const messages = [rows[0], named[0]].flatMap((one) => JSON.parse(one?.handled ?? '[]') as { message: string }[])
  expect(messages.map(({ message }) => message)).toEqual(['crm-51'])
})
