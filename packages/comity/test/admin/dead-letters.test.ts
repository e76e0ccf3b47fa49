/** What operators read of a hundred thousand dead letters (short form: of a few thousand), on one database. */
import { entity, event, messageId, toAttributes } from '@comity/contract'
import { type Queryable, team } from 'comity'
import {
  deadLetterGroups,
  exportDeadLetters,
  listDeadLetters,
  listSubscriptions,
  listTenants,
  type Page,
  showDeadLetter,
} from 'comity/admin'
import { type TestTeam, testBus } from 'comity/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { full } from '../../../../test/support/full.ts'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'

const Customer = entity('sales.customer', { key: 'id', state: z.object({ id: z.string(), name: z.string() }) })
const Sent = event('marketing.sent', { key: 'customer', tenant: 'agency', data: z.object({ customer: z.string(), agency: z.string() }) })
const KEYS = full ? 100_000 : 4000
const GROUPS = 500
const SUBSCRIPTION = 'crm.marketing-sent'

let crm: TestTeam<Queryable>
beforeAll(async () => {
  crm = await testTeam(
    team('crm')
      .keeps(Customer, { fields: ['name'], table: 'customer_copy' })
      .on(Sent, async () => undefined),
    { bus: testBus(), url: (await freshDatabase({ migrated: true })).url },
  )
  // As the engine leaves them: two messages in each line, of 300 tenants, every tenth line in two groups of its own.
  const attributes = toAttributes({
    ...{ id: messageId('marketing', 7), source: '/teams/marketing', type: 'marketing.sent', subject: 'k', version: 7 },
    ...{ time: '2026-11-05T10:15:00Z', kind: 'event', tenant: 'a1' },
  })
  for (let first = 1; first <= KEYS; first += 5000)
    await crm.db.query(
      `insert into comity.waiting (subscription, generation, key, reason, message, time, tenant, attributes, data)
     select $1, 1, 'k' || n, 'parked', 'marketing-' || n * 2 + i, now(), 'a' || n % 300, $2, '{"customer":"secret"}'
     from generate_series($3::int, least($3::int + 4999, $4::int)) n, generate_series(0, 1) i`,
      [SUBSCRIPTION, JSON.stringify(attributes), first, KEYS],
    )
  for (let first = 1; first <= KEYS; first += 10_000)
    await crm.db.query(
      `insert into comity.waiting_keys (subscription, key, tenant, reason, lane, message, failures, fingerprint, error_name, error_code, error, frame,
       since, tried_at)
     select $1, 'k' || n, 'a' || n % 300, 'parked', 0, 'marketing-' || n * 2, 1, lpad((n % $3::int)::text, 12, '0'), 'Error', 'CODE' || n % $3::int, 'it failed',
       'f (a/b.ts)', now() - n * interval '1 second', now() - n % 50 * interval '1 second'
     from generate_series($2::int, least($2::int + 9999, $4::int)) n`,
      [SUBSCRIPTION, first, GROUPS, KEYS],
    )
  await crm.db.query('analyze comity.waiting_keys, comity.waiting')
}, 120_000)
afterAll(() => crm[Symbol.asyncDispose]())

/** Every page of a list, none of which takes longer than a second. */
async function allOf<Item>(page: (after: string | undefined) => Promise<Page<Item>>, most = Number.POSITIVE_INFINITY): Promise<Item[]> {
  const items: Item[] = []
  let after: string | undefined
  do {
    const started = performance.now()
    const { items: more, next } = await page(after)
    expect(performance.now() - started).toBeLessThan(1000)
    items.push(...more)
    after = next ?? undefined
  } while (after !== undefined && items.length < most)
  return items
}

