/** FAILURES, section 4, at the publishing door: a typed error, and nothing is stored. */
import { ComityError, type Contract, entity, event } from '@comity/contract'
import { team } from 'comity'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { Publisher, type PublishOptions } from '../../src/outbox/publisher.ts'
import { Counted, Customer, Noted, Parcel, type PublishingDatabase, publishingDatabase } from './publishing.ts'

let db: PublishingDatabase
let before: string
beforeAll(async () => {
  db = await publishingDatabase()
  await db.transaction((tx) => new Publisher(Customer).publish(tx, { id: 'c0', agencyId: 'a0', email: 'there before' }))
  before = await db.traces()
})
afterAll(() => db.close())

async function refusal(
  publish: Promise<unknown>,
): Promise<Error & { code?: string; hint?: string; path?: string; limit?: string; remedy?: string }> {
  const error = await publish.then(
    () => new TypeError('was accepted'),
    (reason: Error) => reason,
  )
  expect(await db.traces()).toBe(before)
  return error
}

const jane = { id: 'c1', agencyId: 'a1', email: 'jane@example.com' }
const note = (body: unknown) => ({ id: 'n1', body })
function nested(depth: number): unknown {
  let value: unknown = 1
  for (let level = 0; level < depth; level++) value = level % 2 === 0 ? [value] : { inner: value }
  return value
}
const cycle: Record<string, unknown> = {}
cycle.self = cycle
const tooLong = 'x'.repeat(257)

interface Refused {
  readonly title: string
  readonly contract: Contract
  readonly data: unknown
  readonly options?: object
  readonly code: string
  readonly path?: string
  readonly limit?: string
}

