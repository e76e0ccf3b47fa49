import { entity } from '@comity/contract'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { onNewestPostgres } from '../../../../../test/support/postgres.ts'
import { type CaptureOptions, expressionsOf, inspectTable, planCapture, snakeCase } from '../../../src/outbox/capture/index.ts'
import { boolean, type CapturedDatabase, capturedDatabase, integer, number, plainEntity, string } from './captured-database.ts'

onNewestPostgres('the plan of a capture', (server) => {
  let crm: CapturedDatabase
  beforeAll(async () => {
    crm = await capturedDatabase(server)
    await crm.run(
      `create table customers (id int primary key, "agencyId" text, "fullName" text, full_name text, first text, span int4range, spot point, born date, at timestamp,
         a1 bigint not null unique deferrable, a2 int, a3 int not null, a4 text collate "C" not null, a5 uuid not null, doc jsonb, nest int[][], js json[])`,
      'create unique index on customers (a2)',
      'create unique index on customers (a3) where a3 > 0',
      `create collation anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
      'alter table customers add a6 text collate anycase not null unique',
      'create unique index on customers (a5, a4)',
      'create unique index on customers (lower(a4))',
      'create unlogged table volatile_things (id int primary key)',
      'create table parent (id int primary key)',
      'create table child () inherits (parent)',
      'create view shown as select 1 as id',
      'create table parts (id int primary key) partition by range (id)',
      'create table part1 partition of parts default',
      'create schema sales',
      'create table sales.orders (id int primary key)',
    )
  })
  afterAll(() => crm[Symbol.asyncDispose]())

  const plan = async (
    key: string | string[],
    fields: Record<string, object>,
    options: CaptureOptions = {},
    table = 'customers',
  ): Promise<unknown> => planCapture(plainEntity(key, fields), await inspectTable(crm.db, table, expressionsOf(options)), options)
  const refused = (code: string, words: RegExp = /./): object => expect.objectContaining({ code, message: expect.stringMatching(words) })

  it('finds tables by the search_path and by their schema, and says which one was meant', async () => {
    expect((await inspectTable(crm.db, 'sales.orders')).table).toBe('"sales"."orders"')
    expect((await inspectTable(crm.db, '"sales"."orders"')).name).toBe('orders')
    expect((await inspectTable(crm.db, 'customers')).schema).toBe('public')
    await expect(inspectTable(crm.db, 'custmers')).rejects.toThrow(refused('COMITY_TABLE_NOT_FOUND', /did you mean "customers"/))
    await expect(inspectTable(crm.db, 'Customers')).rejects.toThrow(refused('COMITY_TABLE_NOT_FOUND', /did you mean "customers"/))
    await expect(inspectTable(crm.db, 'nothing.like_it')).rejects.toThrow(refused('COMITY_TABLE_NOT_FOUND', /create it first/))
  })

  it.each([
    ['volatile_things', /UNLOGGED/],
    ['parent', /inherits/],
    ['child', /inherits/],
    ['shown', /not a table/],
    ['part1', /partition of another table/],
  ])('refuses %s', async (table, words) => {
    await expect(plan('id', { id: integer }, {}, table)).rejects.toThrow(refused('COMITY_TABLE_UNFIT', words))
  })

  it('resolves fields by name, else in snake_case, else as told', async () => {
    await plan('id', { id: integer, agencyId: string })
    await expect(plan('id', { id: integer, fullName: string })).rejects.toThrow(refused('COMITY_COLUMN_AMBIGUOUS', /fullName, full_name/))
    await plan('id', { id: integer, fullName: string }, { columns: { fullName: 'full_name' } })
    await expect(plan('id', { id: integer, bornn: string })).rejects.toThrow(
      refused('COMITY_COLUMN_NOT_FOUND', /did you mean columns: \{ bornn: 'born' \}/),
    )
    await expect(plan('id', { id: integer, first: string }, { columns: { frist: 'first' } })).rejects.toThrow(
      refused('COMITY_COLUMN_NOT_FOUND', /did you mean the field "first"/),
    )
    await expect(plan('id', { id: integer, aBc: string, a_bc: string }, {}, 'sales.orders')).rejects.toThrow(
      refused('COMITY_COLUMN_NOT_FOUND'),
    )
  })

  it.each([
    ['span', { span: string }, {}],
    ['span', { span: {} }, {}],
    ['spot', { spot: string }, {}],
    ['first', { first: integer }, {}],
    ['first', { first: boolean }, {}],
    ['born', { born: { type: 'string', format: 'date-time' } }, {}],
    ['at', { at: { type: 'string', format: 'date-time' } }, {}],
    ['a5', { a5: { type: 'string', format: 'email' } }, {}],
    ['doc', { doc: string }, {}],
    ['nest', { nest: { type: 'array', items: string.constructor === Object ? { type: 'boolean' } : {} } }, {}],
    ['js', { js: { type: 'array' } }, {}],
    ['first', { first: { type: 'array' } }, {}],
    ['x', { x: number }, { columns: { x: { sql: 'first' } } }],
  ])('refuses what types tell: %s as %j', async (_, fields, options) => {
    await expect(plan('id', { id: integer, ...(fields as Record<string, object>) }, options as CaptureOptions)).rejects.toThrow(
      refused('COMITY_COLUMN_TYPE_UNFIT', /columns: \{/),
    )
  })

  it.each([
    ['a1', integer, /DEFERRABLE/],
    ['a2', integer, /NULL/],
    ['a3', integer, /some of the rows/],
    ['a6', string, /nondeterministic/],
    ['a4', string, /no unique index/],
    ['a5', string, /no unique index/],
    ['doc', { type: 'string' }, /jsonb/],
  ])('refuses %s as a key', async (key, schema, words) => {
    await expect(plan(key, { [key]: schema })).rejects.toThrow(
      refused(key === 'doc' ? 'COMITY_COLUMN_TYPE_UNFIT' : 'COMITY_CAPTURE_KEY_UNFIT', words),
    )
  })

  it('takes a key of several columns in any order, and `key` as their names', async () => {
    await plan(['a4', 'a5'], { a4: string, a5: string })
    await plan(['x', 'y'], { x: string, y: string }, { key: ['a5', 'a4'] })
    await expect(plan(['x', 'y'], { x: string, y: string }, { key: 'a5' })).rejects.toThrow(
      refused('COMITY_CAPTURE_KEY_UNFIT', /1 columns are named for 2/),
    )
    await expect(plan('x', { x: integer }, { columns: { x: { sql: 'id' } } })).rejects.toThrow(
      refused('COMITY_CAPTURE_KEY_UNFIT', /is an expression/),
    )
  })

  it.each([
    ['frist', /column "frist" does not exist/],
    ['(select count(*) from parent)::text', /it reads parent/],
    ['first ||', /syntax error/],
    ['to_jsonb(customers)::text', /column "customers" does not exist/],
  ])('refuses the expression %s', async (sql, words) => {
    await expect(plan('id', { id: integer, x: string }, { columns: { x: { sql } } })).rejects.toThrow(
      refused('COMITY_EXPRESSION_UNFIT', words),
    )
  })

  it('looks at expressions without leaving a trace', async () => {
    const { expressions } = await inspectTable(crm.db, 'customers', ['first || full_name', '1'])
    expect(expressions['first || full_name']).toMatchObject({ inputs: ['first', 'full_name'], type: { name: 'text' } })
    expect(expressions['1']).toMatchObject({ inputs: [], type: { name: 'int4' } })
    expect(await crm.value(`select count(*)::int from pg_class where relname = 'comity_probe'`)).toBe(0)
  })

  it('limits the size', async () => {
    await expect(plan('id', { id: integer }, { maxBytes: 8_388_609 })).rejects.toThrow(refused('COMITY_CAPTURE_SIZE_UNFIT'))
    await expect(plan('id', { id: integer }, { maxBytes: Number.NaN })).rejects.toThrow(refused('COMITY_CAPTURE_SIZE_UNFIT'))
  })

  it('gives each audience its own topic with the fields it is granted, beside key and tenant', async () => {
    const Customer = entity('crm.customer', {
      key: 'id',
      audiences: { partners: ['first'], sales: ['first', 'born'] },
      state: {
        type: 'object',
        required: ['id', 'first'],
        properties: { born: { type: 'string', format: 'date' }, id: { type: 'integer' }, first: { type: 'string' } },
      },
    } as never)
    await crm.run('create table people (id int primary key, first text, born date)')
    for (const audience of ['partners', 'sales']) await crm.capture(Customer, 'people', { audience })
    await crm.run(`insert into people values (1, 'Ada', '1815-12-10')`, `update people set born = null`)
    expect((await crm.announced()).map(({ topic, payload }) => `${topic} ${payload}`)).toEqual([
      'crm.customer.partners {"id":1,"first":"Ada"}',
      'crm.customer.sales {"born":"1815-12-10","id":1,"first":"Ada"}',
      'crm.customer.sales {"id":1,"first":"Ada"}',
    ])
  })
})

it.each([
  ['agencyId', 'agency_id'],
  ['HTTPServer', 'http_server'],
  ['line2', 'line2'],
  ['lastHTTPCall', 'last_http_call'],
  ['already_snake', 'already_snake'],
  ['first-name', 'first_name'],
])('snakeCase(%s) is %s', (name, expected) => {
  expect(snakeCase(name)).toBe(expected)
})
