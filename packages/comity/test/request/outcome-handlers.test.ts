/** What a team does when an owner has decided: the effect of each outcome happens once, whoever runs it and however often it fails. */
import { randomUUID } from 'node:crypto'
import { operate, showRequest } from 'comity/admin'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { AppliedKeys } from '../../src/replica/replica.ts'
import { outcomesHeard } from '../../src/request/outcomes-heard.ts'
import { askFor, ChangeEmail, type ChangeEmailReaction, changeEmail, newAsker, newCrm } from './requesting-teams.ts'

const PATIENCE = { timeout: 60_000 }
// Without a key: what happens twice is there twice.
const REACTIONS = 'create table if not exists reactions (id text, state text, reason text, email text)'
const react: ChangeEmailReaction = async (outcome, { tx }) => {
  const reason = outcome.state === 'rejected' ? outcome.reason : null
  await tx.query('insert into reactions values ($1, $2, $3, $4)', [outcome.id, outcome.state, reason, outcome.data?.email ?? null])
}
const reactions = async (db: { query(text: string): Promise<{ rows: unknown[] }> }) =>
  (await db.query('select id, state, reason, email from reactions order by id')).rows

test('it is handled with what was asked and decided; what a handler that fails has written is undone, and it is tried again', async () => {
  const bus = testBus()
  await using _crm = await newCrm(bus, {
    answer: (message, context) => (message.data.email === 'closed' ? context.reject('customer-closed') : changeEmail(message, context)),
  })
  let failing = true
  await using marketing = await newAsker(bus, {
    table: REACTIONS,
    async react(outcome, context) {
      await react(outcome, context)
      if (outcome.id === 'third' && failing) throw new Error('no paper in the printer')
      // It goes on, in the same transaction.
      const more = { customerId: 'c2', agencyId: 'a1', email: 'next@example.com' }
      if (outcome.id === 'first') await context.ask(ChangeEmail, more, { id: 'next' })
    },
  })
  await askFor(marketing, 'c1', 'one@example.com', { id: 'first' })
  await askFor(marketing, 'c2', 'closed', { id: 'second' })
  await askFor(marketing, 'c3', 'three@example.com', { id: 'third' })
  const first = { id: 'first', state: 'accepted', reason: null, email: 'one@example.com' }
  const second = { id: 'second', state: 'rejected', reason: 'customer-closed', email: 'closed' }
  const next = { id: 'next', state: 'accepted', reason: null, email: 'next@example.com' }
  await expect.poll(() => reactions(marketing.db), PATIENCE).toEqual([first, next, second])
  const shown = async () => (await showRequest(marketing.team.environment, 'third'))[0]
  await expect.poll(async () => (await shown())?.problem, PATIENCE).toBe('Error: no paper in the printer')
  failing = false
  await expect.poll(() => reactions(marketing.db), PATIENCE).toHaveLength(4)
  expect(await shown()).toMatchObject({ problem: null, handledAt: expect.any(String) })
})

test('two processes handle each once, and nothing that was heard before there was a handler', async () => {
  const bus = testBus()
  await using _crm = await newCrm(bus)
  const { url } = await freshDatabase({ migrated: true })
  {
    await using before = await newAsker(bus, { url, table: REACTIONS })
    await (await askFor(before, 'c1', 'old@example.com', { id: 'old' })).outcome(PATIENCE)
  }
  await using one = await newAsker(bus, { url, react })
  await using _other = await newAsker(bus, { url, react })
  const ids = Array.from({ length: 40 }, (_, i) => `r${String(i).padStart(2, '0')}`)
  for (const [i, id] of ids.entries()) await askFor(one, `c${(i % 3) + 1}`, `${id}@example.com`, { id })
  const wanted = ids.map((id) => ({ id, state: 'accepted', reason: null, email: `${id}@example.com` }))
  await expect.poll(() => reactions(one.db), PATIENCE).toEqual(wanted)
  // What is still locked somewhere would come now.
  await expect.poll(async () => (await one.db.query('select from comity.asked where handled_at is null')).rows.length, PATIENCE).toBe(1)
  expect(await reactions(one.db)).toEqual(wanted)
  // What is left alone is nobody's work.
  expect((await one.team.status()).requests).toContainEqual(expect.objectContaining({ request: ChangeEmail.name, unhandled: 0 }))
})

