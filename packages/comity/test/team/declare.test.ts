/** Declarations that can't be right are refused where they stand, before anything is opened. */
import { entity, event } from '@comity/contract'
import { type Team, team } from 'comity'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'

const state = z.object({ id: z.string(), email: z.string(), phone: z.string() })
const Customer = entity('crm.customer', { key: 'id', state })
const Granted = entity('crm.client', { key: 'id', state, audiences: { marketing: ['email'], support: ['phone'] } })
const Sent = event('mail.sent', { key: 'id', data: z.object({ id: z.string() }) })
const nothing = (): void => undefined

const code = (work: (one: Team) => unknown, name = 'marketing'): string => {
  try {
    work(team(name) as Team)
    return 'accepted'
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
}

describe('keeps', () => {
  test.each<[string, (one: Team) => unknown, string]>([
    ['a field that is granted', (one) => one.keeps(Granted, { fields: ['email'], audience: 'marketing' }), 'accepted'],
    ['a field that is not', (one) => one.keeps(Granted, { fields: ['phone'], audience: 'marketing' }), 'COMITY_FIELD_NOT_GRANTED'],
    ['an audience that there is not', (one) => one.keeps(Granted, { fields: ['email'], audience: 'sales' }), 'COMITY_UNKNOWN_AUDIENCE'],
    ['no audience where there are some', (one) => one.keeps(Granted, { fields: ['email'] }), 'COMITY_UNKNOWN_AUDIENCE'],
    ['an audience where there are none', (one) => one.keeps(Customer, { fields: ['email'], audience: 'sales' }), 'COMITY_UNKNOWN_AUDIENCE'],
    ['an objective', (one) => one.keeps(Customer, { fields: ['email'], freshness: '30s' }), 'accepted'],
    ['an objective without a unit', (one) => one.keeps(Customer, { fields: [], freshness: '30' as never }), 'COMITY_BAD_DURATION'],
    ['a field that there is not', (one) => one.keeps(Customer, { fields: ['mail' as never] }), 'COMITY_REPLICA_FIELD_UNKNOWN'],
    ['no list of fields', (one) => one.keeps(Customer, {} as never), 'COMITY_BAD_OPTION'],
    ['an option that there is not', (one) => one.keeps(Customer, { fields: [], feilds: [] } as never), 'COMITY_UNKNOWN_OPTION'],
    ['a table of three parts', (one) => one.keeps(Customer, { fields: [], table: 'a.b.c' }), 'COMITY_BAD_OPTION'],
    ['a table without a name', (one) => one.keeps(Customer, { fields: [], table: '' }), 'COMITY_BAD_OPTION'],
    ['an event', (one) => one.keeps(Sent as never, { fields: [] }), 'COMITY_NOT_AN_ENTITY'],
    ['nothing', (one) => one.keeps(undefined as never, { fields: [] }), 'COMITY_NOT_A_CONTRACT'],
    ['one entity twice', (one) => one.keeps(Customer, { fields: [] }).keeps(Customer, { fields: [] }), 'COMITY_DECLARED_TWICE'],
    [
      'one entity twice by two names',
      (one) => one.keeps(Customer, { fields: [] }).keeps(Customer, { fields: [], name: 'second', table: 'b' }),
      'accepted',
    ],
    [
      'two copies in one table',
      (one) => one.keeps(Customer, { fields: [] }).keeps(Customer, { fields: [], name: 'second' }),
      'COMITY_TABLE_KEPT_TWICE',
    ],
    [
      'some rows',
      (one) => one.keeps(Customer, { fields: [], where: { email: ['a@example.com', 'b@example.com'], id: { above: 'c' } } }),
      'accepted',
    ],
    ['no condition at all', (one) => one.keeps(Customer, { fields: [], where: {} }), 'accepted'],
    ['conditions that are none', (one) => one.keeps(Customer, { fields: [], where: [] as never }), 'COMITY_BAD_OPTION'],
    [
      'rows by a field that there is not',
      (one) => one.keeps(Customer, { fields: [], where: { mail: 'a' } as never }),
      'COMITY_WHERE_UNFIT',
    ],
    [
      'rows by a field that is not granted',
      (one) => one.keeps(Granted, { fields: [], audience: 'marketing', where: { phone: '1' } as never }),
      'COMITY_WHERE_UNFIT',
    ],
    ['rows by what is no value', (one) => one.keeps(Customer, { fields: [], where: { email: 5 as never } }), 'COMITY_WHERE_UNFIT'],
    ['rows of an empty list', (one) => one.keeps(Customer, { fields: [], where: { email: [] } }), 'COMITY_WHERE_UNFIT'],
    ['rows within no bounds', (one) => one.keeps(Customer, { fields: [], where: { email: {} } }), 'COMITY_WHERE_UNFIT'],
    [
      'rows within a bound that there is not',
      (one) => one.keeps(Customer, { fields: [], where: { email: { gt: 'a' } as never } }),
      'COMITY_WHERE_UNFIT',
    ],
    [
      'rows above a number, of texts',
      (one) => one.keeps(Customer, { fields: [], where: { email: { above: 5 as never } } }),
      'COMITY_WHERE_UNFIT',
    ],
  ])('%s', (_, work, expected) => {
    expect(code(work)).toBe(expected)
  })

  test('its own entity, for that is in its own database', () => {
    expect(code((one) => one.keeps(Customer, { fields: ['email'] }), 'crm')).toBe('COMITY_OWN_ENTITY_KEPT')
  })
})

describe('on', () => {
  test.each<[string, (one: Team) => unknown, string]>([
    ['an entity for an audience', (one) => one.on(Granted, nothing, { audience: 'support' }), 'accepted'],
    ['an audience that there is not', (one) => one.on(Granted, nothing, { audience: 'sales' }), 'COMITY_UNKNOWN_AUDIENCE'],
    ['no handler', (one) => one.on(Sent, undefined as never), 'COMITY_BAD_OPTION'],
    ['something that is no contract', (one) => one.on({} as never, nothing), 'COMITY_NOT_A_CONTRACT'],
    ['a batch of nothing', (one) => one.on(Sent, nothing, { batch: 0 }), 'COMITY_BAD_OPTION'],
    ['a batch of NaN', (one) => one.on(Sent, nothing, { batch: Number.NaN }), 'COMITY_BAD_OPTION'],
    ['fewer attempts than one', (one) => one.on(Sent, nothing, { attempts: -3 }), 'COMITY_BAD_OPTION'],
    ['no time', (one) => one.on(Sent, nothing, { timeout: '0s' }), 'COMITY_BAD_OPTION'],
    ['a time without a unit', (one) => one.on(Sent, nothing, { timeout: 5 as never }), 'COMITY_BAD_DURATION'],
  ])('%s', (_, work, expected) => {
    expect(code(work)).toBe(expected)
  })
})

describe('owns and publishes', () => {
  test.each<[string, (one: Team) => unknown, string]>([
    ['what belongs to another team', (one) => one.owns(Customer), 'COMITY_NOT_THE_OWNER'],
    ['an event of another team', (one) => one.publishes(Sent), 'COMITY_NOT_THE_OWNER'],
    ['nothing', (one) => one.publishes(undefined as never), 'COMITY_NOT_A_CONTRACT'],
  ])('%s', (_, work, expected) => {
    expect(code(work)).toBe(expected)
  })

  test('an event as an entity, and one entity twice', () => {
    expect(code((one) => one.owns(Sent as never), 'mail')).toBe('COMITY_NOT_AN_ENTITY')
    expect(code((one) => one.owns(Customer).owns(Customer), 'crm')).toBe('COMITY_DECLARED_TWICE')
    expect(code((one) => one.owns(Customer).publishes(Customer), 'crm')).toBe('COMITY_DECLARED_TWICE')
  })

  test('anything more once the team is in use', () => {
    const crm = team('crm').owns(Customer)
    expect(crm.declaration.owns).toHaveLength(1)
    expect(() => crm.publishes(event('crm.called', { key: 'id', data: state }))).toThrow(
      expect.objectContaining({ code: 'COMITY_ALREADY_IN_USE' }),
    )
  })
})

describe('team', () => {
  test.each<[string, () => unknown, string]>([
    ['a name with capitals', () => team('CRM'), 'COMITY_INVALID_NAME'],
    ['an option that there is not', () => team('crm', { databse: 'x' } as never), 'COMITY_UNKNOWN_OPTION'],
    ['a lease of nothing', () => team('crm', { lease: '0s' }), 'COMITY_BAD_OPTION'],
    ['no concurrency', () => team('crm', { concurrency: 0 }), 'COMITY_BAD_OPTION'],
    ['a namespace that is no name', () => team('crm', { namespace: 'Staging!' }), 'COMITY_INVALID_NAME'],
  ])('%s', (_, work, expected) => {
    expect(code(work)).toBe(expected)
  })

  test('publishing without a database says which option is missing', async () => {
    await expect(team('mail').publishes(Sent).start()).rejects.toMatchObject({ code: 'COMITY_NO_DATABASE' })
    await expect(team('mail', { database: 'postgres://x' }).publishes(Sent).provision()).rejects.toMatchObject({
      code: 'COMITY_NO_TRANSPORT',
    })
  })
})

test('an entity that code publishes is owned, by whichever word', () => {
  expect(team('crm').publishes(Customer).declaration).toEqual(team('crm').owns(Customer).declaration)
})
