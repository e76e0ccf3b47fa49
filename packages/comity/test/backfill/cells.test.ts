/** Rows as cells say what rows as JSON say, from the owner's database to the copy's table; what can't be said so is said as JSON. */
import type { JsonSchema } from '@comity/contract'
import { entity } from '@comity/contract'
import { team } from 'comity'
import { type TestBus, testBus, testTeam } from 'comity/testing'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { CELL, type CellColumn, cellsJudge, ROW, stateOfCells } from '../../src/backfill/cells.ts'
import type { Chunk } from '../../src/backfill/contracts.ts'
import { NULL_CELL } from '../../src/outbox/capture/index.ts'
import { compile } from '../../src/schema/index.ts'
import { decorateTransport } from '../../src/transport/decorate-transport.ts'
import { newCrm, newMarketing, ready } from './customers.ts'

const Note = entity('crm.note', {
  key: ['list', 'id'],
  state: z.object({
    ...{ list: z.string(), id: z.int(), title: z.string().max(20), body: z.string().nullable(), remark: z.string().optional() },
    ...{
      score: z.number().nullable(),
      day: z.iso.date(),
      done: z.boolean(),
      tags: z.array(z.string()),
      any: z.unknown(),
      secret: z.string(),
    },
  }),
})
const NOTES = `create table notes (list text, id bigint, title text not null, body text, remark text, score double precision, day date not null, done boolean not null,
  tags jsonb not null, any_ text, secret text not null, primary key (list, id))`
const KEPT = ['title', 'body', 'remark', 'score', 'day', 'done', 'tags'] as const
const awkward = fc.string({ unit: fc.constantFrom('a', 'é', '😀', ' ', '\\', '\n', '\r', '\t', '"', "'", ',', 'N'), maxLength: 8 })
const separating = fc.constantFrom(CELL, ROW, NULL_CELL, `a${CELL}b`, `a${ROW}`, `${NULL_CELL}${NULL_CELL}`)
const row = fc.record({
  list: fc.constantFrom('a', 'b', 'ü'),
  title: fc.oneof({ weight: 40, arbitrary: awkward }, { weight: 1, arbitrary: separating }),
  body: fc.option(fc.oneof({ weight: 40, arbitrary: awkward }, { weight: 1, arbitrary: separating })),
  remark: fc.option(awkward),
  score: fc.option(fc.constantFrom(0, -1.5, 1e300, 12)),
  day: fc.constantFrom('2026-02-28', '0044-03-15'),
  done: fc.boolean(),
  tags: fc.array(awkward, { maxLength: 3 }),
  any_: fc.option(fc.constantFrom('null', '1', 'a')),
})

/** The same bus for an owner whose chunks are what this makes of them. */
function changed({ memory, teams }: TestBus, change: (chunk: Chunk) => Chunk): TestBus {
  const transport = memory.connect()
  const connect = () =>
    Object.assign(
      decorateTransport(transport, {
        send(topic, messages, options) {
          const sent = messages.map((message) =>
            message.attributes['ce-type'] === 'comity.backfill-chunk'
              ? { ...message, data: JSON.stringify(change(JSON.parse(message.data))) }
              : message,
          )
          return transport.send(topic, sent, options)
        },
      }),
      { crash: () => transport.crash() },
    )
  return { memory: { guarantees: memory.guarantees, connect: connect as never }, teams }
}

