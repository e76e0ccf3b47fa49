import type { Copy } from '../replica/copy-statements.ts'
import type { ReplicaSql } from '../replica/replica-sql.ts'

/** The tables that a backfill fills: of a rebuild only the new one, for the old one may be of a shape that the new states do not fit. */
export function filledTables(copy: Copy, why: string): readonly ReplicaSql[] {
  const { rebuilt } = copy
  if (rebuilt === undefined) return why === 'rebuild' ? [] : [copy]
  return why === 'rebuild' ? [rebuilt] : [copy, rebuilt]
}
