import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { arrayLiteral } from '../../src/postgres/array-literal.ts'
import { BadIdentifier, BadLiteral } from '../../src/postgres/errors.ts'
import { connect, type PostgresDatabase } from '../../src/postgres/pool.ts'
import { qualified, quoteIdentifier, quoteLiteral } from '../../src/postgres/quote.ts'

let database: PostgresDatabase
beforeAll(async () => {
  database = connect((await freshDatabase()).url)
})
afterAll(() => database?.close())

/** What Postgres can hold: no NUL, no lone surrogate. */
const text = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((value) => !value.includes('\0') && value.isWellFormed())
const awkward = fc.oneof(text, fc.stringMatching(/^['"\\{},;$ \-n]{0,12}$/))

describe('comes back from Postgres unchanged:', () => {
  test('quoteLiteral', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(awkward, { minLength: 1, maxLength: 50 }), async (values) => {
        const { rows } = await database.query<{ v: string[] }>(`select array[${values.map(quoteLiteral).join(',')}] as v`)
        expect(rows[0]?.v).toEqual(values)
      }),
      { numRuns: 50 },
    )
  })

  test('quoteIdentifier', async () => {
    const name = awkward.filter((value) => value !== '' && Buffer.byteLength(value) <= 63)
    await fc.assert(
      fc.asyncProperty(name, async (value) => {
        const { rows } = await database.query(`select 1 as ${quoteIdentifier(value)}`)
        expect(Object.keys(rows[0] ?? {})).toEqual([value])
      }),
      { numRuns: 200 },
    )
  })

  test('arrayLiteral', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.option(awkward), { maxLength: 50 }), async (values) => {
        const { rows } = await database.query<{ v: string }>('select array_to_json($1::text::text[])::text as v', [arrayLiteral(values)])
        expect(JSON.parse(rows[0]?.v as string)).toEqual(values)
      }),
      { numRuns: 100 },
    )
  })
})

test('quoteLiteral is right without standard_conforming_strings', async () => {
  await database.session(async (session) => {
    await session.query('set standard_conforming_strings = off')
    expect((await session.query(`select ${quoteLiteral("a\\'b\\")} as v`)).rows).toEqual([{ v: "a\\'b\\" }])
  })
})

test('names that Postgres would cut off or refuse are refused', () => {
  expect(quoteIdentifier('é'.repeat(31))).toBe(`"${'é'.repeat(31)}"`)
  expect(() => quoteIdentifier('é'.repeat(32))).toThrow(BadIdentifier)
  expect(() => quoteIdentifier('')).toThrow(BadIdentifier)
  expect(() => quoteIdentifier('a\0b')).toThrow(BadIdentifier)
  expect(() => quoteLiteral('a\0b')).toThrow(BadLiteral)
  expect(qualified('a"b', 'c')).toBe('"a""b"."c"')
})
