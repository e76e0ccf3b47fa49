import type { Declaration } from '../catalog/declaration.ts'
import type { Environment } from '../catalog/environment.ts'
import { captureProblems } from '../outbox/capture/index.ts'
import { sqlStateOf } from '../postgres/index.ts'
import {
  CaptureBroken,
  NotMigrated,
  OtherNamespace,
  OtherTeamsDatabase,
  ReadReplica,
  UnsafeDatabase,
  UnsupportedPostgres,
  VersionsCached,
} from './errors.ts'
import { registrationSteps } from './registration.ts'

const SERVER = `
  select current_setting('server_version_num')::int as version, current_setting('server_version') as shown, pg_is_in_recovery() as recovering,
    current_setting('fsync') as fsync, current_setting('full_page_writes') as full_page_writes`
const OURS = `
  select d.team, d.namespace, (select s.seqcache::int from pg_sequence s where s.seqrelid = 'comity.outbox_id'::regclass) as cache from comity.database d`

/** Looks, before a team starts, whether its database is what this code expects. Changes nothing; every refusal names the command. */
export async function verify(declaration: Declaration, environment: Environment): Promise<void> {
  const { database, team, namespace } = environment
  const server = (
    await database.query<{ version: number; shown: string; recovering: boolean; fsync: string; full_page_writes: string }>(SERVER)
  ).rows[0]
  if (server === undefined || server.version < 150_000) throw new UnsupportedPostgres({ version: server?.shown ?? 'unknown' })
  if (server.recovering) throw new ReadReplica({ team })
  if (!environment.allowUnsafe) {
    for (const setting of ['fsync', 'full_page_writes'] as const) {
      if (server[setting] === 'off') throw new UnsafeDatabase({ setting, value: 'off' })
    }
  }
  const { rows } = await database.query<{ team: string; namespace: string; cache: number }>(OURS).catch((error: unknown) => {
    // undefined_table, invalid_schema_name
    if (['42P01', '3F000'].includes(sqlStateOf(error) ?? ''))
      throw new NotMigrated({ team, pending: 'it has no schema "comity"' }, { cause: error })
    throw error
  })
  const ours = rows[0]
  if (ours === undefined) throw new NotMigrated({ team, pending: 'no team was registered' })
  if (ours.team !== team) throw new OtherTeamsDatabase({ found: ours.team, team })
  if (ours.namespace !== namespace) throw new OtherNamespace({ found: ours.namespace, namespace })
  if (ours.cache !== 1) throw new VersionsCached({ cache: ours.cache })
  const pending = await registrationSteps(database, declaration)
  if (pending.length > 0) throw new NotMigrated({ team, pending: pending.map(({ title }) => title).join('; ') })
  const problems = (await captureProblems(database)).filter(({ severe }) => severe)
  if (problems.length > 0) throw new CaptureBroken({ problems: problems.map(({ problem }) => problem).join('; ') })
}
