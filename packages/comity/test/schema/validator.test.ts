import { entity } from '@comity/contract'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { compile, PatternBacktracks, SchemaCannotBeUsed } from '../../src/schema/index.ts'

const state = z.object({
  id: z.string(),
  email: z.email(),
  phone: z.string().nullable(),
  level: z.int(),
  at: z.iso.datetime(),
  lines: z.array(z.object({ sku: z.string().max(5), count: z.int().min(1) })),
  byMail: z.record(z.string(), z.number()),
  pay: z.union([z.object({ kind: z.literal('card'), last4: z.string().length(4) }), z.object({ kind: z.literal('bill') })]).optional(),
})
const Customer = entity('crm.customer', { key: 'id', state })
const validator = compile(Customer.schema)
const good = {
  id: 'a',
  email: 'a@example.com',
  phone: null,
  level: 1,
  at: '2026-01-01T00:00:00.123456Z',
  lines: [{ sku: 'x', count: 1 }],
  byMail: { a: 1 },
}

describe('a validator', () => {
  it('takes what fits, and fields that it does not know', () => {
    expect(validator.validate(good)).toBeUndefined()
    expect(validator.validate({ ...good, later: 1, lines: [{ sku: 'x', count: 1, later: 2 }] })).toBeUndefined()
  })

  it.each<[string, unknown, string, string]>([
    ['a wrong type', { ...good, id: 7 }, 'id', 'must be string'],
    ['a wrong nullable', { ...good, phone: 7 }, 'phone', 'must be string or null'],
    ['an undefined field', { ...good, email: undefined }, 'the data', "must have required property 'email'"],
    ['a field left out', without(good, 'email'), 'the data', "must have required property 'email'"],
    ['a format', { ...good, email: 'nobody' }, 'email', 'must match'],
    ['another time zone', { ...good, at: '2026-01-01T00:00:00+00:00' }, 'at', 'must match'],
    ['a day that is none', { ...good, at: '2026-02-30T00:00:00Z' }, 'at', 'must match'],
    ['an integer with a fraction', { ...good, level: 1.5 }, 'level', 'must be integer'],
    ['an integer beyond 2^53', { ...good, level: 2 ** 53 }, 'level', 'must be <= 9007199254740991'],
    ['a list', { ...good, lines: [good.lines[0], { sku: 'longer', count: 1 }] }, 'lines[1].sku', 'more than 5 characters'],
    ['a number that is none', { ...good, byMail: { a: Number.NaN } }, 'byMail.*', 'must be number'],
    ['the furthest alternative', { ...good, pay: { kind: 'card', last4: '123' } }, 'pay.last4', 'fewer than 4 characters'],
    ['no object', [], 'the data', 'must be object'],
    ['nothing', undefined, 'the data', 'must be object'],
  ])('names the path of %s', (_, value, path, message) => {
    const problem = validator.validate(value)
    expect(problem?.path).toBe(path)
    expect(problem?.message).toContain(message)
  })

  it('agrees with zod', () => {
    const simple = z.object({
      id: z.string().min(1).max(3),
      n: z.int().nullable(),
      e: z.enum(['a', 'b']).optional(),
      l: z.array(z.boolean()).max(2),
    })
    const ours = compile(entity('crm.a', { key: 'id', state: simple }).schema)
    const value = fc.record(
      {
        id: fc.oneof(fc.string({ maxLength: 4 }), fc.anything()),
        n: fc.oneof(fc.integer(), fc.double(), fc.constant(null)),
        e: fc.constantFrom('a', 'b', 'c', 7),
        l: fc.array(fc.oneof({ arbitrary: fc.boolean(), weight: 9 }, { arbitrary: fc.constant('x' as const), weight: 1 }), {
          maxLength: 3,
        }),
      },
      { requiredKeys: ['id', 'l'] },
    )
    fc.assert(
      fc.property(value, (data) => {
        expect(ours.validate(data) === undefined).toBe(simple.safeParse(data).success)
      }),
      { numRuns: 1000 },
    )
  })

  it('never shows the value, nor a name out of it', () => {
    const secret = 'Zsecret@example.comZ'
    const closed = compile({
      type: 'object',
      properties: {
        m: { type: 'object', additionalProperties: { type: 'object', additionalProperties: false } },
        n: { type: 'object', propertyNames: { maxLength: 3 } },
        u: { type: 'array', uniqueItems: true },
      },
    })
    const problems = [
      ...['id', 'email', 'phone', 'level', 'at', 'lines', 'byMail', 'pay'].map((field) =>
        validator.validate({ ...good, [field]: { [secret]: secret } }),
      ),
      validator.validate({ ...good, byMail: { [secret]: 'x' } }),
      validator.validate({ ...good, email: secret.repeat(20) }),
      closed.validate({ m: { [secret]: { [secret]: 1 } } }),
      closed.validate({ n: { [secret]: 1 } }),
      closed.validate({ u: [secret, secret] }),
    ]
    for (const problem of problems) {
      expect(problem).toBeDefined()
      expect(JSON.stringify(problem)).not.toContain('secret')
    }
  })

  it('does not mistake what an object inherits for a field', () => {
    const typed = compile({
      type: 'object',
      properties: { constructor: { type: 'string' }, toString: { type: 'string' } },
      required: ['toString'],
    })
    expect(typed.validate({})?.message).toContain('toString')
    expect(typed.validate({ toString: 'a' })).toBeUndefined()
  })

  it('is made once per schema', () => {
    expect(compile(Customer.schema)).toBe(validator)
  })

  it('leaves no trace of one schema in the next', () => {
    for (let round = 0; round < 3; round++)
      expect(compile({ $defs: { a: { type: 'string' } }, $ref: '#/$defs/a' }).validate(1)?.message).toBe('must be string')
  })
})

