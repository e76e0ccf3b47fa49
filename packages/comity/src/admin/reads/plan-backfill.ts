import { publishedEntity } from '../../backfill/published-entity.ts'
import type { Declaration } from '../../catalog/declaration.ts'
import type { Environment } from '../../catalog/environment.ts'
import { CopyNotHere } from '../errors.ts'

/** What a backfill of a copy would bring. */
export interface BackfillPlan {
  readonly replica: string
  readonly entity: string
  readonly owner: string
  readonly fields: readonly string[]
  /** About how many rows its owner has, of a subset too: by statistics, or by a sample where there are none. */
  readonly estimate: number
  /** The first rows as the copy would get them; null = there, but it breaks its contract, and is withheld. */
  readonly rows: readonly (Readonly<Record<string, unknown>> | null)[]
}

/* Of a subset only the rows that are looked at are known: it is not searched for ten of them. */
const ROWS = `
  select r.states, comity.backfill_estimate($1::text)::float8 as estimate
  from (select) one left join (
    select p.states from comity.backfill_parts($1::text, null, case when $3::text is null then $2::int else 1000 end, 1000000, 1, $3::text::jsonb) p
    where p.states <> '[]' or p.withheld <> '[]' limit $2::int) r on true`

/**
 * Ten rows through the projection of a copy, and an estimate; changes nothing, and is read in the owner's database.
 * Throws COMITY_COPY_NOT_HERE, and COMITY_BACKFILL_REFUSED for what its owner would refuse.
 */
export async function planBackfill(
  copy: { readonly declaration: Declaration; readonly replica: string },
  owner: Pick<Environment, 'database'>,
  most: number = 10,
): Promise<BackfillPlan> {
  const { declaration, replica } = copy
  const kept = declaration.keeps.find(({ name }) => name === replica)
  if (kept === undefined)
    throw new CopyNotHere({ team: declaration.team, replica, copies: declaration.keeps.map(({ name }) => name).join(', ') || 'none' })
  const { entity, audience, fields, subset } = kept
  const published = await publishedEntity(owner.database, {
    from: declaration.team,
    replica,
    entity: entity.name,
    audience,
    fields,
    subset,
  })
  const { rows } = await owner.database.query<{ states: string | null; estimate: number }>(ROWS, [
    ...[entity.name, most, subset === undefined ? null : JSON.stringify(subset)],
  ])
  return {
    ...{ replica, entity: entity.name, owner: entity.owner, fields, estimate: rows[0]?.estimate ?? 0 },
    rows: rows.flatMap(({ states }) => {
      if (states === null) return []
      const [text] = published.statesOf(states)?.texts() ?? []
      return [text === undefined ? null : JSON.parse(text)]
    }),
  }
}
