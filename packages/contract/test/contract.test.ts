import {
  bucketOf,
  describe as describeContract,
  entity,
  event,
  InvalidContract,
  InvalidKeyField,
  InvalidName,
  jsonSchema,
  NameTooLong,
  ReservedName,
  topicsOf,
  UnknownField,
} from '@comity/contract'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'

const state = z.object({
  id: z.string(),
  agencyId: z.string(),
  email: z.email(),
  name: z.string(),
  level: z.int(),
  nick: z.string().optional(),
})
const Customer = entity('crm.customer', { key: 'id', tenant: 'agencyId', state, contact: 'crm@example.com' })

describe('a contract', () => {
  it('says everything about an entity', () => {
    expect(Customer).toEqual({
      contractKind: 'entity',
      name: 'crm.customer',
      owner: 'crm',
      keyFields: ['id'],
      tenantField: 'agencyId',
      schema: {
        $schema: 'https://json-schema.org/draft/2020-12/schema',
        ...withoutDialect(state['~standard'].jsonSchema.input({ target: 'draft-2020-12' })),
      },
      fields: ['id', 'agencyId', 'email', 'name', 'level', 'nick'],
      ordered: true,
      audiences: {},
      contact: 'crm@example.com',
    })
  })

  it('says everything about an event', () => {
    const Sent = event('marketing.email-sent', {
      key: ['customerId', 'no'],
      data: z.object({ customerId: z.string(), no: z.int() }),
      owner: 'mailing',
    })
    expect(Sent).toMatchObject({ contractKind: 'event', owner: 'mailing', keyFields: ['customerId', 'no'], ordered: false, audiences: {} })
    expect('tenantField' in Sent).toBe(false)
    expect(event('marketing.email-sent', { key: 'id', data: z.object({ id: z.string() }), ordered: true }).ordered).toBe(true)
  })

  it('is frozen to its depth', () => {
    const walk = (value: unknown): void => {
      if (value === null || typeof value !== 'object') return
      expect(Object.isFrozen(value)).toBe(true)
      for (const inner of Object.values(value)) walk(inner)
    }
    walk(Customer)
  })

  it('does not share its schema with what it was made from', () => {
    const schema = { type: 'object', properties: { id: { type: 'string' } }, required: ['id'] }
    const contract = entity('crm.thing', { key: 'id', state: schema })
    schema.properties.id.type = 'number'
    expect(contract.schema.properties).toEqual({ id: { type: 'string' } })
  })

  it('is described by plain JSON', () => {
    const description = describeContract(Customer)
    expect(JSON.parse(JSON.stringify(description))).toEqual(description)
    expect(description).toEqual(Customer)
    const Plain = event('crm.e', { key: 'id', data: z.object({ id: z.string() }) })
    expect(JSON.parse(JSON.stringify(describeContract(Plain)))).toEqual(Plain)
  })

  it('has a topic per audience', () => {
    const Open = entity('crm.customer', { key: 'id', state, audiences: { partners: ['name', 'name'], internal: ['name', 'email'] } })
    expect(Open.audiences).toEqual({ partners: ['name'], internal: ['name', 'email'] })
    expect(topicsOf(Open)).toEqual(['crm.customer.partners', 'crm.customer.internal'])
  })
})

describe('a contract is refused', () => {
  const make =
    (options: object, name = 'crm.a'): (() => unknown) =>
    () =>
      entity(name as 'crm.a', { key: 'id', state, ...options } as never)

  it('for its name or its owner', () => {
    expect(make({}, 'Crm.a')).toThrow(InvalidName)
    expect(make({}, 'comity.a')).toThrow(ReservedName)
    expect(make({ owner: 'Crm' })).toThrow(InvalidName)
    expect(make({ owner: 'comity' })).toThrow(ReservedName)
    expect(make({}, `crm.${'a'.repeat(60)}`)).toThrow(NameTooLong)
  })

  it('for an unknown option, or none', () => {
    expect(make({ tennant: 'agencyId' })).toThrow(InvalidContract)
    expect(make({ ordered: true })).toThrow('the options of an entity are key, tenant, state')
    expect(() => entity('crm.a', undefined as never)).toThrow(InvalidContract)
    expect(make({ contact: 7 })).toThrow(InvalidContract)
  })

  it('for its key', () => {
    expect(make({ key: undefined })).toThrow(InvalidContract)
    expect(make({ key: [] })).toThrow('has no key')
    expect(make({ key: ['id', 'id'] })).toThrow('names a key field twice')
    expect(make({ key: 'uid' })).toThrow('is not in its schema')
    expect(make({ key: 'toString' })).toThrow('is not in its schema')
    expect(make({ key: 'nick' })).toThrow('may be missing')
    expect(make({ tenant: 'nick' })).toThrow(InvalidKeyField)
    expect(make({ key: 'id', state: z.object({ id: z.number() }) })).toThrow('need not be an integer')
    expect(make({ key: 'id', state: z.object({ id: z.string().nullable() }) })).toThrow('is string or null')
    expect(make({ key: 'id', state: z.object({ id: z.union([z.string(), z.int()]) }) })).toThrow('is of no single type')
    expect(make({ key: 'id', state: z.object({ id: z.object({ a: z.string() }) }) })).toThrow('is object')
  })

  it('for an audience', () => {
    expect(make({ audiences: { partners: ['mail'] } })).toThrow(UnknownField)
    expect(make({ audiences: { Partners: ['email'] } })).toThrow(InvalidName)
    expect(make({ audiences: { ['p'.repeat(60)]: ['email'] } })).toThrow('more than 63 bytes')
  })
})

describe('a key field', () => {
  it('may be a string or an integer, with a format, a choice or a reference', () => {
    const fields = {
      a: z.uuid(),
      b: z.enum(['x', 'y']),
      c: z.int().positive(),
      d: z.string().meta({ id: 'Named' }),
      e: z.string().brand('E'),
    }
    for (const key of ['a', 'b', 'c', 'd', 'e'] as const) expect(entity('crm.a', { key, state: z.object(fields) }).keyFields).toEqual([key])
  })

  it('may come from plain JSON Schema', () => {
    const schema = {
      type: 'object',
      properties: { id: { $ref: '#/$defs/id' } },
      required: ['id'],
      $defs: { id: { type: 'integer', minimum: 1 } },
    }
    expect(entity('crm.a', { key: 'id', state: schema }).keyFields).toEqual(['id'])
    expect(entity('crm.a', { key: 'id', state: jsonSchema<{ id: number }>(schema) }).keyFields).toEqual(['id'])
  })
})

describe('bucketOf', () => {
  it('gives the same bucket for ever', () => {
    // FNV-1a of the empty text, "a" and "é" (two bytes), computed apart from this code.
    expect([bucketOf('', 2 ** 32), bucketOf('a', 2 ** 32), bucketOf('é', 2 ** 32)]).toEqual([0x811c9dc5, 0xe40c292c, 0x1e9de8c1])
  })
})

function withoutDialect({ $schema, ...schema }: Record<string, unknown>): Record<string, unknown> {
  expect($schema).toBe('https://json-schema.org/draft/2020-12/schema')
  return schema
}
