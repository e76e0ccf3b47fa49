import { describe } from '@comity/contract'
import type { Declaration } from '../catalog/declaration.ts'
import type { Environment } from '../catalog/environment.ts'
import { logEvent } from '../foundation/index.ts'
import { captureProblems, snakeCase } from '../outbox/capture/index.ts'
import { pendingMigrations, type Queryable, sqlStateOf } from '../postgres/index.ts'
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
import { teamMigrations } from './migrate.ts'
import { registrationSteps } from './registration.ts'
import { sameJson } from './same-json.ts'

const SERVER = `
  select current_setting('server_version_num')::int as version, current_setting('server_version') as shown, pg_is_in_recovery() as recovering,
    current_setting('fsync') as fsync, current_setting('full_page_writes') as full_page_writes, current_setting('is_superuser') = 'on' as superuser`
interface Server {
  readonly version: number
  readonly shown: string
  readonly recovering: boolean
  readonly fsync: string
  readonly full_page_writes: string
  readonly superuser: boolean
}
const OURS = `
  select d.team, d.namespace, (select s.seqcache::int from pg_sequence s where s.seqrelid = 'comity.outbox_id'::regclass) as cache from comity.database d`

/** Looks, before a team starts, whether its database is what this code expects. Changes nothing; every refusal names the command. */
export async function verify(declaration: Declaration, environment: Environment): Promise<void> {
  const { database, team, namespace } = environment
  const server = (await database.query<Server>(SERVER)).rows[0]
  if (server === undefined || server.version < 150_000) throw new UnsupportedPostgres({ version: server?.shown ?? 'unknown' })
  if (server.recovering) throw new ReadReplica({ team })
  if (!environment.allowUnsafe) {
    for (const setting of ['fsync', 'full_page_writes'] as const) {
      if (server[setting] === 'off') throw new UnsafeDatabase({ setting, value: 'off' })
    }
    if (server.superuser && !environment.autoMigrate) logEvent(environment.logger, 'comity.superuser', {})
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
  const migrations = await pendingMigrations(database, await teamMigrations())
  const pending = [
    ...migrations.map(({ name }) => `apply ${name}`),
    ...(migrations.length > 0 ? [] : (await registrationSteps(database, declaration, true)).map(({ title }) => title)),
    ...(migrations.length > 0 ? [] : await uncaptured(database, declaration)),
  ]
  if (pending.length > 0) throw new NotMigrated({ team, pending: pending.join('; ') })
  const problems = (await captureProblems(database)).filter(({ severe }) => severe)
  if (problems.length > 0) throw new CaptureBroken({ problems: problems.map(({ problem }) => problem).join('; ') })
}

/*
 * A table by the name that this code has for it; one of that name that there is not says nothing: it may have been renamed. With its schema it is looked
 * up in the catalogue, for to_regclass throws where this role may not use the schema, and it need not.
 */
const CAPTURED = `
  select p.topic, p.fields::text as fields, c.description::text as description, p.source::oid <> case cardinality(parse_ident(d.declared))
      when 1 then to_regclass(d.declared)::oid
      when 2 then (select r.oid from pg_class r join pg_namespace n on n.oid = r.relnamespace
        where n.nspname = (parse_ident(d.declared))[1] and r.relname = (parse_ident(d.declared))[2])
    end as elsewhere
  from jsonb_to_recordset($1::text::jsonb) d(topic text, declared text)
    join comity.captures p using (topic) join comity.contracts c using (topic)`

/**
 * Owned tables that are not captured as this code declares: their changes would be announced by nobody, or in part. Code of an earlier version of
 * the contract, which restarts in a rolling deploy, finds the capture of the newer one.
 */
async function uncaptured(database: Queryable, declaration: Declaration): Promise<readonly string[]> {
  const tables = declaration.owns.flatMap(({ entity, table }) => (table === undefined ? [] : [{ topic: entity.name, declared: table }]))
  const { rows } = await database.query<{ topic: string; fields: string; description: string; elsewhere: boolean | null }>(CAPTURED, [
    JSON.stringify(tables),
  ])
  const captured = new Map(rows.map((row) => [row.topic, row]))
  return declaration.owns.flatMap(({ entity, table, columns = {} }) => {
    if (table === undefined) return []
    const capture = captured.get(entity.name)
    if (capture !== undefined && !sameJson(capture.description, JSON.stringify(describe(entity)))) return []
    const fields: readonly { field: string; column?: string; sql?: string }[] = capture === undefined ? [] : JSON.parse(capture.fields)
    const found = new Map(fields.map((one) => [one.field, one]))
    const isAsDeclared = entity.fields.every((field) => {
      const one = found.get(field)
      if (one === undefined) return false
      const declared = Object.hasOwn(columns, field) ? columns[field] : undefined
      if (typeof declared === 'object') return one.sql === declared.sql
      return one.column !== undefined && (declared === undefined ? [field, snakeCase(field)] : [declared]).includes(one.column)
    })
    return isAsDeclared && capture?.elsewhere !== true && found.size === entity.fields.length ? [] : [`capture ${table} as ${entity.name}`]
  })
}
