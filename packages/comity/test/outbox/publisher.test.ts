import { once } from 'node:events'
import { team } from 'comity'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { spawnTypeScript } from '../../../../test/support/typescript-process.ts'
import { Publisher, tokenOf } from '../../src/outbox/publisher.ts'
import { connect } from '../../src/postgres/index.ts'
import { Counted, Customer, Noted, Parcel, type PublishingDatabase, publishingDatabase } from './publishing.ts'

let db: PublishingDatabase
beforeAll(async () => {
  db = await publishingDatabase()
})
afterAll(() => db.close())

const customers = new Publisher(Customer)
const notes = new Publisher(Noted)
let people = 0
const somebody = (email = 'jane@example.com') => ({ id: `c${++people}`, agencyId: 'a1', email })
const rowsOf = async (key: string) => (await db.outbox()).filter((row) => row.key === key)
const parse = (payload: string | null) => JSON.parse(payload as string)

test('what the contract does not name stays here', async () => {
  const jane = { ...somebody(), password: 'secret' }
  await db.transaction((tx) => customers.publish(tx, jane))
  expect(await rowsOf(jane.id)).toMatchObject([
    {
      kind: 'created',
      tenant: 'a1',
      checked: true,
      headers: null,
      payload: JSON.stringify({ id: jane.id, agencyId: 'a1', email: 'jane@example.com' }),
    },
  ])
})

test('an entity is created, updated, deleted, and created again; each version is larger', async () => {
  const jane = somebody()
  const publish = (email: string) => db.transaction((tx) => customers.publish(tx, { ...jane, email }))
  const versions = [
    await publish('1@example.com'),
    await publish('2@example.com'),
    await db.transaction((tx) => customers.publish(tx, { id: jane.id } as never, { deleted: true })),
    await publish('3@example.com'),
  ]
  const rows = await rowsOf(jane.id)
  expect(rows.map(({ kind }) => kind)).toEqual(['created', 'updated', 'deleted', 'created'])
  expect(rows.map(({ id }) => id)).toEqual(versions)
  expect(versions).toEqual([...versions].sort((a, b) => a - b))
  expect(rows[2]).toMatchObject({ payload: null, tenant: 'a1' }) // the tenant of its last state
})

test('deleting what is deleted, or never was, announces nothing', async () => {
  const jane = somebody()
  const remove = () => db.transaction((tx) => customers.publish(tx, jane, { deleted: true }))
  expect(await remove()).toBe(0)
  const created = await db.transaction((tx) => customers.publish(tx, jane))
  const removed = await remove()
  expect(removed).toBeGreaterThan(created)
  expect(await remove()).toBe(removed)
  expect((await rowsOf(jane.id)).map(({ kind }) => kind)).toEqual(['created', 'deleted'])
  const { rows } = await db.query(`select 1 as one from comity.heads where key like 'c%' and version = 0`)
  expect(rows).toEqual([])
})

test('the newest state of each key stands in the heads', async () => {
  const jane = somebody('old@example.com')
  await db.transaction((tx) => customers.publish(tx, jane))
  const version = await db.transaction((tx) => customers.publish(tx, { ...jane, email: 'new@example.com' }))
  const heads = `select version::text as version, state, deleted from comity.heads where key = $1::text`
  expect((await db.query(heads, [jane.id])).rows).toEqual([
    { version: String(version), state: JSON.stringify({ ...jane, email: 'new@example.com' }), deleted: false },
  ])
  const removed = await db.transaction((tx) => customers.publish(tx, jane, { deleted: true }))
  expect((await db.query(heads, [jane.id])).rows).toEqual([{ version: String(removed), state: null, deleted: true }])
})

test('of many states of a key the last is announced, of many events each', async () => {
  const [one, two] = [somebody('1@example.com'), somebody('2@example.com')]
  const versions = await db.transaction((tx) =>
    customers.publishMany(tx, [one, two, { ...one, email: '3@example.com' }, { ...one, email: '4@example.com' }]),
  )
  expect(versions.map((version) => version > 0)).toEqual([false, true, false, true])
  expect(parse((await rowsOf(one.id))[0]?.payload ?? '')).toMatchObject({ email: '4@example.com' })
  expect(await rowsOf(one.id)).toHaveLength(1)

  const drawn = await db.transaction((tx) =>
    notes.publishMany(
      tx,
      [1, 2, 3].map((body) => ({ id: 'many', body })),
    ),
  )
  const rows = await rowsOf('many')
  expect(rows.map(({ id }) => id)).toEqual(drawn)
  expect(rows.map(({ payload }) => parse(payload).body)).toEqual([1, 2, 3])
  expect(await db.transaction((tx) => notes.publishMany(tx, []))).toEqual([])
})

test('many by SQL, whose keys stand only in the data, are announced by key too', async () => {
  const [one, two] = [somebody(), somebody()]
  const texts = [one, two, { ...one, email: 'last@example.com' }].map((data) => `'${JSON.stringify(data)}'`)
  await db.query(`with v as (select array_fill(null::text, array[3]) n)
    select comity.publish_many('crm.customer', array[${texts.join(', ')}], n, n, n, n)::text as versions from v`)
  expect((await rowsOf(one.id)).map(({ payload }) => parse(payload).email)).toEqual(['last@example.com'])
  expect(await rowsOf(two.id)).toHaveLength(1)
})

