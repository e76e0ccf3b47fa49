import type { DataOf, Entity, Event, FieldOf, JsonValue, ReplicaRow, StateOf } from '@comity/contract'
import { entity, event, jsonSchema } from '@comity/contract'
import { describe, expectTypeOf, it } from 'vitest'
import { z } from 'zod'

const Customer = entity('crm.customer', {
  key: 'id',
  tenant: 'agencyId',
  state: z.object({
    id: z.string(),
    agencyId: z.string(),
    email: z.email(),
    name: z.string(),
    phone: z.string().nullable(),
    note: z.string().optional(),
    score: z.int(),
  }),
})
const EmailSent = event('marketing.email-sent', {
  key: 'customerId',
  data: z.object({ customerId: z.string(), campaignId: z.string() }),
})

describe('types', () => {
  it('gives the state and the data of a contract', () => {
    expectTypeOf<StateOf<typeof Customer>>().toEqualTypeOf<{
      id: string
      agencyId: string
      email: string
      name: string
      phone: string | null
      note?: string | undefined
      score: number
    }>()
    expectTypeOf<DataOf<typeof EmailSent>>().toEqualTypeOf<{ customerId: string; campaignId: string }>()
    expectTypeOf(Customer.name).toEqualTypeOf<'crm.customer'>()
    expectTypeOf(Customer.keyFields).toEqualTypeOf<readonly 'id'[]>()
  })

  it('gives the fields of a contract', () => {
    expectTypeOf<FieldOf<typeof Customer>>().toEqualTypeOf<'id' | 'agencyId' | 'email' | 'name' | 'phone' | 'note' | 'score'>()
    expectTypeOf<FieldOf<typeof EmailSent>>().toEqualTypeOf<'customerId' | 'campaignId'>()
  })

  it('gives the row of a replica: key, tenant and declared fields', () => {
    expectTypeOf<ReplicaRow<typeof Customer, 'email' | 'name'>>().toEqualTypeOf<{
      id: string
      agencyId: string
      email: string
      name: string
    }>()
    expectTypeOf<ReplicaRow<typeof Customer, 'phone' | 'note'>>().toEqualTypeOf<{
      id: string
      agencyId: string
      phone: string | null
      note: string | null
    }>()
  })

  it('refuses a wrong field in a replica row', () => {
    // @ts-expect-error no field "mail"
    type Wrong = ReplicaRow<typeof Customer, 'mail'>
    expectTypeOf<Wrong>().not.toBeNever()
  })

  it('refuses wrong fields in a contract', () => {
    const state = z.object({
      id: z.string(),
      region: z.int(),
      email: z.string().nullable(),
      nick: z.string().optional(),
      active: z.boolean(),
    })
    const wrong = [
      // @ts-expect-error no field "uid"
      () => entity('crm.a', { key: 'uid', state }),
      // @ts-expect-error a nullable field is no key
      () => entity('crm.a', { key: 'email', state }),
      // @ts-expect-error an optional field is no key
      () => entity('crm.a', { key: ['id', 'nick'], state }),
      // @ts-expect-error a boolean is no tenant
      () => entity('crm.a', { key: 'id', tenant: 'active', state }),
      // @ts-expect-error no field "mail"
      () => entity('crm.a', { key: 'id', state, audiences: { partners: ['mail'] } }),
      // @ts-expect-error an entity has no data
      () => entity('crm.a', { key: 'id', data: state }),
    ]
    expectTypeOf(wrong).toBeArray()
    expectTypeOf(entity('crm.a', { key: ['region', 'id'], tenant: 'region', state }).keyFields).toEqualTypeOf<
      readonly ('region' | 'id')[]
    >()
  })

  it('takes plain JSON Schema, with and without a type', () => {
    const schema = { type: 'object', properties: { id: { type: 'string' }, size: { type: 'number' } }, required: ['id'] } as const
    const Typed = entity('crm.typed', { key: 'id', state: jsonSchema<{ id: string; size?: number }>(schema) })
    expectTypeOf<ReplicaRow<typeof Typed, 'size'>>().toEqualTypeOf<{ id: string; size: number | null }>()
    const Untyped = entity('crm.untyped', { key: 'id', state: schema })
    expectTypeOf<FieldOf<typeof Untyped>>().toEqualTypeOf<string>()
    expectTypeOf<ReplicaRow<typeof Untyped, 'size'>>().toEqualTypeOf<{ id: JsonValue; size: JsonValue }>()
  })

  it('has one type for all entities and one for all events', () => {
    expectTypeOf(Customer).toExtend<Entity>()
    expectTypeOf(EmailSent).toExtend<Event>()
    expectTypeOf(EmailSent).not.toExtend<Entity>()
  })

  it('keeps a brand, and ignores what an open object does not declare', () => {
    const Branded = entity('crm.branded', { key: 'id', state: z.looseObject({ id: z.string().brand('CustomerId'), name: z.string() }) })
    expectTypeOf<FieldOf<typeof Branded>>().toEqualTypeOf<'id' | 'name'>()
    expectTypeOf<ReplicaRow<typeof Branded, 'name'>['id']>().toEqualTypeOf<string & z.$brand<'CustomerId'>>()
  })
})
