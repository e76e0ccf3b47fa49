import type { Queryable } from '../postgres/database.ts'

const INSIDE = `
  select coalesce(json_agg(s.n - 1), '[]')::text as inside from json_array_elements($2::text::json) with ordinality s(state, n)
  where comity.in_subset($1::text::jsonb, s.state::jsonb)`

/**
 * Which of some states a copy keeps, by their positions.
 * @param subset its conditions as JSON; undefined: all
 * @param states one JSON array
 */
export async function keptOf(sql: Queryable, subset: string | undefined, states: string): Promise<(position: number) => boolean> {
  if (subset === undefined) return () => true
  const { rows } = await sql.query<{ inside: string }>(INSIDE, [subset, states])
  const inside = new Set(JSON.parse(rows[0]?.inside ?? '[]') as number[])
  return (position) => inside.has(position)
}