describe('dead letters', () => {
  test('are listed page by page, each once, also where many were tried at the same moment', async () => {
    const { environment } = crm.team
    const letters = await allOf((after) => listDeadLetters(environment, { after, limit: 700 }))
    expect(letters).toHaveLength(KEYS)
    expect(new Set(letters.map(({ key }) => key)).size).toBe(KEYS)
    expect(letters.map(({ triedAt }) => triedAt)).toEqual(letters.map(({ triedAt }) => triedAt).sort())
    expect(letters.find(({ key }) => key === 'k1')).toEqual({
      ...{ subscription: SUBSCRIPTION, key: 'k1', tenant: 'a1', message: 'marketing-2', failures: 1, behind: 1 },
      ...{ errorName: 'Error', errorCode: 'CODE1', error: 'it failed', frame: 'f (a/b.ts)', fingerprint: '000000000001' },
      ...{ since: expect.stringMatching(/^2.*Z$/), triedAt: expect.stringMatching(/^2.*Z$/) },
    })
  })

  test('are chosen by each filter, and by several', async () => {
    const { environment } = crm.team
    const count = async (asked: Parameters<typeof listDeadLetters>[1]) =>
      (await allOf((after) => listDeadLetters(environment, { ...asked, after, limit: 1000 }))).length
    expect(await count({ tenant: 'a7' })).toBe(Math.floor((KEYS - 7) / 300) + 1)
    expect(await count({ fingerprint: '000000000003' })).toBe(KEYS / GROUPS)
    expect(await count({ tenant: 'a3', fingerprint: '000000000003' })).toBe(Math.floor((KEYS - 3) / 1500) + 1)
    expect(await count({ key: 'k12', subscription: SUBSCRIPTION })).toBe(1)
    expect(await count({ subscription: 'crm.other' })).toBe(0)
    expect(await count({ from: new Date(Date.now() + 60_000).toISOString() })).toBe(0)
    expect(await count({ to: '2026-01-01T00:00:00Z' })).toBe(0)
    const { since } = await showDeadLetter(environment, { subscription: SUBSCRIPTION, key: 'k100' })
    expect([await count({ from: since }), await count({ to: since })]).toEqual([100, KEYS - 100])
  })

  test('are grouped by what failed, the groups page by page', async () => {
    const { environment } = crm.team
    await crm.db.query(`update comity.waiting_keys set fingerprint = '000000000001' where key in ('k2', 'k3')`)
    const groups = await allOf((after) => deadLetterGroups(environment, { after, limit: 70 }))
    await crm.db.query(`update comity.waiting_keys set fingerprint = '00000000000' || right(key, 1) where key in ('k2', 'k3')`)
    expect(groups).toHaveLength(GROUPS)
    expect(new Set(groups.map(({ fingerprint }) => fingerprint)).size).toBe(GROUPS)
    expect(groups.reduce((sum, { count }) => sum + count, 0)).toBe(KEYS)
    expect(groups[0]).toMatchObject({
      ...{ fingerprint: '000000000001', count: KEYS / GROUPS + 2, errorName: 'Error', frame: 'f (a/b.ts)' },
      ...{ subscriptions: [SUBSCRIPTION], sample: { subscription: SUBSCRIPTION, error: 'it failed' } },
    })
    const tenants = groups[1]?.tenants ?? []
    expect(tenants).toHaveLength(Math.min(10, groups[1]?.totalTenants ?? 0))
    const few = await deadLetterGroups(environment, { tenant: 'a5' })
    expect(few.items.every(({ tenants: [first], totalTenants }) => first?.tenant === 'a5' && totalTenants === 1)).toBe(true)
  })

  test('are shown with their line, and with their content only when it is asked for', async () => {
    const { environment } = crm.team
    await crm.db.query(
      `insert into comity.edited values ($1, 'marketing-old', 'k5', '{}', '{}', 'marketing-10', 'ann', 'wrong address', now())`,
      [SUBSCRIPTION],
    )
    await crm.db.query(`insert into comity.discarded values ($1, 'marketing-gone', 'k5', now(), 'spam', now(), 'a5', 'bob')`, [
      SUBSCRIPTION,
    ])
    const of = { subscription: SUBSCRIPTION, key: 'k5' }
    const shown = await showDeadLetter(environment, of)
    expect(shown).toMatchObject({
      ...{ ...of, reason: 'parked', message: 'marketing-10', behind: 1 },
      head: { message: 'marketing-10', version: 7, generation: 1, attempts: 0, attributes: { 'ce-type': 'marketing.sent' } },
      followers: [{ message: 'marketing-11', version: 7 }],
      edits: [{ message: 'marketing-old', replacedBy: 'marketing-10', author: 'ann', reason: 'wrong address' }],
      discards: [{ message: 'marketing-gone', author: 'bob', reason: 'spam' }],
    })
    expect(JSON.stringify(shown)).not.toContain('secret')
    expect((await showDeadLetter(environment, of, { data: true })).head.data).toBe('{"customer":"secret"}')
    await expect(showDeadLetter(environment, { ...of, key: 'nobody' })).rejects.toMatchObject({ code: 'COMITY_NOTHING_WAITS' })
  })

  test('are exported, all of a selection, with their content only when it is asked for', async () => {
    const { environment } = crm.team
    const lines: string[] = []
    for await (const letter of exportDeadLetters(environment, { tenant: 'a9' })) lines.push(JSON.stringify(letter))
    expect(lines).toHaveLength(Math.floor((KEYS - 9) / 300) + 1)
    expect(lines.join()).not.toContain('secret')
    for await (const { data, attributes } of exportDeadLetters(environment, { tenant: 'a9' }, { data: true }))
      expect([data, attributes?.['ce-type']]).toEqual(['{"customer":"secret"}', 'marketing.sent'])
  })

  test('a limit, a cursor or a time that is none is refused', async () => {
    const { environment } = crm.team
    const refusal = (asked: Parameters<typeof listDeadLetters>[1]) => listDeadLetters(environment, asked).catch(({ code }) => code)
    expect(await refusal({ limit: 1001 })).toBe('COMITY_BAD_LIMIT')
    expect(await refusal({ after: 'x' })).toBe('COMITY_BAD_CURSOR')
    expect(await refusal({ from: 'yesterday' })).toBe('COMITY_BAD_TIME')
  })
})