test('a first load of awkward rows gives the rows that live changes give', async () => {
  const bus = testBus()
  const forms = { cells: 0, states: 0 }
  await using crm = await testTeam(team('crm', { backfill: { batch: 8 } }).owns(Note, { table: 'notes', columns: { any: 'any_' } }), {
    bus: changed(bus, (chunk) => {
      forms[chunk.table === undefined ? 'states' : 'cells']++
      return chunk
    }),
    url: (await freshDatabase({ migrated: true })).url,
    setup: (db) => db.query(NOTES),
  })
  const INSERT = `insert into notes select list, id, title, body, remark, score, day, done, tags, any_, 'not theirs' from json_populate_recordset(null::notes, $1::text::json)`
  for (const [count, seed] of [
    [270, 1],
    [30, 2],
  ] as const) {
    const rows = fc.sample(row, { numRuns: count, seed }).map((one, i) => ({ ...one, id: seed * 1000 + i }))
    await crm.db.query(INSERT, [JSON.stringify(rows)])
  }
  // 200 KB that are more than a megabyte of JSON, among rows with nothing strange.
  await crm.db.query(
    `insert into notes select 'a', -n, 'plain', case when n = 12 then repeat(E'\\x01', 200000) end, null, null, '2026-01-01', true, '[]', null, 's'
     from generate_series(1, 24) n`,
  )
  // A column of JSON takes no bare text, so a copy with `any` is filled another way.
  const keeper = async (name: string, fields: readonly ((typeof KEPT)[number] | 'any')[] = KEPT) =>
    testTeam(team(name).keeps(Note, { fields }), { bus, url: (await freshDatabase({ migrated: true })).url })
  await using filled = await keeper('filled')
  await ready(filled.db)
  expect(Math.min(forms.cells, forms.states)).toBeGreaterThan(5)
  await using announced = await keeper('announced')
  await ready(announced.db)
  // Live: each row is written once more.
  await announced.db.query('delete from crm_note')
  await crm.db.query('update notes set done = not done')
  await crm.db.query('update notes set done = not done')
  await announced.caughtUp()
  const names = 'list, id, title, body, remark, score, day, done, tags'
  const all = async (db: typeof filled.db) => (await db.query(`select ${names} from crm_note order by list collate "C", id`)).rows
  expect((await filled.db.query(`select applied::int, refused::int, withheld::int from comity.asked_backfills`)).rows).toEqual([
    { applied: 323, refused: 0, withheld: 1 },
  ])
  expect(await all(filled.db)).toEqual(await all(announced.db))
  const own = async (fields: string) =>
    (await crm.db.query(`select ${fields} from notes where id <> -12 order by list collate "C", id`)).rows
  expect(await all(filled.db)).toEqual(await own(names))
  await using mixed = await keeper('mixed', ['any'])
  await ready(mixed.db)
  expect((await mixed.db.query('select id, "any" from crm_note order by list collate "C", id')).rows).toEqual(await own('id, any_ as any'))

  // Which form a stretch has depends on its rows alone.
  const form = async (after: string | null) =>
    (
      await crm.db.query(
        `select bool_and(cells is null) as json, bool_and(kinds is not null) as asked
         from comity.backfill_parts('crm.note', $1::text::text[], 1, 1000000, 500, null, '{list,id,title,body}')`,
        [after],
      )
    ).rows[0]
  await crm.db.query(
    `insert into notes values ('x', 1, $1, null, null, null, '2026-01-01', true, '[]', null, 's'), ('x', 2, 'b', null, null, null, '2026-01-01', true, '[]', null, 's')`,
    [NULL_CELL],
  )
  expect(await form('{x,0}')).toEqual({ json: true, asked: true })
  expect(await form('{x,1}')).toEqual({ json: false, asked: true })
})

test('cells come in whatever order their owner says', async () => {
  const bus = testBus()
  const reversed = (chunk: Chunk): Chunk => {
    const { columns = [], rows = '' } = chunk.table ?? {}
    const turned = rows.split(ROW).map((row) => row.split(CELL).reverse().join(CELL))
    return chunk.table === undefined ? chunk : { ...chunk, table: { columns: columns.toReversed(), rows: turned.join(ROW) } }
  }
  await using crm = await newCrm(changed(bus, reversed), { rows: 20 })
  await using marketing = await newMarketing(bus)
  await ready(marketing.db)
  const rows = async (db: typeof crm.db, table: string) => (await db.query(`select id, email, name from ${table} order by id`)).rows
  expect(await rows(marketing.db, 'crm_customer')).toEqual(await rows(crm.db, 'customers'))
  // Nor did the audit that follows a first load have anything to put right.
  expect((await marketing.db.query('select * from comity.audit_findings')).rows).toEqual([])
  expect((await marketing.db.query('select * from comity.repairs')).rows).toEqual([])
})