const byCode: readonly Refused[] = [
  { title: 'no data', contract: Noted, data: undefined, code: 'COMITY_NOT_JSON_VALUE', path: 'the data' },
  { title: 'null', contract: Noted, data: null, code: 'COMITY_INVALID_KEY', path: 'id' },
  { title: 'a text', contract: Noted, data: 'text', code: 'COMITY_INVALID_KEY', path: 'id' },
  { title: 'an array', contract: Noted, data: [1], code: 'COMITY_INVALID_KEY', path: 'id' },
  { title: 'undefined inside', contract: Noted, data: note({ a: undefined }), code: 'COMITY_NOT_JSON_VALUE', path: 'body.a' },
  { title: 'a function', contract: Noted, data: note([() => 1]), code: 'COMITY_NOT_JSON_VALUE', path: 'body[0]' },
  { title: 'a BigInt', contract: Noted, data: note({ n: 1n }), code: 'COMITY_NOT_JSON_VALUE', path: 'body.n' },
  { title: 'a Date', contract: Noted, data: note({ at: new Date(0) }), code: 'COMITY_NOT_JSON_VALUE', path: 'body.at' },
  { title: 'a Map', contract: Noted, data: note(new Map()), code: 'COMITY_NOT_JSON_VALUE', path: 'body' },
  { title: 'a cycle', contract: Noted, data: note(cycle), code: 'COMITY_NOT_JSON_VALUE', path: 'body.self' },
  { title: 'NaN', contract: Noted, data: note(Number.NaN), code: 'COMITY_NOT_JSON_VALUE', path: 'body' },
  { title: '1e400', contract: Noted, data: note([Number.POSITIVE_INFINITY]), code: 'COMITY_NOT_JSON_VALUE', path: 'body[0]' },
  { title: 'NUL in a text', contract: Noted, data: note('a\0b'), code: 'COMITY_NOT_JSON_VALUE', path: 'body' },
  { title: 'half of a surrogate pair', contract: Noted, data: note({ a: '\ud800' }), code: 'COMITY_NOT_JSON_VALUE', path: 'body.a' },
  {
    title: 'half of a surrogate pair in a name',
    contract: Noted,
    data: note({ '\udc00': 1 }),
    code: 'COMITY_NOT_JSON_VALUE',
    path: 'body.*',
  },
  { title: '__proto__', contract: Noted, data: note(JSON.parse('{"__proto__": 1}')), code: 'COMITY_NOT_JSON_VALUE' },
  { title: '65 levels', contract: Noted, data: note(nested(64)), code: 'COMITY_DATA_TOO_DEEP', limit: '64 levels' },
  {
    title: '100 001 values',
    contract: Noted,
    data: note(new Array(100_000).fill(0)),
    code: 'COMITY_DATA_TOO_MANY_NODES',
    limit: '100000 values',
  },
  { title: 'more than 1 MiB', contract: Noted, data: note('x'.repeat(1_048_576)), code: 'COMITY_DATA_TOO_LARGE', limit: '1048576 bytes' },
  {
    title: 'more than the given limit',
    contract: Noted,
    data: note('ä'.repeat(10)),
    options: { maxBytes: 20 },
    code: 'COMITY_DATA_TOO_LARGE',
    limit: '20 bytes',
  },
  {
    title: 'a limit above 8 MiB',
    contract: Noted,
    data: note(1),
    options: { maxBytes: 8_388_609 },
    code: 'COMITY_SIZE_LIMIT_TOO_HIGH',
    limit: '8388608 bytes',
  },
  { title: 'a missing field', contract: Customer, data: { id: 'c1', agencyId: 'a1' }, code: 'COMITY_INVALID_DATA', path: 'the data' },
  { title: 'a field of the wrong type', contract: Customer, data: { ...jane, email: 1 }, code: 'COMITY_INVALID_DATA', path: 'email' },
  {
    title: 'a text that is too long for its field',
    contract: Customer,
    data: { ...jane, email: 'x'.repeat(41) },
    code: 'COMITY_INVALID_DATA',
    path: 'email',
  },
  { title: 'an integer beyond 2^53', contract: Customer, data: { ...jane, visits: 2 ** 53 }, code: 'COMITY_INVALID_DATA', path: 'visits' },
  { title: 'no key', contract: Customer, data: { agencyId: 'a1', email: '' }, code: 'COMITY_INVALID_KEY', path: 'id' },
  { title: 'an empty key', contract: Customer, data: { ...jane, id: '' }, code: 'COMITY_INVALID_KEY', path: 'id' },
  {
    title: 'a key of 257 bytes',
    contract: Customer,
    data: { ...jane, id: tooLong },
    code: 'COMITY_INVALID_KEY',
    path: 'key',
    limit: '256 bytes',
  },
  {
    title: 'a composite key of 257 bytes',
    contract: Parcel,
    data: { region: 'x'.repeat(251), number: 10 },
    code: 'COMITY_INVALID_KEY',
    path: 'key',
    limit: '256 bytes',
  },
  { title: 'a control character in a key', contract: Customer, data: { ...jane, id: 'a\nb' }, code: 'COMITY_INVALID_KEY', path: 'id' },
  {
    title: 'a control character in a part of a key',
    contract: Parcel,
    data: { region: 'a\nb', number: 1 },
    code: 'COMITY_INVALID_KEY',
    path: 'region',
  },
  { title: 'an empty part of a key', contract: Parcel, data: { region: '', number: 1 }, code: 'COMITY_INVALID_KEY', path: 'region' },
  { title: 'a key that is not NFC', contract: Customer, data: { ...jane, id: 'e\u0301' }, code: 'COMITY_INVALID_KEY', path: 'id' },
  { title: 'a key of another type', contract: Customer, data: { ...jane, id: true }, code: 'COMITY_INVALID_KEY', path: 'id' },
  {
    title: 'a key that is no safe integer',
    contract: Counted,
    data: { id: 2 ** 53, shop: 1, n: 1 },
    code: 'COMITY_INVALID_KEY',
    path: 'id',
  },
  { title: 'no tenant', contract: Customer, data: { id: 'c1', email: '' }, code: 'COMITY_INVALID_DATA', path: 'the data' },
  { title: 'an empty tenant', contract: Customer, data: { ...jane, agencyId: '' }, code: 'COMITY_INVALID_KEY', path: 'agencyId' },
  {
    title: 'a tenant of 257 bytes',
    contract: Customer,
    data: { ...jane, agencyId: tooLong },
    code: 'COMITY_INVALID_KEY',
    path: 'tenant',
    limit: '256 bytes',
  },
  { title: 'the deletion of an event', contract: Noted, data: note(1), options: { deleted: true }, code: 'COMITY_PUBLISH_REFUSED' },
  {
    title: 'a version of the caller',
    contract: Customer,
    data: jane,
    options: { version: 7 },
    code: 'COMITY_UNKNOWN_OPTION',
    path: 'publish.version',
  },
  {
    title: 'a misspelt option',
    contract: Customer,
    data: jane,
    options: { delete: true },
    code: 'COMITY_UNKNOWN_OPTION',
    path: 'publish.delete',
  },
  {
    title: 'a traceparent that is none',
    contract: Noted,
    data: note(1),
    options: { traceparent: '00-x' },
    code: 'COMITY_BAD_OPTION',
    path: 'publish.traceparent',
  },
]

