import { type Declaration, inNamespace, subscriptionsOf } from '../catalog/declaration.ts'
import type { Environment } from '../catalog/environment.ts'
import { copyingSubscriptions } from '../control/copying-topics.ts'
import { erasureSubscriptions } from '../control/erasure-topics.ts'
import { systemSubscriptions } from '../control/system-topics.ts'
import { releaseSql, runWithLockTimeout } from '../outbox/capture/index.ts'
import type { Queryable } from '../postgres/index.ts'
import { UninstallBlocked, UninstallWhileRunning } from './errors.ts'
import { isInstalled } from './installation.ts'
import { teamRoles } from './roles.ts'

export interface UninstallReport {
  /** What was done, in words; with `dryRun` what would be. Empty = nothing of Comity is in this database. */
  readonly steps: readonly string[]
  /** What exists nowhere else and goes with it. */
  readonly losses: readonly string[]
  /** What is left, and whose it is. */
  readonly remains: readonly string[]
}

/**
 * Takes everything of Comity out of a team's database: capture triggers, contract views, both schemas. The team's own tables are as
 * they were; replicas stay as plain tables. Refuses while a process relays, and when something of the user's depends on it.
 */
export async function uninstall(
  declaration: Declaration,
  environment: Environment,
  options: { readonly dryRun?: boolean } = {},
): Promise<UninstallReport> {
  const { database } = environment
  if (!(await isInstalled(environment))) return { steps: [], losses: [], remains: remains([], declaration, environment) }
  await refuseWhileRunning(database, environment.team)
  await refuseDependents(database)
  const captured = await textsOf(database, 'select topic as text from comity.captures where released_at is null order by topic')
  const replicas = await textsOf(database, `select table_schema || '.' || table_name as text from comity.replicas order by 1`)
  const rebuilt = await textsOf(database, REBUILT)
  const report: UninstallReport = {
    steps: [
      ...captured.map((topic) => `stop capturing ${topic}`),
      ...rebuilt.map((table) => `drop ${table}, which a rebuild was filling`),
      'drop the schemas comity and comity_public',
    ],
    losses: [...(await textsOf(database, LOSSES)), ...(await operationsLost(database))],
    remains: remains(replicas, declaration, environment),
  }
  if (options.dryRun) return report
  // One table at a time: each waits for its own writers only.
  for (const topic of captured) await runWithLockTimeout(database, releaseSql(topic))
  await runWithLockTimeout(database, [
    ...rebuilt.map((table) => `drop table if exists ${table}`),
    'drop schema if exists comity_public cascade',
    'drop schema comity cascade',
  ])
  return report
}

/* Of a schema from before rebuilds there was none. */
const REBUILT = `
  select format('%I.%I', r.table_schema, to_jsonb(r) -> 'rebuilt' ->> 'table') as text from comity.replicas r
  where to_jsonb(r) -> 'rebuilt' ->> 'table' is not null order by 1`

const LOSSES = `
  select format('%s changes that were not sent yet', count(*)) as text
    from comity.outbox where id > (select id from comity.checkpoint where source = 'outbox') having count(*) > 0
  union all
  select format('%s changes that are withheld', count(*)) from comity.withheld where resolved_at is null having count(*) > 0
  union all
  select format('%s messages that wait in %s', count(*), k.subscription)
    from comity.waiting_keys k join comity.waiting w on w.subscription = k.subscription and w.key = k.key and w.seq > k.done group by k.subscription
  union all
  select format('%s states of %s, which has no table', count(*), h.topic)
    from comity.heads h join comity.contracts c on c.topic = h.topic and c.kind = 'entity' where not h.deleted group by h.topic`

/** A schema that was not migrated for a while has no record of operations. */
async function operationsLost(database: Queryable): Promise<readonly string[]> {
  if ((await textsOf(database, `select 'here' as text where to_regclass('comity.operations') is not null`)).length === 0) return []
  return textsOf(database, `select format('the record of %s operations', count(*)) as text from comity.operations having count(*) > 0`)
}

function remains(replicas: readonly string[], declaration: Declaration, { namespace, team }: Environment): readonly string[] {
  const subscriptions = [
    ...subscriptionsOf(declaration),
    ...systemSubscriptions(declaration),
    ...copyingSubscriptions(declaration),
    ...erasureSubscriptions(declaration),
  ].map(({ name }) => inNamespace(namespace, name))
  const { writer, runner, bus } = teamRoles(team, namespace)
  return [
    ...replicas.map((table) => `${table}: a plain table, no longer kept up to date`),
    ...(subscriptions.length === 0
      ? []
      : [`at the broker: ${subscriptions.join(', ')}, which go on collecting messages until the operator removes them`]),
    `the roles ${writer}, ${runner} and ${bus}, where they exist`,
  ]
}

async function refuseWhileRunning(database: Queryable, team: string): Promise<void> {
  const holders = await textsOf(
    database,
    `select distinct holder as text from comity.leases where expires_at > clock_timestamp() and holder is not null`,
  )
  if (holders.length > 0) throw new UninstallWhileRunning({ team, holder: holders.join(', ') })
}

/** DROP SCHEMA … CASCADE would take views and constraints of the user's with it, without a word. */
async function refuseDependents(database: Queryable): Promise<void> {
  const objects = await textsOf(database, DEPENDENTS)
  if (objects.length > 0) throw new UninstallBlocked({ objects: objects.join('; ') })
}

// Triggers are left out: those that call functions of ours are the captures'.
const DEPENDENTS = `
  with schemas as (select oid from pg_namespace where nspname in ('comity', 'comity_public')),
    relations as (select c.oid from pg_class c where c.relnamespace in (select oid from schemas)),
    ours as (
      select 'pg_class'::regclass::oid as classid, oid as objid from relations
      union all select 'pg_proc'::regclass::oid, p.oid from pg_proc p where p.pronamespace in (select oid from schemas)
      union all select 'pg_type'::regclass::oid, t.oid from pg_type t where t.typnamespace in (select oid from schemas)
      union all select 'pg_rewrite'::regclass::oid, r.oid from pg_rewrite r where r.ev_class in (select oid from relations)
      union all select 'pg_attrdef'::regclass::oid, a.oid from pg_attrdef a where a.adrelid in (select oid from relations)
      union all select 'pg_constraint'::regclass::oid, c.oid from pg_constraint c where c.conrelid in (select oid from relations)
      union all select 'pg_trigger'::regclass::oid, t.oid from pg_trigger t
    )
  select distinct pg_describe_object(d.classid, d.objid, 0) as text
  from pg_depend d join ours o on o.classid = d.refclassid and o.objid = d.refobjid
  where d.deptype in ('n', 'a') and not exists (select from ours x where x.classid = d.classid and x.objid = d.objid)
  order by 1`

async function textsOf(database: Queryable, sql: string): Promise<readonly string[]> {
  const { rows } = await database.query<{ text: string }>(sql)
  return rows.map(({ text }) => text)
}
