import type { Environment } from '../../catalog/environment.ts'
import { requireInstalled } from '../installation.ts'

/** One time that an entity went from one team to another, as one of the teams knows it. Times are ISO 8601. */
export interface HandOverRecord {
  readonly entity: string
  readonly from: string
  readonly to: string
  /** The last version that was `from`'s to publish. */
  readonly version: number
  readonly at: string
  /** At `from`: when every reader was told; null = not yet, or this is another team. */
  readonly toldAt: string | null
  /** At `to`: when its copy became its table; null = not yet, or this is another team. */
  readonly takenAt: string | null
}

const TIME = (column: string): string => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`
const LIST = `
  select topic as entity, owner as "from", next as "to", version::float8 as version, ${TIME('noted_at')} as at, ${TIME('told_at')} as "toldAt",
    ${TIME('taken_at')} as "takenAt"
  from comity.hand_overs order by noted_at desc, topic limit 1000`

/** The newest first. */
export async function listHandOvers(environment: Environment): Promise<readonly HandOverRecord[]> {
  await requireInstalled(environment)
  return (await environment.database.query<HandOverRecord>(LIST)).rows
}
