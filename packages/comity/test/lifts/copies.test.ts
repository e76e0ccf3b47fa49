/** What was written under an older version is lifted in one way, whether a message, a chunk or an audit brings it. */
import { entity } from '@comity/contract'
import { type Queryable, team } from 'comity'
import { type TestTeam, testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { testTeam } from '../../../../test/support/test-team.ts'
import { auditValues } from '../../src/admin/index.ts'
import { answerAudit } from '../../src/audit/answer-audit.ts'
import { copyReader } from '../../src/backfill/copy-reader.ts'
import { publishedEntity } from '../../src/backfill/published-entity.ts'
import { contractHash } from '../../src/catalog/contract-hash.ts'
import type { Kept } from '../../src/catalog/declaration.ts'
import { unhurried } from '../audit/audited-teams.ts'
import { watched } from '../backfill/customers.ts'
import { audit, Customer1, Customer2, Customer3, copied, crmWith, filled, marketingTeam } from './three-versions.ts'

const parked = async ({ db }: TestTeam<Queryable>) => (await db.query('select key, reason, error_code from comity.waiting_keys')).rows

test('a live copy lifts each message, through several versions; what can not be lifted waits', async () => {
  const bus = testBus()
  await using crm = await crmWith(Customer1, bus, { rows: 0 })
  await using marketing = await testTeam(marketingTeam(), { bus })
  await filled(marketing)
  await crm.db.query(
    `insert into customers (id, agency_id, name, status) values ('c1', 'a', 'Jane', 'A'), ('c2', 'a', 'throw', 'A'), ('c3', 'b', 'Joe', 'B')`,
  )
  await crm.db.query(`update customers set name = 'Ann', status = 'B' where id = 'c1'`)
  expect(await marketing.caughtUp()).toEqual({ waiting: 1 })
  expect(await copied(marketing)).toEqual(['c1 a Ann! blocked', 'c3 b Joe! blocked'])
  expect(await parked(marketing)).toEqual([{ key: 'c2', reason: 'parked', error_code: 'COMITY_LIFT_FAILED' }])
})

test('a backfill lifts the rows of its chunks, and asks its owner for what that takes', async () => {
  const bus = testBus()
  await using crm = await crmWith(Customer1, bus, { rows: 700 })
  await using marketing = await testTeam(marketingTeam(), { bus })
  await filled(marketing)
  expect((await copied(marketing)).length).toBe(700)
  expect(await copied(marketing, `id in ('c1', 'c2')`)).toEqual(['c1 a1 C1! active', 'c2 a2 C2! blocked'])
  // The owner expands: a field that the table has as NULL is left out of a state, and one that may be null is not.
  await crm.team.stop()
  bus.teams.delete(crm.team as never)
  await using expanded = await crmWith(Customer2, bus, { url: crm.url })
  await expanded.db.query('alter table customers disable trigger user')
  await expanded.db.query(`update customers set full_name = 'Whole ' || id where id in ('c1', 'c3')`)
  await expanded.db.query('alter table customers enable trigger user')
  await marketing.db.query(
    `insert into comity.asked_backfills (replica, owner, entity, why) values ('marketing.crm-customer', 'crm', 'crm.customer', 'asked')`,
  )
  await filled(marketing)
  expect(await copied(marketing, `id in ('c1', 'c2')`)).toEqual(['c1 a1 Whole c1 active', 'c2 a2 C2 blocked'])
  expect((await expanded.db.query<{ fields: string }>(`select fields from comity.backfills order by asked_at desc limit 1`)).rows).toEqual([
    { fields: ['fullName', 'status', 'name', 'nick', 'alias'] },
  ])
})

test('rows that fit no version are refused by name, and the others are taken', async () => {
  const bus = testBus()
  await using crm = await crmWith(Customer1, bus, { rows: 3 })
  await crm.db.query(`update customers set name = 'throw' where id = 'c2'`)
  await using marketing = await testTeam(marketingTeam(), { bus })
  await filled(marketing, 'incomplete')
  expect(await copied(marketing)).toEqual(['c1 a1 C1! active', 'c3 a0 C3! active'])
  expect((await marketing.db.query('select key, why, reason from comity.backfill_left')).rows).toEqual([
    { key: 'c2', why: 'refused', reason: expect.stringContaining('the lift of an older version of crm.customer threw RangeError') },
  ])
})

test('an owner of the same version is asked for what is kept, and says no more', async () => {
  const bus = testBus()
  await using crm = await crmWith(Customer2, bus, { rows: 2 })
  await crm.db.query(
    `alter table customers disable trigger user; update customers set full_name = name, status = 'active'; alter table customers enable trigger user`,
  )
  await crm.team.stop()
  bus.teams.delete(crm.team as never)
  await using contracted = await crmWith(Customer3, bus, { url: crm.url })
  await using marketing = await testTeam(marketingTeam(), { bus })
  await filled(marketing)
  expect(await copied(marketing)).toEqual(['c1 a1 C1 active', 'c2 a2 C2 active'])
  expect((await contracted.db.query('select fields from comity.backfills')).rows).toEqual([{ fields: ['fullName', 'status'] }])
})

for (const [name, customer] of [
  ['has not the fields of the copy', Customer1],
  ['has both', Customer2],
] as const)
  test(`an audit with an owner that ${name} compares and repairs lifted rows`, async () => {
    const bus = testBus()
    await using _crm = await crmWith(customer, bus, { rows: 300 })
    await using marketing = await testTeam(marketingTeam(), { bus })
    await filled(marketing)
    const before = await copied(marketing)
    expect(await audit(marketing)).toMatchObject({ verdict: 'true', findings: [], suspects: 300 })
    expect(await audit(marketing, false, 'keys')).toMatchObject({ verdict: 'true', findings: [], suspects: 0 })

    // One of each: what the owner has under its own version is no better than anything else.
    await marketing.db.query(`update crm_customer set full_name = 'C1', status = 'A' where id = 'c1'`)
    await marketing.db.query(`update crm_customer set status = 'blocked' where id = 'c3'`)
    await marketing.db.query(`delete from crm_customer where id = 'c4'`)
    await marketing.db.query(
      `insert into crm_customer select 'extra', agency_id, full_name, status, comity_version from crm_customer where id = 'c5'`,
    )
    const drift = { verdict: 'drift', findings: ['c1: different', 'c3: different', 'c4: missing', 'extra: extra'] }
    const found = await audit(marketing)
    expect(found).toMatchObject(drift)
    const { environment, declaration } = marketing.team
    const suffix = customer === Customer1 ? '!' : ''
    expect(await auditValues(environment, declaration, found.id)).toMatchObject([
      {
        key: 'c1',
        fields: [
          { field: 'fullName', here: 'C1', owner: `C1${suffix}` },
          { field: 'status', here: 'A', owner: 'active' },
        ].slice(customer === Customer1 ? 0 : 1),
      },
      { key: 'c3', fields: [{ field: 'status', here: 'blocked', owner: 'active' }] },
      { key: 'c4', here: false, owner: true },
      { key: 'extra', here: true, owner: false },
    ])
    expect(await audit(marketing, true)).toMatchObject({ verdict: 'true', findings: drift.findings })
    expect(await copied(marketing)).toEqual(before)
    expect(await audit(marketing)).toMatchObject({ verdict: 'true', findings: [] })
  })

test('a row that is written while its owner answers is moving, and is looked at again', async () => {
  const bus = testBus()
  await using crm = await crmWith(Customer1, bus, { rows: 3 })
  const { versions } = copyReader(marketingTeam().declaration.keeps[0] as Kept, marketingTeam().declaration.lifts)
  let looks = 0
  const database = watched(crm.url, async (text) => {
    if (/audit_own_(keys|states)/.test(text) && ++looks === 2) await crm.db.query(`update customers set name = 'meanwhile' where id = 'c1'`)
  })
  const [answer] = await answerAudit(
    {
      ...{ from: 'marketing', replica: 'marketing.crm-customer' },
      data: {
        ...{
          v: 1,
          id: '',
          audit: '',
          entity: 'crm.customer',
          secret: '0123456789abcdef'.repeat(4),
          what: { kind: 'keys', keys: ['c1', 'c2'] },
        },
        fields: [
          { name: 'fullName', kind: 'text' },
          { name: 'id', kind: 'text' },
        ],
        ...(versions ? { versions } : {}),
      },
    },
    { ...{ database, signal: new AbortController().signal, onWaiting: async () => undefined }, ...unhurried },
  )
  await database.close()
  expect(looks).toBe(2)
  expect(answer).toMatchObject({
    keys: [
      { key: 'c1', moving: true, state: { name: 'C1' } },
      { key: 'c2', state: { name: 'C2' } },
    ],
  })
})

test('who says that it lifts a field is not granted it, and who lifts nothing that an owner has is refused as before', async () => {
  const shown = ['agencyId', 'name', 'status'] as const
  const granted = entity('crm.customer', {
    key: 'id',
    tenant: 'agencyId',
    state: z.object({ id: z.string(), agencyId: z.string(), name: z.string(), status: z.string(), secret: z.string() }),
    audiences: { marketing: [...shown] },
  })
  await using crm = await testTeam(team<Queryable>('crm').owns(granted), { bus: testBus() })
  const wanted = { from: 'marketing', replica: 'marketing.crm-customer', entity: 'crm.customer', audience: 'marketing' }
  const said = async (fields: readonly string[], required: readonly string[]) =>
    (
      await publishedEntity(crm.db, {
        ...{ ...wanted, fields: ['fullName'] },
        versions: { own: 'another', older: [{ fields: [...fields], required: [...required] }] },
      })
    ).said
  expect(await said(['name', 'secret', 'status'], ['name'])).toEqual(['name', 'status'])
  await expect(said(['name', 'secret'], ['secret'])).rejects.toThrow('has no field fullName for it')
  // An owner of the very version that the copy has says what is kept, and no more.
  const versions = { own: contractHash(granted), older: [{ fields: ['name'], required: ['name'] }] }
  expect((await publishedEntity(crm.db, { ...wanted, fields: ['status'], versions })).said).toEqual(['status'])

  await crm.db.transaction((tx) =>
    crm.team.publish(tx, granted, { id: 'c1', agencyId: 'a', name: 'C', status: 'A', secret: 'to be guessed' }),
  )
  const digests = (fields: readonly string[]) =>
    answerAudit(
      {
        ...{ from: 'marketing', replica: wanted.replica },
        data: {
          ...{ v: 1, id: '', audit: '', entity: 'crm.customer', audience: 'marketing', secret: '0123456789abcdef'.repeat(4) },
          ...{ what: { kind: 'digests', depth: 4 }, versions: { ...versions, own: 'another' } },
          fields: fields.map((name) => ({ name, kind: 'text' })),
        },
      },
      { ...{ database: crm.db, signal: new AbortController().signal, onWaiting: async () => undefined }, ...unhurried },
    )
  expect(await digests(['id', 'name', 'secret'])).toEqual(await digests(['id', 'name']))
  expect(await digests(['id', 'name'])).not.toEqual(await digests(['id']))
})

test('which rows are kept is asked of what was lifted, by message, chunk and audit', async () => {
  const bus = testBus()
  await using crm = await crmWith(Customer1, bus, { rows: 10 })
  await using marketing = await testTeam(marketingTeam({ status: 'active' }), { bus })
  await filled(marketing)
  const odd = ['c1 a1 C1! active', 'c3 a0 C3! active', 'c5 a2 C5! active', 'c7 a1 C7! active', 'c9 a0 C9! active']
  expect(await copied(marketing)).toEqual(odd)
  await crm.db.query(`update customers set status = 'B' where id = 'c9'`)
  await crm.db.query(`update customers set status = 'A' where id = 'c10'`)
  await marketing.caughtUp()
  expect(await copied(marketing)).toEqual([odd[0], 'c10 a1 C10! active', ...odd.slice(1, 4)])
  expect(await audit(marketing)).toMatchObject({ verdict: 'true', findings: [] })
  await marketing.db.query(
    `insert into crm_customer select 'c2', agency_id, full_name, status, comity_version from crm_customer where id = 'c1'`,
  )
  await marketing.db.query(`delete from crm_customer where id = 'c3'`)
  expect(await audit(marketing, true)).toMatchObject({ verdict: 'true', findings: ['c2: extra', 'c3: missing'] })
  expect(await copied(marketing)).toEqual([odd[0], 'c10 a1 C10! active', ...odd.slice(1, 4)])
})

test('more lifted rows than an audit looks at are neither true nor drift, and what was filled is ready', { timeout: 300_000 }, async () => {
  const bus = testBus()
  await using _crm = await crmWith(Customer1, bus, { rows: 20_500 })
  await using marketing = await testTeam(marketingTeam(), { bus })
  await filled(marketing)
  const { rows } = await marketing.db.query('select verdict, truncated, unsettled, problem from comity.audits')
  expect(rows).toMatchObject([{ verdict: 'inconclusive', truncated: true, unsettled: 0 }])
})