describe('tenants', () => {
  test('are listed with what waits of them and where they are paused', async () => {
    const { environment } = crm.team
    await crm.db.query(
      `insert into comity.pauses (subscription, tenant, by, reason, author) values ('', 'a1', 'operator', 'floods', 'ann'), ($1, 'quiet', 'operator', 'moves', 'ann')`,
      [SUBSCRIPTION],
    )
    const tenants = await allOf((after) => listTenants(environment, { after, limit: 50 }))
    expect(tenants).toHaveLength(301)
    expect(new Set(tenants.map(({ tenant }) => tenant)).size).toBe(301)
    expect(tenants.reduce((sum, { waiting }) => sum + waiting, 0)).toBe(KEYS * 2)
    expect(tenants.find(({ tenant }) => tenant === 'a1')).toMatchObject({
      keys: { parked: Math.floor((KEYS - 1) / 300) + 1, paused: 0, overflow: 0, 'not-yet': 0 },
      paused: [{ subscription: '', author: 'ann', reason: 'floods' }],
      top: [{ subscription: SUBSCRIPTION }],
    })
    expect(tenants.at(-1)).toMatchObject({ tenant: 'quiet', waiting: 0, oldest: null, paused: [{ subscription: SUBSCRIPTION }] })
    for (const sort of ['oldest', 'tenant', 'dead-letters'] as const)
      expect(await allOf((after) => listTenants(environment, { after, limit: 101, sort }))).toHaveLength(301)
    expect((await listTenants(environment, { tenant: 'a1' })).items).toHaveLength(1)
  })
})

describe('subscriptions', () => {
  test('are listed with state, what waits by reason, pauses and orphans, within a second', async () => {
    const { declaration, environment } = crm.team
    await crm.db.query(`insert into comity.subscriptions (name, topic, kind, lanes) values ('crm.old', 'marketing.sent', 'handler', 1)`)
    await crm.db.query(
      `insert into comity.pauses (subscription, by, reason, author, probe_at) values ('crm.sales-customer', 'breaker', 'too much', 'comity', now())`,
    )
    const started = performance.now()
    const all = await listSubscriptions(declaration, environment)
    expect(performance.now() - started).toBeLessThan(1000)
    expect(all).toMatchObject([
      {
        ...{ name: SUBSCRIPTION, kind: 'handler', waitingKeys: KEYS, waiting: KEYS * 2, generation: 1, paused: null },
        waitingFor: { parked: KEYS, paused: 0, overflow: 0, 'not-yet': 0 },
        pausedTenants: [
          { tenant: 'a1', everywhere: true },
          { tenant: 'quiet', everywhere: false },
        ],
      },
      { name: 'crm.old', state: 'orphaned' },
      {
        name: 'crm.sales-customer',
        kind: 'replica',
        state: 'paused',
        paused: { by: 'breaker', reason: 'too much', probeAt: expect.any(String) },
      },
    ])
    expect((await listSubscriptions(declaration, environment, { sort: 'waiting' })).map(({ name }) => name)[0]).toBe(SUBSCRIPTION)
    const names = async (filter: Parameters<typeof listSubscriptions>[2]) =>
      (await listSubscriptions(declaration, environment, filter)).map(({ name }) => name)
    expect(await names({ state: 'orphaned' })).toEqual(['crm.old'])
    expect(await names({ text: 'CUSTOMER' })).toEqual(['crm.sales-customer'])
    expect(await names({ tenant: 'a2' })).toEqual([SUBSCRIPTION])
    const { problems } = await crm.team.status()
    expect(problems).toEqual([
      '1 tenants are paused in all subscriptions (a1)',
      expect.stringMatching(/^crm\.sales-customer is paused by the breaker since .*: too much; "comity resume/),
      `1 tenants are paused in ${SUBSCRIPTION} (quiet)`,
      `${KEYS} keys wait in ${SUBSCRIPTION}, ${KEYS} of them dead letters: "comity dead-letters" lists them`,
      expect.stringMatching(/^no code declares crm\.old any more/),
    ])
  })
})