describe('publish refuses', () => {
  test.each(byCode)('$title', async ({ contract, data, options, code, path, limit }) => {
    const publisher = new Publisher(contract)
    for (const publish of [
      () => db.transaction((tx) => publisher.publish(tx, data as never, options as PublishOptions)),
      () => db.transaction((tx) => publisher.publishMany(tx, [data as never], options as PublishOptions)),
    ]) {
      const error = await refusal(publish())
      expect(error).toBeInstanceOf(ComityError)
      expect({ code: error.code, path: error.path, limit: error.limit }).toEqual({ code, path: path ?? error.path, limit })
      expect(error.remedy).toMatch(/\w{3}/)
      expect(error.message).not.toMatch(/\{\w+\}/)
      expect(error.message).not.toContain('jane@example.com')
    }
  })

  test('one bad message in a bulk with all the others', async () => {
    const many = [jane, { ...jane, id: '' }, { ...jane, id: 'c3' }]
    expect(await refusal(db.transaction((tx) => new Publisher(Customer).publishMany(tx, many)))).toMatchObject({
      code: 'COMITY_INVALID_KEY',
    })
  })

  test('what the database does not know', async () => {
    const Unknown = event('crm.unknown', { key: 'id', data: z.object({ id: z.string() }) })
    expect(await refusal(db.transaction((tx) => new Publisher(Unknown).publish(tx, { id: 'a' })))).toMatchObject({
      code: 'COMITY_OUTBOX_NOT_MIGRATED',
    })
  })

  test('an entity that is captured from a table', async () => {
    const Captured = entity('crm.captured', { key: 'id', state: z.object({ id: z.string() }) })
    await db.query(
      `insert into comity.contracts (topic, kind, source, key_fields, description) values ('crm.captured', 'entity', 'captured', '{id}', '{}')`,
    )
    before = await db.traces()
    expect(await refusal(db.transaction((tx) => new Publisher(Captured).publish(tx, { id: 'a' })))).toMatchObject({
      code: 'COMITY_ENTITY_IS_CAPTURED',
    })
    expect(await refusal(db.publishBySql('crm.captured', '{"id":"a"}'))).toMatchObject({ code: 'CM002' })
  })

  test('what the team does not own, and what it captures, before it asks the database', async () => {
    const Foreign = event('marketing.sent', { key: 'id', data: z.object({ id: z.string() }) })
    const crm = team('crm', { database: db.url }).owns(Customer, { table: 'customers' })
    expect(await refusal(crm.publish(db, Foreign, { id: 'a' }))).toMatchObject({ code: 'COMITY_NOT_PUBLISHED_HERE' })
    expect(await refusal(crm.publish(db, Customer, jane))).toMatchObject({ code: 'COMITY_ENTITY_IS_CAPTURED' })
    expect(() => team('crm').publishes(Foreign)).toThrow(expect.objectContaining({ code: 'COMITY_NOT_THE_OWNER' }))
    await crm.stop()
  })

  test('a pool instead of a transaction, and a transaction that is over', async () => {
    await using crm = team('crm', { database: db.url }).owns(Customer)
    expect(await refusal(crm.publish(db, Customer, jane))).toMatchObject({ code: 'COMITY_NOT_A_TRANSACTION' })
    const over = await db.transaction(async (tx) => tx)
    expect(await refusal(crm.publish(over, Customer, jane))).toMatchObject({ code: 'COMITY_TRANSACTION_IS_OVER' })
  })
})

