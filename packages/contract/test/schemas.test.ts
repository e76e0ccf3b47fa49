import {
  ComityError,
  entity,
  InvalidJsonSchema,
  jsonSchema,
  SchemaChangesValue,
  SchemaNotJson,
  SchemaNotObject,
  SchemaWithoutJsonSchema,
  UnsupportedReference,
} from '@comity/contract'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'

const id = z.string()
const make = (state: unknown): ReturnType<typeof entity> => entity('crm.a', { key: 'id', state: state as never }) as never
const plain = (properties: object, rest: object = {}): object => ({
  type: 'object',
  properties: { id: { type: 'string' }, ...properties },
  required: ['id'],
  ...rest,
})

function refusal(state: unknown): ComityError {
  try {
    make(state)
  } catch (error) {
    if (error instanceof ComityError) return error
    throw error
  }
  return expect.unreachable('nothing was refused')
}

describe('a schema that changes the value is refused, with the path', () => {
  it.each<[string, string, () => unknown]>([
    ['a default', 'state.x', () => z.object({ id, x: z.string().default('y') })],
    ['a prefault', 'state.x', () => z.object({ id, x: z.string().prefault('y') })],
    ['a transform', 'state.x', () => z.object({ id, x: z.string().transform((text) => text.length) })],
    ['a transform that keeps the type', 'state.x', () => z.object({ id, x: z.string().transform((text) => text.trim()) })],
    ['a preprocess', 'state.x', () => z.object({ id, x: z.preprocess((text) => text, z.number()) })],
    ['a pipe', 'state.x', () => z.object({ id, x: z.string().pipe(z.email()) })],
    ['a codec', 'state.x', () => z.object({ id, x: z.codec(z.string(), z.string(), { decode: (text) => text, encode: (text) => text }) })],
    ['a stringbool', 'state.x', () => z.object({ id, x: z.stringbool() })],
    ['coercion', 'state.x.y', () => z.object({ id, x: z.object({ y: z.coerce.number() }) })],
    ['coercion in a list', 'state.x[]', () => z.object({ id, x: z.array(z.coerce.string()) })],
    ['trim', 'state.x', () => z.object({ id, x: z.string().trim() })],
    ['catch', 'state.x', () => z.object({ id, x: z.string().catch('y') })],
    ['coercion of the key', 'state.id', () => z.object({ id: z.coerce.string() })],
  ])('%s', (_, path, schema) => {
    const error = refusal(schema())
    expect(error).toBeInstanceOf(SchemaChangesValue)
    expect(error.path).toBe(path)
    expect(error.remedy).toContain('what goes in comes out')
  })

  it('of any library: by comparing its two JSON Schemas', () => {
    const differing = (input: object, output: object): object => ({
      '~standard': { version: 1, vendor: 'other', jsonSchema: { input: () => plain(input), output: () => plain(output) } },
    })
    expect(refusal(differing({ x: { type: 'string' } }, { x: { type: 'number' } })).path).toBe('state.x')
    expect(refusal(differing({ x: {} }, {})).path).toBe('state.x')
    expect(refusal(differing({ x: { items: { type: 'string' } } }, { x: { items: { type: 'null' } } })).path).toBe('state.x[]')
    expect(refusal(differing({ x: { enum: ['a'] } }, { x: { enum: ['a', 'b'] } })).path).toBe('state.x')
    expect(
      make(
        differing(
          { x: { type: 'object', properties: { y: {} } } },
          { x: { properties: { y: {} }, type: 'object', additionalProperties: false } },
        ),
      ).fields,
    ).toEqual(['id', 'x'])
  })
})

describe('a schema that cannot be JSON is refused, with the path', () => {
  it.each<[string, () => unknown]>([
    ['state.x.when', () => z.object({ id, x: z.object({ when: z.date() }) })],
    ['state.x[].when', () => z.object({ id, x: z.array(z.object({ when: z.date().nullable() })) })],
    ['state.x', () => z.object({ id, x: z.lazy(() => z.date()) })],
    ['state.x', () => z.object({ id, x: z.bigint() })],
    ['state.x', () => z.object({ id, x: z.undefined() })],
    ['state.x', () => z.object({ id, x: z.set(z.string()) })],
    ['state.x.*', () => z.object({ id, x: z.record(z.string(), z.map(z.string(), z.string())) })],
  ])('at %s', (path, schema) => {
    const error = refusal(schema())
    expect(error).toBeInstanceOf(SchemaNotJson)
    expect(error.path).toBe(path)
  })
})

