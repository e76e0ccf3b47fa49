import { entity, type JsonSchema, UnknownField } from '@comity/contract'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { compile, knownFields, picker } from '../../src/schema/index.ts'

const id = z.string()
const known = (schema: z.ZodType): ((value: unknown) => unknown) =>
  knownFields(entity('crm.a', { key: 'id', state: schema as z.ZodType<{ id: string }> } as never).schema)

describe('known fields', () => {
  it('are kept, others are dropped, at every level', () => {
    const keep = known(z.object({ id, address: z.object({ zip: z.string() }).nullable(), lines: z.array(z.object({ sku: z.string() })) }))
    expect(keep({ id: 'a', secret: 1, address: { zip: 'z', secret: 1 }, lines: [{ sku: 's', secret: 1 }, { sku: 't' }] })).toEqual({
      id: 'a',
      address: { zip: 'z' },
      lines: [{ sku: 's' }, { sku: 't' }],
    })
  })

  it('are the same value if there is nothing to drop', () => {
    const keep = known(z.object({ id, lines: z.array(z.object({ sku: z.string() })) }))
    const value = { id: 'a', lines: [{ sku: 's' }] }
    expect(keep(value)).toBe(value)
    expect(keep('no object')).toBe('no object')
    expect(keep(null)).toBe(null)
  })

  it('are all of them where the schema leaves an object open', () => {
    const keep = known(
      z.object({
        id,
        any: z.unknown(),
        map: z.record(z.string(), z.number()),
        loose: z.looseObject({ a: z.string() }),
        list: z.array(z.unknown()),
      }),
    )
    const value = { id: 'a', any: { x: { y: 1 } }, map: { b: 1 }, loose: { a: 'a', z: { y: 1 } }, list: [{ x: 1 }] }
    expect(keep({ ...value, secret: 1 })).toEqual(value)
  })

  it('are those of all alternatives together', () => {
    const keep = known(
      z.object({ id, pay: z.union([z.object({ card: z.string() }), z.object({ bill: z.object({ no: z.int() }) }), z.null()]) }),
    )
    expect(keep({ id: 'a', pay: { card: 'c', secret: 1 } })).toEqual({ id: 'a', pay: { card: 'c' } })
    expect(keep({ id: 'a', pay: { bill: { no: 1, secret: 1 } } })).toEqual({ id: 'a', pay: { bill: { no: 1 } } })
    const open = known(z.object({ id, pay: z.union([z.object({ card: z.string() }), z.record(z.string(), z.string())]) }))
    expect(open({ id: 'a', pay: { anything: 'x' } })).toEqual({ id: 'a', pay: { anything: 'x' } })
  })

  it('are not opened by a mere condition', () => {
    const schema: JsonSchema = {
      type: 'object',
      properties: { a: { type: 'string' }, b: { type: 'string' } },
      anyOf: [{ required: ['a'] }, { required: ['b'] }],
      if: { properties: { a: { const: 'x' } } },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      then: { required: ['b'] },
    }
    expect(knownFields(schema)({ a: 'x', b: 'y', secret: 1 })).toEqual({ a: 'x', b: 'y' })
  })

  it('are found through references, read once each', () => {
    const $defs: Record<string, object> = { d0: { type: 'object', properties: { leaf: { type: 'string' } } } }
    for (let level = 1; level <= 40; level++) {
      $defs[`d${level}`] = { type: 'object', properties: { a: { $ref: `#/$defs/d${level - 1}` }, b: { $ref: `#/$defs/d${level - 1}` } } }
    }
    expect(knownFields({ $ref: '#/$defs/d40', $defs })({ a: { b: { secret: 1, a: {} } }, secret: 1 })).toEqual({ a: { b: { a: {} } } })
  })

  it('give what zod gives, and what the schema takes', () => {
    const schema = z.object({
      id,
      a: z.object({ b: z.array(z.object({ c: z.int() })) }).optional(),
      d: z.union([z.object({ e: z.int() }), z.null()]),
    })
    const keep = known(schema)
    const validator = compile(entity('crm.a', { key: 'id', state: schema }).schema)
    const extra = fc.dictionary(fc.constantFrom('x', 'y', 'constructor'), fc.jsonValue(), { maxKeys: 2 })
    const withExtra = <T extends object>(value: fc.Arbitrary<T>): fc.Arbitrary<T> =>
      fc.tuple(value, extra).map(([object, more]) => ({ ...more, ...object }))
    const value = withExtra(
      fc.record(
        {
          id: fc.string(),
          a: withExtra(fc.record({ b: fc.array(withExtra(fc.record({ c: fc.integer() })), { maxLength: 3 }) })),
          d: fc.option(withExtra(fc.record({ e: fc.integer() }))),
        },
        { requiredKeys: ['id', 'd'] },
      ),
    )
    fc.assert(
      fc.property(value, (data) => {
        expect(keep(data)).toEqual(schema.parse(data))
        expect(validator.validate(keep(data))).toBeUndefined()
      }),
    )
  })
})

describe('a picker', () => {
  const Customer = entity('crm.customer', {
    key: ['region', 'id'],
    tenant: 'agencyId',
    state: z.object({
      id,
      region: z.string(),
      agencyId: z.string(),
      email: z.string(),
      phone: z.string().nullable(),
      nick: z.string().optional(),
    }),
  })

  it('takes key, tenant and the declared fields', () => {
    const pick = picker(Customer, ['email', 'phone', 'nick', 'id'])
    const row = pick({ nick: 'n', id: 'a', region: 'r', agencyId: 'g', email: 'e', phone: null, secret: 1 })
    expect(row).toEqual({ region: 'r', id: 'a', agencyId: 'g', email: 'e', phone: null, nick: 'n' })
    expect(Object.keys(row)).toEqual(['region', 'id', 'agencyId', 'email', 'phone', 'nick'])
    expect(pick({ id: 'a', region: 'r', agencyId: 'g', email: 'e', phone: null })).not.toHaveProperty('nick')
  })

  it('refuses a field that the contract lacks, naming those that it has', () => {
    expect(() => picker(Customer, ['mail'])).toThrow(UnknownField)
    expect(() => picker(Customer, ['toString'])).toThrow('id, region, agencyId, email, phone, nick')
  })
})
