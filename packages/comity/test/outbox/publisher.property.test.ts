import { bucketOf, keyOf } from '@comity/contract'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Publisher } from '../../src/outbox/publisher.ts'
import { arrayLiteral } from '../../src/postgres/index.ts'
import { knownFields } from '../../src/schema/index.ts'
import { Counted, Customer, Noted, Parcel, type PublishingDatabase, publishingDatabase } from './publishing.ts'

let db: PublishingDatabase
beforeAll(async () => {
  db = await publishingDatabase()
})
afterAll(() => db.close())

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom('\ud800', 'a\0', '', '\u2028', '\ufeff', '__proto__', '-0'),
)
const anyJson: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    text,
    fc.double({ noNaN: false }),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(text, tie('value'), { maxKeys: 5, noNullPrototype: true }),
  ),
})).value
/** Mostly such as a key may be, and some that it may not. */
const keyText = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }).map((key) => key.normalize('NFC')),
  fc.string({ unit: 'binary', maxLength: 80 }),
  fc.constantFrom(
    '',
    'e\u0301',
    '\u0301',
    '"',
    '\\',
    'a,b',
    '["a",1]',
    '\u007f',
    'x'.repeat(256),
    'x'.repeat(257),
    'ä'.repeat(128),
    'ä'.repeat(129),
  ),
)
const integer = fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.constantFrom(0, -0, 2 ** 53, -(2 ** 53), 1e21, 0.5))

/** `fields` of the row, or the error's code; nothing may come between. */
async function outcome(publish: () => Promise<number>): Promise<{ readonly version: number } | { readonly code: string }> {
  try {
    return { version: await publish() }
  } catch (error) {
    const { code } = error as { code: string }
    expect(code).toMatch(/^(COMITY_|CM00)/)
    return { code }
  }
}
const rowAt = async (version: number) =>
  (
    await db.query<{ key: string; tenant: string | null; payload: string }>(
      `select key, tenant, payload from comity.outbox where id = $1::text::bigint`,
      [String(version)],
    )
  ).rows[0]

test('what is accepted comes out byte for byte; what is not leaves nothing', async () => {
  const notes = new Publisher(Noted)
  const known = knownFields(Noted.schema)
  let [accepted, refused] = [0, 0]
  await fc.assert(
    fc.asyncProperty(keyText, anyJson, anyJson, async (id, body, extra) => {
      const data = { extra, id, body }
      const answer = await outcome(() => db.transaction((tx) => notes.publish(tx, data as never)))
      if ('code' in answer) {
        refused++
        return
      }
      accepted++
      expect(await rowAt(answer.version)).toEqual({ key: id, tenant: null, payload: JSON.stringify(known(data)) })
    }),
    { numRuns: 400 },
  )
  expect(accepted).toBeGreaterThan(50)
  expect(refused).toBeGreaterThan(50)
  const { rows } = await db.query<{ count: number }>(`select count(*)::int as count from comity.outbox where topic = 'crm.noted'`)
  expect(rows[0]?.count).toBe(accepted)
})

test('many at once come out as one at a time would', async () => {
  const notes = new Publisher(Noted)
  await fc.assert(
    fc.asyncProperty(fc.array(fc.jsonValue(), { minLength: 1, maxLength: 20 }), async (bodies) => {
      const data = bodies.map((body, i) => ({ id: `k${i % 3}`, body }))
      const versions = await db
        .transaction((tx) => notes.publishMany(tx, data))
        .catch((error: { code: string }) => {
          expect(error.code).toBe('COMITY_NOT_JSON_VALUE') // NUL, or half of a pair
          return []
        })
      for (const [i, version] of versions.entries()) {
        expect(await rowAt(version)).toEqual({ key: `k${i % 3}`, tenant: null, payload: JSON.stringify(data[i]) })
      }
    }),
    { numRuns: 60 },
  )
})

test('both doors make the same text of a key and a tenant, or both refuse them', async () => {
  const [customers, parcels, counts] = [new Publisher(Customer), new Publisher(Parcel), new Publisher(Counted)]
  let accepted = 0
  const agree = async (topic: string, data: Record<string, unknown>, publish: () => Promise<number>) => {
    const [byCode, bySql] = [await outcome(publish), await outcome(() => db.publishBySql(topic, JSON.stringify(data)))]
    // A lone surrogate is escaped by JSON.stringify and refused by jsonb as no JSON; the others are about the key.
    if ('code' in byCode || 'code' in bySql)
      return expect('code' in byCode && 'code' in bySql, `${JSON.stringify(data)}: ${JSON.stringify([byCode, bySql])}`).toBe(true)
    accepted++
    const { payload: _, ...left } = (await rowAt(byCode.version)) ?? { payload: '' }
    const { payload: __, ...right } = (await rowAt(bySql.version)) ?? { payload: '' }
    expect(right).toEqual(left)
  }
  await fc.assert(
    fc.asyncProperty(keyText, keyText, integer, async (id, other, number) => {
      await agree('crm.customer', { id, agencyId: other, email: '' }, () =>
        db.transaction((tx) => customers.publish(tx, { id, agencyId: other, email: '' })),
      )
      await agree('crm.parcel', { region: id, number }, () => db.transaction((tx) => parcels.publish(tx, { region: id, number })))
      await agree('crm.counted', { id: number, shop: number, n: 1 }, () =>
        db.transaction((tx) => counts.publish(tx, { id: number, shop: number, n: 1 })),
      )
    }),
    { numRuns: 200 },
  )
  expect(accepted).toBeGreaterThan(100)
})

test('the key in the outbox is the one that lanes and buckets are counted by', async () => {
  const keys = ['a', 'ä', '日本', '👩‍👩‍👧', '["a",1]', ' ']
  const { rows } = await db.query<{ key: string }>('select unnest($1::text::text[]) as key', [arrayLiteral(keys)])
  for (const [i, { key }] of rows.entries()) {
    expect(keyOf({ keyFields: ['id'] }, { id: key })).toBe(keys[i])
    expect(bucketOf(key, 64)).toBe(bucketOf(keys[i] as string, 64))
  }
})