describe('a schema is refused', () => {
  it('if its library gives no JSON Schema, naming what to do', () => {
    const error = refusal(v.object({ id: v.string() }))
    expect(error).toBeInstanceOf(SchemaWithoutJsonSchema)
    expect(error.message).toContain('valibot')
    expect(error.remedy).toContain('toStandardJsonSchema')
  })

  it('if it is not one object with fields', () => {
    const union = z.discriminatedUnion('kind', [z.object({ kind: z.literal('a'), id }), z.object({ kind: z.literal('b'), id })])
    for (const schema of [
      z.array(z.string()),
      z.string(),
      union,
      z.object({}),
      z.record(z.string(), z.string()),
      { type: ['object', 'null'] },
      {},
    ]) {
      expect(refusal(schema)).toBeInstanceOf(SchemaNotObject)
    }
  })

  it('if it is no schema', () => {
    for (const schema of [
      undefined,
      null,
      7,
      'string',
      [],
      () => ({}),
      plain({ x: 7 }),
      plain({ x: { type: 'strnig' } }),
      plain({}, { required: 'id' }),
    ]) {
      expect(refusal(schema)).toBeInstanceOf(InvalidJsonSchema)
    }
    const cycle: Record<string, unknown> = plain({}) as never
    cycle.examples = [cycle]
    expect(refusal(cycle)).toBeInstanceOf(InvalidJsonSchema)
  })

  it('if it is another draft, or uses a keyword that no one knows', () => {
    expect(refusal(plain({}, { $schema: 'http://json-schema.org/draft-07/schema#' })).message).toContain('draft-07')
    expect(refusal(plain({ x: { type: 'string', minLenght: 3 } })).message).toContain('"minLenght"')
    expect(refusal(plain({}, { $id: 'https://example.com/a' })).message).toContain('$id is not supported')
    expect(refusal(plain({ ['__proto__']: { type: 'string' } })).message).toContain('__proto__')
  })

  it('if it is too large or too deep', () => {
    expect(refusal(plain({ x: { enum: ['y'.repeat(300_000)] } })).limit).toBe('262144 characters')
    let deep: object = { type: 'string' }
    for (let level = 0; level < 70; level++) deep = { type: 'array', items: deep }
    expect(refusal(plain({ deep })).message).toContain('64 levels')
  })

  it('if it refers to another document, to nothing, or to itself', () => {
    const Tree: z.ZodType = z.lazy(() => z.object({ id, children: z.array(Tree) }))
    expect(refusal(plain({ x: { $ref: 'https://example.com/schema' } }))).toBeInstanceOf(UnsupportedReference)
    expect(refusal(plain({ x: { $ref: 'other.json#/a' } })).message).toContain('another document')
    expect(refusal(plain({ x: { $ref: '#/$defs/gone' } })).message).toContain('leads nowhere')
    expect(refusal(plain({ x: { $ref: '#' } })).message).toContain('leads back to itself')
    expect(refusal(plain({ x: { $ref: '#/$defs/a' } }, { $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } })).path).toBe(
      'state.x',
    )
    expect(refusal(z.object({ id, tree: Tree }))).toBeInstanceOf(UnsupportedReference)
    expect(refusal(z.object({ id, x: z.json() })).remedy).toContain('z.unknown()')
  })
})

describe('a schema is taken', () => {
  it('with a nest of references that would grow without end if it were written out', () => {
    const $defs: Record<string, object> = { d0: { type: 'string' } }
    for (let level = 1; level <= 40; level++) {
      $defs[`d${level}`] = { type: 'object', properties: { a: { $ref: `#/$defs/d${level - 1}` }, b: { $ref: `#/$defs/d${level - 1}` } } }
    }
    expect(make(plain({ x: { $ref: '#/$defs/d40' } }, { $defs })).fields).toEqual(['id', 'x'])
  })

  it('open: what a later version adds is ignored, except where closing tells alternatives apart', () => {
    const closed = z.strictObject({
      id,
      x: z.strictObject({ y: z.string() }),
      z: z.union([z.strictObject({ a: z.string() }), z.strictObject({ b: z.string() })]),
    })
    const schema = make(closed).schema as { properties: { x: object; z: { anyOf: object[] } } }
    expect(schema).not.toHaveProperty('additionalProperties')
    expect(schema.properties.x).not.toHaveProperty('additionalProperties')
    expect(schema.properties.z.anyOf).toEqual([
      expect.objectContaining({ additionalProperties: false }),
      expect.objectContaining({ additionalProperties: false }),
    ])
  })

  it('with integers inside of what JSON parsers agree on', () => {
    const { properties } = make(
      plain({ n: { type: 'integer' }, m: { type: ['integer', 'null'], minimum: 5 }, o: { type: ['integer', 'number'] } }),
    ).schema as { properties: object }
    expect(properties).toMatchObject({
      n: { minimum: -(2 ** 53 - 1), maximum: 2 ** 53 - 1 },
      m: { minimum: 5, maximum: 2 ** 53 - 1 },
      o: { type: ['integer', 'number'] },
    })
    expect((properties as { o: object }).o).not.toHaveProperty('maximum')
  })

  it('without annotations that a validator does not know', () => {
    expect(make(z.object({ id, x: z.string().meta({ label: 'X', title: 'x' }) })).schema.properties).toMatchObject({ x: { title: 'x' } })
    expect(JSON.stringify(make(z.object({ id, x: z.string().meta({ label: 'X' }) })).schema)).not.toContain('label')
    expect(JSON.stringify(make(plain({ x: { type: 'string', 'x-label': 'X' } })).schema)).not.toContain('x-label')
  })

  it('whatever a field is called', () => {
    expect(make(plain({ $ref: { type: 'string' }, properties: { type: 'string' }, constructor: { type: 'string' } })).fields).toEqual([
      'id',
      '$ref',
      'properties',
      'constructor',
    ])
  })

  it('with a type of its own', () => {
    expect(make(jsonSchema<{ id: string }>(plain({}) as never)).fields).toEqual(['id'])
  })
})
