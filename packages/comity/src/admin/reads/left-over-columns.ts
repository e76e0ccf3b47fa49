import type { Declaration } from '../../catalog/declaration.ts'
import type { Queryable } from '../../postgres/database.ts'
import { CopyNotHere } from '../errors.ts'
import { replicaShape } from '../replica-shape.ts'
import { shapeChanges } from '../shape-changes.ts'

/** Columns of a copy that its declaration has no more. Throws COMITY_COPY_NOT_HERE. */
export async function leftOverColumns(
  declaration: Declaration,
  { database }: { readonly database: Queryable },
  replica: string,
): Promise<readonly string[]> {
  const kept = declaration.keeps.find(({ name }) => name === replica)
  const { rows } = await database.query<{ columns: string }>('select columns::text as columns from comity.replicas where name = $1::text', [
    replica,
  ])
  if (kept === undefined || rows[0] === undefined)
    throw new CopyNotHere({ team: declaration.team, replica, copies: declaration.keeps.map(({ name }) => name).join(', ') || 'none' })
  return shapeChanges(JSON.parse(rows[0].columns), replicaShape(kept).columns).leftOver.map(({ column }) => column)
}