test('a rollback leaves nothing, a savepoint only what it kept', async () => {
  const [gone, kept] = [somebody(), somebody()]
  const before = await db.traces()
  await expect(
    db.transaction(async (tx) => {
      await customers.publish(tx, gone)
      throw new RangeError('rolled back on purpose')
    }),
  ).rejects.toThrow(RangeError)
  expect(await db.traces()).toBe(before)
  const token = await db.transaction(async (tx) => {
    await tx.query('savepoint s')
    await customers.publish(tx, gone)
    await tx.query('rollback to s')
    await customers.publish(tx, kept)
    return tokenOf(tx, Customer, kept.id)
  })
  expect(await rowsOf(gone.id)).toEqual([])
  expect(await rowsOf(kept.id)).toMatchObject([{ id: token.version, kind: 'created' }])
})

test('a token names what this transaction published for the key, last', async () => {
  const jane = somebody()
  await db.transaction((tx) => customers.publish(tx, jane))
  await db.transaction(async (tx) => {
    const nothing = { code: 'COMITY_NOTHING_PUBLISHED' }
    await expect(tokenOf(tx, Customer, jane.id)).rejects.toMatchObject(nothing)
    const first = await customers.publish(tx, jane)
    expect(await tokenOf(tx, Customer, jane.id)).toEqual({ topic: 'crm.customer', key: jane.id, version: first })
    const second = await customers.publish(tx, { ...jane, email: 'b@example.com' })
    expect((await tokenOf(tx, Customer, jane.id)).version).toBe(second)
    await expect(tokenOf(tx, Customer, 'other')).rejects.toMatchObject(nothing)
  })
  await using crm = team('crm', { database: db.url }).owns(Parcel)
  const token = await db.transaction(async (tx) => {
    await crm.publish(tx, Parcel, { region: 'eu', number: 7 })
    return crm.token(tx, Parcel, { region: 'eu', number: 7 })
  })
  expect(token).toMatchObject({ topic: 'crm.parcel', key: '["eu",7]' })
})

test('a trace context travels in the headers', async () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  await db.transaction((tx) => notes.publish(tx, { id: 'traced', body: 1 }, { traceparent }))
  await db.publishBySql('crm.noted', '{"id":"traced","body":2}', { headers: JSON.stringify({ traceparent, mine: 'grüße' }) })
  expect((await rowsOf('traced')).map(({ headers }) => parse(headers))).toEqual([{ traceparent }, { traceparent, mine: 'grüße' }])
})

test('by SQL, alone, is a transaction of its own', async () => {
  const version = await db.publishBySql('crm.noted', '{"id": "by sql",  "body": [1.0, 1e2]}')
  expect(await rowsOf('by sql')).toMatchObject([
    { id: version, kind: 'event', checked: false, payload: '{"id": "by sql",  "body": [1.0, 1e2]}' },
  ])
})

test('by SQL an entity is deleted by its key alone, or by its key fields', async () => {
  const [one, two] = [somebody(), somebody()]
  await db.transaction((tx) => customers.publishMany(tx, [one, two]))
  await db.publishBySql('crm.customer', null, { kind: 'deleted', key: one.id })
  await db.publishBySql('crm.customer', JSON.stringify({ id: two.id }), { kind: 'deleted' })
  for (const { id } of [one, two]) expect((await rowsOf(id)).at(-1)).toMatchObject({ kind: 'deleted', tenant: 'a1', payload: null })
})

test('a publishing transaction waits for its commit to be durable, whatever its session says', async () => {
  const show = `select current_setting('synchronous_commit') as setting`
  await db.session(async (session) => {
    const setting = async () => (await session.query<{ setting: string }>(show)).rows[0]?.setting
    await session.query('set synchronous_commit = off')
    await session.query('begin')
    expect(await setting()).toBe('off')
    await notes.publish(session, { id: 'durable', body: 1 })
    expect(await setting()).toBe('on')
    await session.query('commit')
    expect(await setting()).toBe('off')
    await session.query('set synchronous_commit = remote_apply') // more than on: not ours to lower
    await session.query('begin')
    await notes.publish(session, { id: 'durable', body: 2 })
    expect(await setting()).toBe('remote_apply')
    await session.query('rollback')
  })
})

test('the role of an application needs EXECUTE, and nothing else', async () => {
  await db.query(`create role publisher_test_app login`)
  try {
    await db.query('grant usage on schema comity to publisher_test_app')
    await db.query(
      'grant execute on function comity.publish(text, text, text, text, text, text, boolean), comity.token(text, text) to publisher_test_app',
    )
    const url = new URL(db.url)
    url.username = 'publisher_test_app'
    await using app = connect(url.href)
    const token = await app.transaction(async (tx) => {
      await new Publisher(Counted).publish(tx, { id: 1, shop: 2, n: 3 })
      return tokenOf(tx, Counted, '1')
    })
    expect(await rowsOf('1')).toMatchObject([{ id: token.version, tenant: '2' }])
    await expect(app.query('select 1 as one from comity.outbox')).rejects.toMatchObject({ code: '42501' })
  } finally {
    await db.query('drop owned by publisher_test_app')
    await db.query('drop role publisher_test_app')
  }
})

test('a process that only publishes starts nothing, and ends by itself', async () => {
  const { url, close } = await publishingDatabase()
  await close()
  const child = spawnTypeScript(new URL('publish-only.ts', import.meta.url), [url], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  let published = 0
  child.stdout?.on('data', (data) => {
    said += String(data)
    published = performance.now()
  })
  const [code] = (await once(child, 'exit')) as [number]
  expect(code).toBe(0)
  expect(performance.now() - published).toBeLessThan(5000) // no timer of ours holds it: the shortest runs 10 s
  await using database = connect(url)
  const { rows } = await database.query(`select id::text as id from comity.outbox where key = 'c1'`)
  expect(rows).toEqual([{ id: said.trim() }])
}, 90_000)
