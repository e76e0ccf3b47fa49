import type { Environment } from '../catalog/environment.ts'
import { pendingMigrations } from '../postgres/index.ts'
import { NotMigrated, OtherTeamsDatabase } from './errors.ts'
import { teamMigrations } from './migrate.ts'

/** Whether schema `comity` is in this database. Throws COMITY_OTHER_TEAMS_DATABASE when it is another team's. */
export async function isInstalled({ database, team }: Environment): Promise<boolean> {
  const { rows } = await database.query<{ here: boolean }>(`select to_regclass('comity.database') is not null as here`)
  if (!rows[0]?.here) return false
  const found = (await database.query<{ team: string }>('select team from comity.database')).rows[0]?.team
  if (found !== undefined && found !== team) throw new OtherTeamsDatabase({ found, team })
  return true
}

/** Throws COMITY_NOT_MIGRATED where {@link isInstalled} answers false. */
export async function requireInstalled(environment: Environment): Promise<void> {
  if (!(await isInstalled(environment))) throw new NotMigrated({ team: environment.team, pending: 'it has no schema "comity"' })
}

/** Throws where this database is not migrated as far as this code needs. */
export async function requireCurrent(environment: Environment): Promise<void> {
  await requireInstalled(environment)
  const pending = await pendingMigrations(environment.database, await teamMigrations())
  if (pending.length > 0) throw new NotMigrated({ team: environment.team, pending: pending.map(({ name }) => `apply ${name}`).join('; ') })
}
