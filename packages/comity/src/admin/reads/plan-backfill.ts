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
  /** About how many rows there are, as Postgres' statistics have it. */
  readonly estimate: number
  /** The first rows as the copy would get them; null = there, but it breaks its contract, and is withheld. */
  readonly rows: readonly (Readonly<Record<string, unknown>> | null)[]
}

const ROWS = `
  select r.states, comity.backfill_estimate($1::text)::float8 as estimate
  from (select) one left join comity.backfill_parts($1::text, null, $2::int, 1000000, 1) r on true`

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
  const { entity, audience, fields } = kept
  const published = await publishedEntity(owner.database, { from: declaration.team, replica, entity: entity.name, audience, fields })
  const { rows } = await owner.database.query<{ states: string | null; estimate: number }>(ROWS, [entity.name, most])
  return {
    ...{ replica, entity: entity.name, owner: entity.owner, fields, estimate: rows[0]?.estimate ?? 0 },
    rows: rows.flatMap(({ states }) => {
      if (states === null) return []
      const [text] = published.statesOf(states)?.texts() ?? []
      return [text === undefined ? null : JSON.parse(text)]
    }),
  }
}