interface RefusedBySql {
  readonly title: string
  readonly topic?: string
  readonly data: string | null
  readonly rest?: Parameters<PublishingDatabase['publishBySql']>[2]
  readonly code: string
}
const json = JSON.stringify
const bySql: readonly RefusedBySql[] = [
  { title: 'an unknown event', topic: 'crm.nothing', data: '{"id":"a"}', code: 'CM001' },
  { title: 'no data', data: null, code: 'CM004' },
  { title: 'what is not JSON', data: '{"id": ', code: 'CM004' },
  { title: 'an empty text', data: '', code: 'CM004' },
  { title: 'a byte order mark', data: '\ufeff{"id":"a","body":1}', code: 'CM004' },
  { title: 'NaN', data: '{"id":"a","body":NaN}', code: 'CM004' },
  { title: 'an escaped NUL', data: '{"id":"a","body":"\\u0000"}', code: 'CM004' },
  { title: 'half of an escaped surrogate pair', data: '{"id":"a","body":"\\ud800"}', code: 'CM004' },
  { title: 'an array', data: '[1]', code: 'CM004' },
  { title: 'a text', data: '"a"', code: 'CM004' },
  { title: 'null as JSON', data: 'null', code: 'CM004' },
  { title: '100 000 levels', data: `{"id":"a","body":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, code: 'CM004' },
  { title: 'more than 1 MiB', data: json({ id: 'a', body: 'x'.repeat(1_048_576) }), code: 'CM004' },
  { title: 'a missing field', data: '{"id":"a"}', code: 'CM004' },
  { title: 'no key', data: '{"body":1}', code: 'CM003' },
  { title: 'a key that is null', data: '{"id":null,"body":1}', code: 'CM003' },
  { title: 'an empty key', data: '{"id":"","body":1}', code: 'CM003' },
  { title: 'a key of 257 bytes', data: json({ id: tooLong, body: 1 }), code: 'CM003' },
  { title: 'a control character in a key', data: '{"id":"a\\nb","body":1}', code: 'CM003' },
  { title: 'a C1 control character in a key', data: json({ id: 'a\u0085', body: 1 }), code: 'CM003' },
  { title: 'a key that is not NFC', data: json({ id: 'e\u0301', body: 1 }), code: 'CM003' },
  { title: 'a key that is a fraction', topic: 'crm.counted', data: '{"id":1.5,"shop":1,"n":1}', code: 'CM003' },
  { title: 'a key beyond 2^53', topic: 'crm.counted', data: '{"id":9007199254740993,"shop":1,"n":1}', code: 'CM003' },
  { title: 'a control character in a part of a key', topic: 'crm.parcel', data: '{"region":"a\\nb","number":1}', code: 'CM003' },
  { title: 'an empty part of a key', topic: 'crm.parcel', data: '{"region":"","number":1}', code: 'CM003' },
  { title: 'a composite key of 257 bytes', topic: 'crm.parcel', data: json({ region: 'x'.repeat(251), number: 10 }), code: 'CM003' },
  { title: 'no tenant', topic: 'crm.customer', data: '{"id":"a","email":""}', code: 'CM003' },
  { title: 'an empty tenant', topic: 'crm.customer', data: '{"id":"a","agencyId":"","email":""}', code: 'CM003' },
  { title: 'a tenant of 257 bytes', topic: 'crm.customer', data: json({ ...jane, agencyId: tooLong }), code: 'CM003' },
  { title: 'a tenant that is not NFC', topic: 'crm.customer', data: json({ ...jane, agencyId: 'e\u0301' }), code: 'CM003' },
  { title: 'a tenant that is an object', topic: 'crm.customer', data: json({ ...jane, agencyId: {} }), code: 'CM003' },
  { title: 'the deletion of an event', data: '{"id":"a","body":1}', rest: { kind: 'deleted' }, code: 'CM006' },
  { title: 'an unknown kind', topic: 'crm.customer', data: json(jane), rest: { kind: 'banana' }, code: 'CM006' },
  { title: 'the deletion of a bad key', topic: 'crm.customer', data: null, rest: { kind: 'deleted', key: 'a\n' }, code: 'CM003' },
  { title: 'headers that are not JSON', data: '{"id":"a","body":1}', rest: { headers: 'traceparent=1' }, code: 'CM005' },
  { title: 'headers that are no object', data: '{"id":"a","body":1}', rest: { headers: '[]' }, code: 'CM005' },
  { title: 'a header that is no text', data: '{"id":"a","body":1}', rest: { headers: '{"a":1}' }, code: 'CM005' },
  { title: 'a header with an unfit name', data: '{"id":"a","body":1}', rest: { headers: '{"A-b":"1"}' }, code: 'CM005' },
  { title: 'a reserved header', data: '{"id":"a","body":1}', rest: { headers: '{"comityversion":"1"}' }, code: 'CM005' },
  { title: 'a verdict in the headers', data: '{"id":"a","body":1}', rest: { headers: '{"withheld":"x"}' }, code: 'CM005' },
  { title: 'a traceparent that is none', data: '{"id":"a","body":1}', rest: { headers: '{"traceparent":"00-x"}' }, code: 'CM005' },
  { title: 'a header of 341 bytes', data: '{"id":"a","body":1}', rest: { headers: json({ a: 'x'.repeat(341) }) }, code: 'CM005' },
  { title: 'headers of more than 8 KiB', data: '{"id":"a","body":1}', rest: { headers: json({ a: 'x'.repeat(8192) }) }, code: 'CM005' },
]

describe('select comity.publish(…) refuses', () => {
  test.each(bySql)('$title', async ({ topic = 'crm.noted', data, rest, code }) => {
    const error = await refusal(db.publishBySql(topic, data, rest))
    expect(error).toMatchObject({ code })
    expect(error.hint).toMatch(/\w{3}/)
    expect(error.message).not.toContain('jane@example.com')
  })

  test('arrays of different lengths in one bulk call', async () => {
    const call = `select comity.publish_many('crm.noted', array['{"id":"a","body":1}'], '{}', '{}', '{}', '{}') as versions`
    expect(await refusal(db.query(call))).toMatchObject({ code: 'CM004' })
  })
})

test('texts from outside are never SQL', async () => {
  const evil = `'); drop table comity.outbox cascade; --`
  const version = await db.transaction((tx) => new Publisher(Noted).publish(tx, { id: evil, body: `${evil} $1 $$` }))
  expect((await db.outbox('crm.noted')).at(-1)).toMatchObject({
    id: version,
    key: evil,
    payload: json({ id: evil, body: `${evil} $1 $$` }),
  })
  await db.publishBySql('crm.customer', json({ ...jane, id: evil, agencyId: evil }))
  await db.publishBySql('crm.customer', null, { kind: 'deleted', key: evil })
  expect((await db.outbox('crm.customer')).slice(-2)).toMatchObject([
    { key: evil, tenant: evil },
    { kind: 'deleted', key: evil, tenant: evil },
  ])
  before = await db.traces()
  expect(await refusal(db.publishBySql(evil, '{}'))).toMatchObject({ code: 'CM001' })
})