test('a paused handler, and a paused tenant, hear outcomes and do nothing; resumed, each is handled once, and others went on', async () => {
  const bus = testBus()
  await using _crm = await newCrm(bus)
  await using marketing = await newAsker(bus, { table: REACTIONS, react })
  const handler = 'marketing.crm-change-customer-email'
  const set = (kind: 'pause' | 'resume', args: Readonly<Record<string, string>>) =>
    operate(marketing.team.environment, marketing.team.declaration, {
      id: randomUUID(),
      kind,
      arguments: args,
      author: 'ada',
      reason: 'a test',
      origin: 'cli',
    })
  const ask = (customerId: string, id: string, agencyId = 'a1') =>
    marketing.db.transaction((tx) => marketing.team.ask(tx, ChangeEmail, { customerId, agencyId, email: `${id}@example.com` }, { id }))
  const handled = async () => (await reactions(marketing.db)).map((row) => (row as { id: string }).id)
  const standing = async () => (await marketing.team.status()).requests.find(({ request }) => request === ChangeEmail.name)

  await set('pause', { tenant: 'a2' })
  await set('pause', { subscription: handler, tenant: 'a3' })
  for (const [id, tenant] of [
    ['everywhere', 'a2'],
    ['here', 'a3'],
  ] as const)
    await (await ask('c1', id, tenant)).outcome(PATIENCE)
  await ask('c2', 'other')
  // Heard after them, and handled before them.
  await expect.poll(handled, PATIENCE).toEqual(['other'])
  expect(await standing()).toMatchObject({ unhandled: 2, handler, pauses: [{ tenant: 'a3', author: 'ada', reason: 'a test' }] })
  await set('resume', { tenant: 'a2' })
  await expect.poll(handled, PATIENCE).toEqual(['everywhere', 'other'])
  await set('resume', { subscription: handler, tenant: 'a3' })
  await expect.poll(handled, PATIENCE).toEqual(['everywhere', 'here', 'other'])

  await set('pause', { subscription: handler })
  for (const id of ['later1', 'later2']) expect(await (await ask('c3', id)).outcome(PATIENCE)).toMatchObject({ state: 'accepted' })
  expect((await marketing.team.status()).problems).toContainEqual(
    expect.stringMatching(
      /^outcomes of crm\.change-customer-email are not handled, as ada has paused that since .*: a test; "comity resume marketing\./,
    ),
  )
  // In the time that another team takes to start, to ask and to handle.
  await using sales = await newAsker(bus, { name: 'sales', table: REACTIONS, react })
  await (await askFor(sales, 'c2', 'sales@example.com', { id: 'sales' })).outcome(PATIENCE)
  await expect.poll(() => reactions(sales.db), PATIENCE).toHaveLength(1)
  expect(await handled()).toEqual(['everywhere', 'here', 'other'])
  await set('resume', { subscription: handler })
  await expect.poll(handled, PATIENCE).toEqual(['everywhere', 'here', 'later1', 'later2', 'other'])
  expect(await set('pause', { subscription: 'marketing.crm-change-customer-emai' })).toMatchObject({
    error: { code: 'COMITY_SUBSCRIPTION_NOT_HERE', message: expect.stringContaining(`did you mean ${handler}?`) },
  })
})

test('one that takes too long is given up and tried again; what waits for its handler outlives the retention; a later decision is handled too', async () => {
  const bus = testBus()
  await using _crm = await newCrm(bus)
  let slow = true
  await using marketing = await newAsker(bus, {
    table: REACTIONS,
    timeout: '200ms',
    async react(outcome, context) {
      await react(outcome, context)
      if (slow) await new Promise((_, reject) => context.signal.addEventListener('abort', () => reject(new Error('it was told to end'))))
    },
  })
  await askFor(marketing, 'c1', 'one@example.com', { id: 'first' })
  const problem = async () => (await showRequest(marketing.team.environment, 'first'))[0]?.problem
  await expect.poll(problem, PATIENCE).toMatch(/told to end|longer than 200 ms/)
  expect(await reactions(marketing.db)).toEqual([])
  await marketing.db.query(`update comity.asked set heard_at = now(), retry_at = now() + interval '1 hour'`)
  await marketing.db.query(`select comity.maintain_requests('0 seconds')`)
  slow = false
  await marketing.db.query('update comity.asked set retry_at = null')
  const accepted = { id: 'first', state: 'accepted', reason: null, email: 'one@example.com' }
  await expect.poll(() => reactions(marketing.db), PATIENCE).toEqual([accepted])

  // Its owner's database went back, and decided again what it had forgotten.
  const { handle } = outcomesHeard({ owner: 'crm', database: marketing.db, heard: new AppliedKeys(), onHeard: () => undefined })
  const decidedAt = new Date(Date.now() + 60_000).toISOString()
  const said = {
    v: 1,
    id: 'first',
    request: ChangeEmail.name,
    entity: 'crm.customer',
    key: 'c1',
    outcome: 'rejected',
    reason: 'customer-closed',
    decidedAt,
  }
  await handle([{ from: 'crm', replica: 'c1', data: said as never }])
  await expect
    .poll(() => reactions(marketing.db), PATIENCE)
    .toEqual([accepted, { ...accepted, state: 'rejected', reason: 'customer-closed' }])
  await expect.poll(async () => (await showRequest(marketing.team.environment, 'first'))[0]?.handledAt, PATIENCE).not.toBeNull()
  await marketing.db.query(`select comity.maintain_requests('0 seconds')`)
  expect((await marketing.db.query('select from comity.asked')).rows).toHaveLength(0)
})