describe('a format', () => {
  it.each([
    ['uuid', '3f0e8a2c-1f0a-4b52-9d6f-0d9c3c1f7a11', 'x'],
    ['date', '2028-02-29', '2027-02-29'],
    ['uri', 'https://example.com/a', 'a b'],
    ['ipv4', '127.0.0.1', '256.0.0.1'],
  ])('%s is checked', (format, right, wrong) => {
    const one = compile({ type: 'string', format })
    expect(one.validate(right)).toBeUndefined()
    expect(one.validate(wrong)?.message).toBe(`must match format "${format}"`)
  })

  it('that nobody knows is an annotation', () => {
    expect(compile({ type: 'string', format: 'cuid2' }).validate('anything')).toBeUndefined()
  })
})

describe('a schema is refused', () => {
  it.each<[string, Record<string, unknown>]>([
    ['an unknown type', { type: 'strnig' }],
    ['an unknown keyword', { type: 'string', minLenght: 3 }],
    ['a keyword of the wrong kind', { type: 'string', minLength: 'three' }],
    ['a keyword without its type', { type: 'object', properties: { a: { minLength: 3 } } }],
    ['a broken pattern', { type: 'string', pattern: '(' }],
    ['a reference to another document', { $ref: 'https://example.com/schema.json' }],
    ['a reference to nothing', { type: 'object', properties: { a: { $ref: '#/$defs/gone' } } }],
    ['a reference to itself', { $ref: '#' }],
  ])('for %s', (_, schema) => {
    expect(() => compile(schema)).toThrow(SchemaCannotBeUsed)
  })

  it('for a pattern that backtracks, with its path', () => {
    const schema = { type: 'object', properties: { lines: { type: 'array', items: { type: 'string', pattern: '^(a+)+$' } } } }
    expect(() => compile(schema)).toThrow(PatternBacktracks)
    expect(() => compile(schema)).toThrow(expect.objectContaining({ path: 'the data.lines[]' }))
    expect(() => compile({ type: 'object', patternProperties: { '^(a+)+$': { type: 'string' } } })).toThrow(PatternBacktracks)
    expect(() => compile({ type: 'object', patternProperties: { '^a*a*b$': { type: 'string' } } })).toThrow(PatternBacktracks)
  })

  it('not for a slow pattern: that bounds the text', () => {
    const slow = compile({ type: 'string', pattern: '^a*a*b$' })
    expect(slow.validate(`${'a'.repeat(2000)}b`)).toBeUndefined()
    expect(slow.validate(`${'a'.repeat(4000)}b`)?.message).toContain('more than 2236 characters')
    expect(compile({ type: 'string', pattern: '^a*a*b$', maxLength: 5 }).validate('aaaaab')?.message).toContain('more than 5 characters')
  })

  it('not for a text of megabytes', () => {
    const words = compile({ type: 'string', pattern: '^(?:[A-Za-z0-9+/]{4})*$' })
    expect(words.validate('abcd'.repeat(2_000_000))?.message ?? 'fits').toMatch(
      /^(?:fits|contains a text that is too long for its pattern)$/,
    )
  })
})

function without<T extends object>(value: T, field: keyof T): Partial<T> {
  const { [field]: _, ...rest } = value
  return rest as Partial<T>
}
