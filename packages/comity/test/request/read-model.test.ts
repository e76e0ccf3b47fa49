/** Both teams see the whole life of each request: in the read model, and in plain SQL. */
import { PermanentError, type Queryable } from 'comity'
import { listRequests, showRequest } from 'comity/admin'
import { type TestBus, type TestTeam, testBus } from 'comity/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { askFor, ChangeEmail, changeEmail, filled, newAsker, newCrm } from './requesting-teams.ts'

const PATIENCE = { timeout: 60_000 }
let bus: TestBus
let crm: TestTeam<Queryable>
let marketing: TestTeam<Queryable>

beforeAll(async () => {
  bus = testBus()
  crm = await newCrm(bus, {
    async answer(message, context) {
      if (message.data.email === 'wait') throw new PermanentError('not now')
      if (message.data.email === 'closed') return context.reject('customer-closed')
      return changeEmail(message, context)
    },
  })
  marketing = await newAsker(bus)
  await filled(marketing)
})
afterAll(async () => {
  await marketing?.[Symbol.asyncDispose]()
  await crm?.[Symbol.asyncDispose]()
})

test('each side lists it as it stands, filtered and page by page, without its content', async () => {
  const ids = ['first', 'second', 'third'] as const
  await (await askFor(marketing, 'c1', 'one@example.com', { id: ids[0] })).outcome(PATIENCE)
  await (await askFor(marketing, 'c2', 'closed', { id: ids[1] })).outcome(PATIENCE)
  await askFor(marketing, 'c3', 'wait', { id: ids[2], deadline: '1d' })
  const at = async (one: TestTeam<Queryable>, filter: Parameters<typeof listRequests>[1] = {}) =>
    (await listRequests(one.team.environment, filter)).items.map(({ side, id, peer, state, reason }) => [side, id, peer, state, reason])
  await expect
    .poll(() => at(marketing), PATIENCE)
    .toEqual([
      ['asked', 'third', 'crm', 'requested', null],
      ['asked', 'second', 'crm', 'rejected', 'customer-closed'],
      ['asked', 'first', 'crm', 'visible', null],
    ])
  await expect
    .poll(() => at(crm), PATIENCE)
    .toEqual([
      ['answered', 'third', 'marketing', 'requested', null],
      ['answered', 'second', 'marketing', 'rejected', 'customer-closed'],
      ['answered', 'first', 'marketing', 'accepted', null],
    ])
  expect(await at(marketing, { state: 'rejected' })).toHaveLength(1)
  expect(await at(marketing, { side: 'answered' })).toEqual([])
  expect(await at(marketing, { key: 'c3', request: ChangeEmail.name, peer: 'crm' })).toHaveLength(1)
  expect(await at(marketing, { overdue: true })).toEqual([])
  const first = await listRequests(marketing.team.environment, { limit: 2 })
  const rest = await listRequests(marketing.team.environment, { limit: 2, after: first.next as string })
  expect([...first.items, ...rest.items].map(({ id }) => id)).toEqual(['third', 'second', 'first'])
  expect(rest.next).toBe(null)
  expect(JSON.stringify(first.items)).not.toContain('example.com')
})

test('one is shown with its whole life, its content only where that is asked for', async () => {
  const [shown] = await showRequest(marketing.team.environment, 'first')
  expect(shown).toMatchObject({ state: 'visible', entity: 'crm.customer', key: 'c1', tenant: 'a1', data: null, detail: null })
  for (const time of ['askedAt', 'decidedAt', 'heardAt', 'visibleAt'] as const) expect(shown?.[time]).toMatch(/^\d{4}-.*Z$/)
  expect(shown?.version).toBeGreaterThan(0)
  expect((await showRequest(marketing.team.environment, 'first', { data: true }))[0]?.data).toEqual({
    customerId: 'c1',
    agencyId: 'a1',
    email: 'one@example.com',
  })
  expect((await showRequest(crm.team.environment, 'third', { data: true }))[0]).toMatchObject({
    state: 'requested',
    data: { email: 'wait' },
  })
  await expect(showRequest(crm.team.environment, 'nothing')).rejects.toMatchObject({ code: 'COMITY_NO_SUCH_REQUEST_KNOWN' })
})

test('overdue is what the asker shows, and no outcome: its owner decides', async () => {
  await marketing.db.query(`update comity.asked set deadline = now() - interval '1 minute' where id = 'third'`)
  const overdue = await listRequests(marketing.team.environment, { overdue: true })
  expect(overdue.items).toMatchObject([{ id: 'third', state: 'requested', overdue: true }])
  const { rows } = await marketing.db.query(`select id, state from comity.asked_requests where overdue`)
  expect(rows).toEqual([{ id: 'third', state: 'requested' }])
})

test('what ended long ago goes on both sides, and nothing that is still to be decided or told', async () => {
  await marketing.db.query(`update comity.asked set heard_at = now() - interval '31 days' where id = 'first'`)
  await marketing.db.query(`select comity.maintain_requests('30 days')`)
  // At once: what is not told is told again.
  await crm.db.transaction(async (tx) => {
    await tx.query(`update comity.requests set decided_at = now() - interval '31 days', told_at = case when id = 'first' then now() end`)
    await tx.query(`select comity.maintain_requests('30 days')`)
  })
  const ids = async (one: TestTeam<Queryable>, table: string) =>
    (await one.db.query<{ id: string }>(`select id from comity.${table} order by id`)).rows.map(({ id }) => id)
  expect(await ids(marketing, 'asked')).toEqual(['second', 'third'])
  expect(await ids(crm, 'requests')).toEqual(['second'])
})
