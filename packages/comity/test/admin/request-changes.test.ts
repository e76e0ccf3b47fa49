/** A request is written by those who ask it and read by its owner; what is said with a rejection goes the other way. */
import { type ContractDescription, type Entity, entity, type JsonSchema, request } from '@comity/contract'
import { type Queryable, team } from 'comity'
import { checkContracts } from 'comity/admin'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import { registrationSteps } from '../../src/admin/registration.ts'
import { askerVerdict } from '../../src/catalog/request-check.ts'

const text = { type: 'string' } as const
const Customer = entity('crm.customer', { key: 'id', state: { type: 'object', properties: { id: text }, required: ['id'] } })
const Other = entity('crm.other', { key: 'id', state: { type: 'object', properties: { id: text }, required: ['id'] } })
const FIELDS: Readonly<Record<string, JsonSchema>> = { id: text, email: text, note: text, level: { type: ['integer', 'string'] } }
const taken: JsonSchema = { type: 'object', properties: { by: text }, required: ['by'] }
const REJECTS = { 'email-taken': taken, closed: null }

interface Given {
  readonly fields?: Readonly<Record<string, JsonSchema | undefined>>
  readonly required?: readonly string[]
  readonly rejects?: Readonly<Record<string, JsonSchema | null>>
  readonly about?: Entity
  readonly key?: string
}
function change({ fields = {}, required = ['id', 'email'], rejects = REJECTS, about = Customer, key = 'id' }: Given = {}) {
  const properties = Object.fromEntries(Object.entries({ ...FIELDS, ...fields }).filter(([, schema]) => schema !== undefined))
  const data = { type: 'object', properties, required: required.filter((one) => one in properties) }
  return request('crm.change-email', { entity: about, key, data, rejects } as never)
}
const published = change()
const described = published as ContractDescription

test.each<[string, Given, string, readonly string[]]>([
  ['nothing', {}, 'unaffected', []],
  ['an optional field added', { fields: { city: text } }, 'unaffected', []],
  ['a required field added', { fields: { city: text }, required: ['id', 'email', 'city'] }, 'broken', ['city']],
  ['optional becomes required', { required: ['id', 'email', 'note'] }, 'broken', ['note']],
  ['required becomes optional', { required: ['id'] }, 'unaffected', []],
  ['a type narrowed', { fields: { level: { type: 'integer' } } }, 'broken', ['level']],
  ['a type widened', { fields: { email: { type: ['string', 'null'] } } }, 'unaffected', []],
  ['a pattern added', { fields: { email: { type: 'string', pattern: '^[a-z]+$' } } }, 'broken', ['email']],
  ['a field that is not read any more', { fields: { note: undefined } }, 'possibly', ['note']],
  ['a reason removed', { rejects: { 'email-taken': taken } }, 'broken', ['rejects.closed']],
  ['a reason added', { rejects: { ...REJECTS, 'too-late': null } }, 'possibly', ['rejects.too-late']],
  ['nothing said with a reason any more', { rejects: { ...REJECTS, 'email-taken': null } }, 'broken', ['rejects.email-taken']],
  ['more said with a reason', { rejects: { ...REJECTS, closed: taken } }, 'unaffected', []],
  [
    'what is said with a reason may be left out',
    { rejects: { ...REJECTS, 'email-taken': { ...taken, required: [] } } },
    'broken',
    ['rejects.email-taken.by'],
  ],
  [
    'what is said with a reason is of fewer values',
    { rejects: { ...REJECTS, 'email-taken': { ...taken, properties: { by: { enum: ['c1'] } } } } },
    'unaffected',
    [],
  ],
  ['another entity', { about: Other }, 'broken', ['']],
  ['another key', { key: 'email' }, 'broken', ['']],
])('%s', (_, given, verdict, paths) => {
  const answer = askerVerdict({ team: 'marketing', contact: '#marketing', knows: described }, described, change(given))
  expect(answer).toMatchObject({ team: 'marketing', contact: '#marketing', kind: 'asker', subscription: null, verdict })
  expect(answer.reasons.map(({ path }) => path)).toEqual(paths)
})

