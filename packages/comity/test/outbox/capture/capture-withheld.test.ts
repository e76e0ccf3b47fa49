import { checkKey, keyOf } from '@comity/contract'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { onNewestPostgres } from '../../../../../test/support/postgres.ts'
import { arrayLiteral } from '../../../src/postgres/index.ts'
import {
  type Announced,
  type CapturedDatabase,
  capturedDatabase,
  integer,
  nullable,
  number,
  plainEntity,
  string,
} from './captured-database.ts'

const shown = ({ kind, key, tenant, payload, withheld }: Announced): unknown[] => [
  kind,
  key,
  tenant,
  payload,
  withheld?.code,
  withheld?.path,
]

onNewestPostgres('a captured write succeeds whatever its data', (server) => {
  let crm: CapturedDatabase
  beforeEach(async () => {
    crm = await capturedDatabase(server)
  })
  afterEach(() => crm[Symbol.asyncDispose]())

  it('withholds numbers that JSON does not have, each with its field', async () => {
    await crm.run('create table m (id int primary key, share float8, big bigint)')
    await crm.capture(plainEntity('id', { id: integer, share: nullable(number), big: nullable(integer) }, undefined, 'crm.m'), 'm')
    await crm.run(
      `insert into m values (1, 'NaN', 1), (2, 1, 9007199254740992), (3, '-Infinity', -9007199254740992), (4, null, null)`,
      `update m set share = 'Infinity' where id = 4`,
      'delete from m where id = 1',
    )
    expect((await crm.announced()).map(shown)).toEqual([
      ['created', '1', null, null, 'COMITY_NUMBER_NOT_FINITE', 'share'],
      ['created', '2', null, null, 'COMITY_INTEGER_UNSAFE', 'big'],
      ['created', '3', null, null, 'COMITY_NUMBER_NOT_FINITE', 'share'],
      ['created', '4', null, '{"id":4,"share":null,"big":null}', undefined, undefined],
      ['updated', '4', null, null, 'COMITY_NUMBER_NOT_FINITE', 'share'],
      ['deleted', '1', null, null, undefined, undefined],
    ])
  })

  it('withholds states above the limit, however large', async () => {
    const room = 1000 - '{"id":1,"body":"","data":null,"parts":null}'.length
    await crm.run('create table docs (id int primary key, body text, data jsonb, parts text[])')
    await crm.capture(plainEntity('id', { id: integer, body: nullable(string), data: {}, parts: {} }, undefined, 'crm.doc'), 'docs', {
      maxBytes: 1000,
    })
    await crm.run(
      'alter table docs alter body set storage external',
      `insert into docs (id, body) values (1, repeat('x', ${room}))`,
      `insert into docs (id, body) values (2, repeat('x', ${room + 1}))`,
      `insert into docs (id, body) values (4, repeat(chr(1), 20000000))`,
      `insert into docs (id, data) values (5, to_jsonb(repeat('x', 20000000)))`,
      `insert into docs (id, parts) values (6, array_fill(repeat('x', 1000), array[1000]))`,
    )
    const found = await crm.announced()
    expect(found.map(({ key, payload, withheld }) => [key, payload?.length, withheld?.code])).toEqual([
      ['1', 1000, undefined],
      ...[2, 4, 5, 6].map((key) => [String(key), undefined, 'COMITY_STATE_TOO_LARGE']),
    ])
    expect(found[1]?.withheld?.reason).toContain('1000 bytes')
  })

  it('withholds what jsonb can not keep, and depths that nobody parses', async () => {
    await crm.run('create table notes (id int primary key, note json)')
    await crm.capture(plainEntity('id', { id: integer, note: {} }, undefined, 'crm.note'), 'notes')
    await crm.run(`insert into notes values (1, '{"a":"\\u0000"}'), (2, '1e999999'), (3, (repeat('[', 5000) || repeat(']', 5000))::json)`)
    const found = await crm.announced()
    expect(found.slice(0, 2).map(({ withheld }) => withheld)).toMatchObject([
      { code: 'COMITY_JSON_UNFIT', path: 'note' },
      { code: 'COMITY_JSON_UNFIT', path: 'note' },
    ])
    expect(found[2]?.payload).toHaveLength(10_000 + '{"id":3,"note":}'.length)
  })

  it('withholds keys that are no keys, under the same text each time, and announces their end no more than their beginning', async () => {
    await crm.run('create table k (id text primary key, v int)')
    await crm.capture(plainEntity('id', { id: string, v: integer }, undefined, 'crm.k'), 'k')
    const keys = ['', 'a\tb', 'x'.repeat(257), 'e\u0301', '\u0085', 'fine', 'é', 'x'.repeat(256)]
    await crm.db.query('insert into k select unnest($1::text::text[]), 1', [arrayLiteral(keys)])
    await crm.run('update k set v = 2', 'delete from k')
    const found = await crm.announced()
    const fit = ['fine', 'é', 'x'.repeat(256)]
    for (const kind of ['created', 'updated', 'deleted']) {
      const some = found.filter((each) => each.kind === kind)
      expect(
        some
          .filter(({ withheld }) => withheld === undefined)
          .map(({ key }) => key)
          .sort(),
      ).toEqual([...fit].sort())
      expect(some.filter(({ withheld }) => withheld !== undefined).length).toBe(5)
    }
    expect(new Set(found.map(({ key }) => key)).size).toBe(keys.length)
    for (const { key, withheld } of found) {
      checkKey(key)
      if (withheld !== undefined) expect([withheld.code, withheld.path, key.slice(0, 7)]).toEqual(['COMITY_KEY_UNFIT', 'id', 'sha256:'])
    }
  })

  it('judges keys as the contract does, and writes them as keyOf does', async () => {
    const Pair = plainEntity(['a', 'b'], { a: string, b: integer }, undefined, 'crm.pair')
    await crm.run('create table pairs (a text, b int, primary key (a, b))')
    await crm.capture(Pair, 'pairs')
    const part = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }).filter((v) => v.isWellFormed() && !v.includes('\0')),
      fc.string({ unit: fc.constantFrom('"', '\\', '/', ' ', 'é', 'e', '\u0301', '\u2028', '\u007f', '\b', '😀'), maxLength: 60 }),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.tuple(part, fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })), {
          minLength: 1,
          maxLength: 50,
          selector: String,
        }),
        async (rows) => {
          await crm.run('truncate pairs')
          await crm.announced()
          await crm.db.query('insert into pairs select * from unnest($1::text::text[], $2::text::int[])', [
            arrayLiteral(rows.map(([a]) => a)),
            arrayLiteral(rows.map(([, b]) => b)),
          ])
          const expected = rows.map(([a, b]) => {
            try {
              return keyOf(Pair, { a, b })
            } catch {
              return 'withheld'
            }
          })
          const found = (await crm.announced()).map(({ key, withheld }) => (withheld === undefined ? key : 'withheld'))
          expect(found.sort()).toEqual(expected.sort())
        },
      ),
      { numRuns: 10 },
    )
  })

  it('withholds a tenant that is none, and still announces the end', async () => {
    await crm.run('create table t (id int primary key, tenant text)')
    await crm.capture(plainEntity('id', { id: integer, tenant: string }, 'tenant', 'crm.t'), 't')
    await crm.run(
      `insert into t values (1, 'a'), (2, ''), (3, null)`,
      `update t set tenant = repeat('x', 300) where id = 1`,
      'delete from t',
    )
    expect((await crm.announced()).map(shown)).toEqual([
      ['created', '1', 'a', '{"id":1,"tenant":"a"}', undefined, undefined],
      ['created', '2', null, null, 'COMITY_TENANT_UNFIT', 'tenant'],
      ['created', '3', null, '{"id":3,"tenant":null}', undefined, undefined], // the relay judges it by the contract's schema
      ['updated', '1', null, null, 'COMITY_TENANT_UNFIT', 'tenant'],
      ['deleted', '1', null, null, undefined, undefined],
      ['deleted', '2', null, null, undefined, undefined],
      ['deleted', '3', null, null, undefined, undefined],
    ])
  })

  it('withholds a row whose expression fails, and lets what is not its fault through', async () => {
    await crm.run('create table e (id int primary key, first text, last text, a int, b int)')
    await crm.capture(plainEntity('id', { id: integer, 'fullName?': string, ratio: nullable(number) }, undefined, 'crm.e'), 'e', {
      columns: { fullName: { sql: `first || ' ' || last` }, ratio: { sql: 'a::float8 / b' } },
    })
    await crm.run(
      `insert into e values (1, 'Ada', 'Lovelace', 1, 2), (2, 'Alan', null, 1, 0), (3, 'x', 'y', null, 1), (4, 'x', null, 1, 1)`,
      'alter table e rename column first to given',
      `update e set given = 'Augusta' where id = 1`,
      'update e set b = 1 where id = 2',
    )
    expect((await crm.announced()).map(({ key, payload, withheld }) => payload ?? [key, withheld?.code, withheld?.path])).toEqual([
      '{"id":1,"fullName":"Ada Lovelace","ratio":0.5}',
      ['2', 'COMITY_EXPRESSION_FAILED', 'ratio'],
      '{"id":3,"fullName":"x y","ratio":null}',
      '{"id":4,"ratio":1}',
      '{"id":1,"fullName":"Augusta Lovelace","ratio":0.5}',
      '{"id":2,"ratio":1}',
    ])
  })

  it('leaves out a field that may be missing, and keeps null where it may be null', async () => {
    await crm.run('create table o (id int primary key, a text, b text, c int, d float8)')
    await crm.capture(
      plainEntity('id', { 'a?': string, id: integer, 'b?': nullable(string), 'c?': integer, 'd?': number }, undefined, 'crm.o'),
      'o',
    )
    await crm.run(
      `insert into o values (1, null, null, null, null), (2, 'a', 'b', 3, 4)`,
      `insert into o values (3, null, null, null, 'NaN')`,
    )
    expect((await crm.announced()).map(({ payload, withheld }) => payload ?? withheld?.path)).toEqual([
      '{"id":1,"b":null}',
      '{"a":"a","id":2,"b":"b","c":3,"d":4}',
      'd',
    ])
  })
})
