import type { Environment } from '../catalog/environment.ts'
import { releaseSql, runWithLockTimeout } from '../outbox/capture/index.ts'
import { NotCaptured } from './errors.ts'
import { isInstalled } from './installation.ts'

/**
 * Takes the capture of one entity's table out: its triggers, views and functions, so that a published column may be altered or dropped.
 * The table's rows and what was announced stay. Until the next `comity migrate` nothing of that table is announced.
 * @param entity its name, e.g. `crm.customer`
 */
export async function release(entity: string, environment: Environment): Promise<void> {
  const { database, team } = environment
  const { rows } = (await isInstalled(environment))
    ? await database.query<{ topic: string; open: boolean }>(
        'select topic, released_at is null as open from comity.captures order by topic',
      )
    : { rows: [] }
  const open = rows.filter((row) => row.open).map(({ topic }) => topic)
  if (!open.includes(entity)) throw new NotCaptured({ entity, team, captured: open.length === 0 ? 'nothing' : open.join(', ') })
  await runWithLockTimeout(database, releaseSql(entity))
}