test('the end of a request breaks everybody who asks it; what an asker has of it counts, where that is known', () => {
  const asker = { team: 'marketing' }
  expect(askerVerdict({ ...asker, knows: described }, described, undefined).verdict).toBe('broken')
  const narrow = change({ fields: { level: { type: 'integer' } } })
  expect(askerVerdict({ ...asker, knows: narrow }, described, narrow).verdict).toBe('unaffected')
  const shorter = change({ fields: { note: undefined } })
  expect(askerVerdict({ ...asker, knows: shorter }, described, shorter).verdict).toBe('unaffected')
  // Unknown: as if it had what is published, and never surely unaffected by what changes.
  expect(askerVerdict(asker, described, narrow).verdict).toBe('broken')
  expect(askerVerdict(asker, described, change({ fields: { city: text } }))).toMatchObject({
    ...{ verdict: 'possibly', reasons: [{ field: 'city' }] },
  })
  expect(askerVerdict(asker, described, described).verdict).toBe('unaffected')
})

test('the askers that the owner has heard of are named, with the version that each has', async () => {
  const bus = testBus()
  const decide = async (): Promise<undefined> => undefined
  const earlier = change({ required: ['id', 'email', 'note'] })
  const crmWith = (asked: typeof published) => team<Queryable>('crm').owns(Customer).answers(asked, decide)
  const first = await testTeam(crmWith(earlier), { bus, url: (await freshDatabase({ migrated: true })).url })
  await using sales = await testTeam(team<Queryable>('sales', { contact: '#sales' }).asks(earlier), { bus })
  await first[Symbol.asyncDispose]()
  await using crm = await testTeam(crmWith(published), { bus, url: first.url })
  await using marketing = await testTeam(team<Queryable>('marketing', { contact: '#marketing' }).asks(published), { bus })
  const heard = async () => (await crm.db.query(`select team from comity.catalog where declaration is not null order by team`)).rows
  await expect.poll(heard, { timeout: 60_000 }).toEqual([{ team: 'crm' }, { team: 'marketing' }, { team: 'sales' }])
  expect([sales.team.name, marketing.team.name]).toEqual(['sales', 'marketing'])

  const check = async (next: typeof published | undefined) => {
    const { declaration } = next === undefined ? team<Queryable>('crm').owns(Customer) : crmWith(next)
    const checks = await checkContracts(declaration, crm.team.environment)
    return checks.find(({ contract }) => contract === 'crm.change-email')
  }
  expect(await check(published)).toMatchObject({
    ...{ kind: 'request', state: 'unchanged', changes: [] },
    consumers: [
      { team: 'marketing', contact: '#marketing', verdict: 'unaffected' },
      { team: 'sales', contact: '#sales', verdict: 'unaffected' },
    ],
  })
  // Whoever has the earlier version always sends a note.
  expect(await check(change({ required: ['id', 'email', 'note'], rejects: { closed: null } }))).toMatchObject({
    state: 'changed',
    changes: [
      { field: 'note', change: 'changed', wider: false, narrower: true },
      { field: 'rejects.email-taken', change: 'removed' },
    ],
    consumers: [
      { team: 'marketing', verdict: 'broken', reasons: [{ field: 'note' }, { field: 'rejects.email-taken' }] },
      { team: 'sales', verdict: 'broken', reasons: [{ field: 'rejects.email-taken' }] },
    ],
  })
  expect(await check(undefined)).toMatchObject({ state: 'removed', consumers: [{ verdict: 'broken' }, { verdict: 'broken' }] })

  // In a rolling deploy a process of the earlier code may restart; whoever migrates registers its own version.
  const steps = async (older: boolean) => (await registrationSteps(crm.db, crmWith(earlier).declaration, older)).map(({ title }) => title)
  expect(await steps(true)).toEqual([])
  expect(await steps(false)).toEqual(['register the request crm.change-email (answered)'])

  // Registered by a library that kept no versions of requests: what the owner has said on the map.
  await crm.db.query(`delete from comity.contract_versions where topic = 'crm.change-email'`)
  expect(await check(change({ fields: { city: text } }))).toMatchObject({
    state: 'changed',
    consumers: [
      { team: 'marketing', verdict: 'unaffected' },
      { team: 'sales', verdict: 'possibly', reasons: [{ field: 'city' }] },
    ],
  })
})
