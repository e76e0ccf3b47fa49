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
  /** About how many rows its owner has, of a subset too, as Postgres' statistics have it. */
  readonly estimate: number
  /** The first rows as the copy would get them; null = there, but it breaks its contract, and is withheld. */
  readonly rows: readonly (Readonly<Record<string, unknown>> | null)[]
}

/* Of a subset only the rows that are looked at are known: it is not searched for ten of them. */
const ROWS = `
  select r.state, r.withheld, comity.backfill_estimate($1::text)::float8 as estimate
  from (select) one left join (
    select b.state, b.withheld from comity.backfill_rows($1::text, null, case when $3::text is null then $2::int else 1000 end, 1000000) b
    where $3::text is null or b.withheld is not null or comity.in_subset($3::text::jsonb, b.state::jsonb) limit $2::int) r on true`

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
  const { rows } = await owner.database.query<{ state: string | null; withheld: string | null; estimate: number }>(ROWS, [
    ...[entity.name, most, subset === undefined ? null : JSON.stringify(subset)],
  ])
  return {
    ...{ replica, entity: entity.name, owner: entity.owner, fields, estimate: rows[0]?.estimate ?? 0 },
    rows: rows
      .filter(({ state, withheld }) => state !== null || withheld !== null)
      .map(({ state, withheld }) => {
        const said = published.stateOf(state, withheld)
        return 'text' in said ? JSON.parse(said.text) : null
      }),
  }
}
