/** An owner's audit of a subset tells it by SQL that is made of its conditions: it must say what comity.in_subset says, which decides everywhere else. */
import { expect, test } from 'vitest'
import { teamDatabase } from '../team-database.ts'

const VALUES = [
  ...[null, '', 'a', 'B', 'Ä', '10', 0, 1.5, 10, true, false, [1], {}],
  ...['550E8400-e29b-41d4-A716-446655440000', '550e8400-e29b-41d4-a716-446655440000', '2026-01-01T00:00:00Z', '2026-01-01T01:00:00+01:00'],
]
const OPS = ['=', 'not', '<', '<=', '>', '>=', 'in'] as const

test('each condition, of each kind of value', async () => {
  await using database = await teamDatabase()
  const conditions = OPS.flatMap((op) =>
    VALUES.flatMap((value, i) =>
      [{}, { as: 'uuid' }, { as: 'date-time' }].map((as) => ({
        field: 'f',
        op,
        value: op === 'in' ? [value, VALUES[i - 1] ?? 'z'] : value,
        ...as,
      })),
    ),
  )
  const { rows: made } = await database.query<{ sql: string }>(
    `select comity.condition_sql(c.value, 'v.value') as sql from jsonb_array_elements($1::text::jsonb) with ordinality c(value, i) order by c.i`,
    [JSON.stringify(conditions)],
  )
  const each = made.map(({ sql }, i) => `(${i}, (${sql}) is true)`)
  const { rows } = await database.query<{ condition: number; value: string; said: boolean }>(
    `select s.i as condition, v.value::text as value, s.said
     from jsonb_array_elements($1::text::jsonb) v(value) cross join lateral (values ${each.join(', ')}) s(i, said)
     where s.said <> comity.in_subset(jsonb_build_array($2::text::jsonb -> s.i), jsonb_build_object('f', v.value))`,
    [JSON.stringify(VALUES), JSON.stringify(conditions)],
  )
  expect(rows.map(({ condition, ...row }) => ({ ...conditions[condition], ...row }))).toEqual([])
  expect(made).toHaveLength(OPS.length * VALUES.length * 3)
})
