import type { AboutOf, DataOf, RejectsOf } from '@comity/contract'
import {
  describe as describeContract,
  entity,
  InvalidContract,
  InvalidKeyField,
  InvalidName,
  jsonSchema,
  request,
  SchemaNotObject,
} from '@comity/contract'
import { describe, expect, expectTypeOf, it } from 'vitest'
import { z } from 'zod'

const Customer = entity('crm.customer', { key: 'id', state: z.object({ id: z.string(), email: z.email() }) })
const data = z.object({ customerId: z.string(), agencyId: z.string(), email: z.email() })
const ChangeEmail = request('crm.change-customer-email', {
  entity: Customer,
  key: 'customerId',
  tenant: 'agencyId',
  data,
  rejects: { 'email-taken': z.object({ by: z.string() }), 'customer-closed': null },
  contact: 'crm@example.com',
})

describe('a request', () => {
  it('says everything about itself, as plain JSON', () => {
    const described = describeContract(ChangeEmail)
    expect(JSON.parse(JSON.stringify(described))).toEqual(described)
    expect(described).toMatchObject({
      contractKind: 'request',
      name: 'crm.change-customer-email',
      owner: 'crm',
      keyFields: ['customerId'],
      tenantField: 'agencyId',
      fields: ['customerId', 'agencyId', 'email'],
      ordered: false,
      audiences: {},
      entity: 'crm.customer',
      contact: 'crm@example.com',
    })
    expect(described.rejects?.['email-taken']).toMatchObject({ type: 'object', properties: { by: { type: 'string' } } })
    expect(described.rejects?.['customer-closed']).toBe(null)
    expect('about' in described).toBe(false)
    expect(ChangeEmail.about).toBe(Customer)
    expect(Object.isFrozen(ChangeEmail) && Object.isFrozen(ChangeEmail.rejects)).toBe(true)
  })

  it('needs no reason to be rejected for', () => {
    expect(request('crm.close-customer', { entity: Customer, key: 'customerId', data }).rejects).toEqual({})
  })

  it('is typed: its data, its reasons with what is said, the state that it is about', () => {
    expectTypeOf<DataOf<typeof ChangeEmail>>().toEqualTypeOf<{ customerId: string; agencyId: string; email: string }>()
    expectTypeOf<RejectsOf<typeof ChangeEmail>['email-taken']>().toEqualTypeOf<{ by: string }>()
    expectTypeOf<RejectsOf<typeof ChangeEmail>['customer-closed']>().toEqualTypeOf<null>()
    expectTypeOf<AboutOf<typeof ChangeEmail>>().toEqualTypeOf<{ id: string; email: string }>()
    expectTypeOf(ChangeEmail.keyFields).toEqualTypeOf<readonly 'customerId'[]>()
  })

  const given = { entity: Customer, key: 'customerId', data } as const
  it.each<[string, () => unknown, { readonly code: string }]>([
    ['about nothing', () => request('crm.x', { key: 'customerId', data } as never), InvalidContract],
    ['about something else', () => request('crm.x', { ...given, entity: ChangeEmail as never }), InvalidContract],
    ["about another team's entity", () => request('billing.x', given), InvalidContract],
    ['with an owner', () => request('billing.x', { ...given, owner: 'crm' } as never), InvalidContract],
    ['with a key of another shape', () => request('crm.x', { ...given, key: ['customerId', 'email'] }), InvalidContract],
    ['with a key that is not in its data', () => request('crm.x', { ...given, key: 'id' as never }), InvalidKeyField],
    ['with an option that there is not', () => request('crm.x', { ...given, ordered: true } as never), InvalidContract],
    ["with a reason that is the engine's", () => request('crm.x', { ...given, rejects: { conflict: null } }), InvalidContract],
    ['with a reason that is no name', () => request('crm.x', { ...given, rejects: { emailTaken: null } }), InvalidName],
    [
      'with a reason that says no object',
      () => request('crm.x', { ...given, rejects: { taken: jsonSchema({ type: 'string' }) } }),
      SchemaNotObject,
    ],
    ['without a thing in its name', () => request('crm', given), InvalidName],
  ])('%s is refused', (_, make, { code }) => {
    expect(make).toThrow(expect.objectContaining({ code }))
  })
})