const SCHEMAS: readonly JsonSchema[] = [
  { type: 'string' },
  { type: 'string', maxLength: 2 },
  { type: ['string', 'null'] },
  { type: 'integer', minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER },
  { type: 'integer', minimum: 3 },
  { type: 'number', description: 'a number' },
  { anyOf: [{ type: 'boolean' }, { type: 'null' }] },
  { type: 'boolean' },
  { type: 'array', items: { type: 'integer' } },
  { enum: ['a', 'b'] },
  { type: 'string', format: 'date' },
]
const cell = fc.constantFrom(
  'a',
  'ab',
  'abc',
  '',
  '0',
  '-0',
  '00',
  '3',
  '12',
  '-7',
  '1.5',
  '1e3',
  '9007199254740993',
  '9007199254740991',
  'true',
  'false',
  'null',
  '[]',
  '[1]',
  '["a"]',
  '"a"',
  '{',
  '2026-02-28',
  '2026-02-30',
  NULL_CELL,
)

test('a row is taken if the schema takes the state that it says, and only then', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          schema: fc.constantFrom(...SCHEMAS),
          as: fc.constantFrom('text' as const, 'json' as const),
          required: fc.boolean(),
          cell,
        }),
        {
          ...{ minLength: 1, maxLength: 4 },
        },
      ),
      (fields) => {
        const named = fields.map((field, i) => ({ ...field, name: `f${i}` }))
        const schema = {
          type: 'object',
          properties: Object.fromEntries(named.map((field) => [field.name, field.schema])),
          required: named.filter(({ required }) => required).map(({ name }) => name),
        } as JsonSchema
        const wanted = named.map(({ name, as }): CellColumn => ({ field: name, as }))
        const cells = named.map((field) => field.cell)
        const read = cellsJudge(schema, wanted)?.read(cells.join(CELL), 1)
        const isValid = compile(schema).validate(stateOfCells(schema, wanted, cells)) === undefined
        expect(read !== undefined).toBe(isValid)
        if (isValid) expect(read).toEqual([cells])
      },
    ),
    { numRuns: 300 },
  )
})

test('a text whose rows or cells are more or fewer than was said is no such text', () => {
  const judge = cellsJudge({ type: 'object', properties: { a: { type: 'string' }, b: { type: 'string' } } } as JsonSchema, [
    { field: 'a', as: 'text' },
    { field: 'b', as: 'text' },
  ])
  const text = ['1', '2'].map((n) => ['x', n].join(CELL)).join(ROW)
  expect(judge?.read(text, 2)).toEqual([
    ['x', '1'],
    ['x', '2'],
  ])
  expect(judge?.read(text, 3)).toBeUndefined()
  expect(judge?.read(text.replace('1', `1${ROW}`), 2)).toBeUndefined()
  expect(judge?.read(text.replace('1', `1${CELL}`), 2)).toBeUndefined()
})

test.each<[string, JsonSchema]>([
  ['a condition over the whole', { type: 'object', properties: { a: {} }, if: { required: ['a'] } } as JsonSchema],
  ['a field that is no column', { type: 'object', properties: { a: {}, b: {} }, required: ['b'] } as JsonSchema],
  ['a column that it does not know', { type: 'object', properties: {} } as JsonSchema],
  ['a reference', { type: 'object', properties: { a: { $ref: '#/$defs/a' } }, $defs: { a: {} } } as JsonSchema],
])('a schema with %s is for states as a whole', (_, schema) => {
  expect(cellsJudge(schema, [{ field: 'a', as: 'text' }])).toBeUndefined()
})
