/** Rows that are copied in are those that the statement puts in, whatever their texts are. */
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { fillingOfStates, fillRows } from '../../src/backfill/fill-rows.ts'
import { connect } from '../../src/postgres/index.ts'
import type { ReplicaColumn } from '../../src/replica/replica-columns.ts'
import { createReplicaTable, replicaSql } from '../../src/replica/replica-sql.ts'

const COLUMNS: readonly ReplicaColumn[] = [
  { field: 'id', column: 'id', type: 'text', key: 0 },
  { field: 'note', column: 'a "note"', type: 'text' },
  { field: 'count', column: 'count', type: 'bigint' },
  { field: 'score', column: 'score', type: 'double precision' },
  { field: 'open', column: 'open', type: 'boolean' },
  { field: 'day', column: 'day', type: 'date' },
  { field: 'at', column: 'at', type: 'timestamptz' },
  { field: 'uid', column: 'uid', type: 'uuid' },
  { field: 'any', column: 'any', type: 'jsonb' },
]
const TABLES = [
  { name: 'r', schema: 'public', table: 'copied', columns: COLUMNS },
  { name: 'r', schema: 'public', table: 'compared', columns: COLUMNS },
] as const
const text = fc.oneof(
  fc.string({
    unit: fc.constantFrom('\\', 'N', '.', '\t', '\n', '\r', ',', '"', "'", '{', 'é', '😀', '\b', '\u007f', '\u001d', '\u001e', ' '),
    maxLength: 12,
  }),
  fc.constantFrom('\\N', '\\.', '', 'null', '\u001d'),
)
const state = fc.record(
  {
    note: fc.option(text),
    count: fc.option(fc.maxSafeInteger()),
    score: fc.option(fc.double({ noNaN: true, noDefaultInfinity: true })),
    open: fc.option(fc.boolean()),
    day: fc.option(fc.constantFrom('2026-02-28', '0001-01-01')),
    at: fc.option(fc.constantFrom('2026-02-28T01:02:03.000004Z', '1960-01-01T00:00:00Z')),
    uid: fc.option(fc.uuid()),
    any: fc.option(fc.oneof(text, fc.integer(), fc.array(text, { maxLength: 3 }), fc.dictionary(text, text, { maxKeys: 3 }))),
  },
  { requiredKeys: [] },
)

let url: string
beforeAll(async () => {
  url = (await freshDatabase()).url
  await using db = connect(url)
  await db.query('create schema comity')
  await db.query('create table comity.tombstones (replica text, key text, version bigint, primary key (replica, key))')
  for (const table of TABLES) await db.query(createReplicaTable(table))
})

test('states', async () => {
  await using db = connect(url)
  await fc.assert(
    fc.asyncProperty(fc.array(state, { minLength: 1, maxLength: 8 }), async (some) => {
      const states = some.map((one, i) => ({ id: `k${i}\\`, ...one }))
      const rows: unknown[] = []
      for (const shape of TABLES) {
        await db.query(`truncate ${shape.table}`)
        await db.transaction(async (tx) => {
          const sql = shape.table === 'copied' ? tx : { query: tx.query.bind(tx) }
          const filling = fillingOfStates(
            'r',
            7,
            states.map(({ id }) => id),
            states,
          )
          expect(await fillRows(sql, replicaSql(shape), filling)).toBe(states.length)
        })
        rows.push((await db.query(`select r::text from ${shape.table} r order by id`)).rows)
      }
      expect(rows[0]).toEqual(rows[1])
    }),
    { numRuns: 60 },
  )
})

test('where something is there already, what is newer stays', async () => {
  await using db = connect(url)
  const table = replicaSql(TABLES[0])
  await db.query('truncate copied')
  const fill = (version: number, keys: readonly string[], note: string): Promise<number> =>
    db.transaction((tx) =>
      fillRows(
        tx,
        table,
        fillingOfStates(
          'r',
          version,
          keys,
          keys.map((id) => ({ id, note })),
        ),
      ),
    )
  expect(await fill(5, ['a'], 'first')).toBe(1)
  await db.query(`insert into comity.tombstones values ('r', 'gone', 9)`)
  expect(await fill(4, ['a', 'b', 'gone'], 'older')).toBe(1)
  expect(await fill(8, ['gone'], 'older')).toBe(0)
  expect((await db.query('select id, "a ""note""" as note from copied order by id')).rows).toEqual([
    { id: 'a', note: 'first' },
    { id: 'b', note: 'older' },
  ])
})
