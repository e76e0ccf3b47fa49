import type { Declaration, Kept } from '../catalog/declaration.ts'
import { SESSION_SETTINGS } from '../outbox/capture/index.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import { describeError, type Queryable, qualified, quoteIdentifier, quoteLiteral } from '../postgres/index.ts'
import {
  ReplicaBeingRebuilt,
  ReplicaChanged,
  ReplicaColumnsHaveDependents,
  ReplicaColumnTaken,
  ReplicaTableTaken,
} from '../replica/errors.ts'
import type { ReplicaColumn, ReplicaShape } from '../replica/replica-columns.ts'
import { columnDefinition, createReplicaTable } from '../replica/replica-sql.ts'
import { columnDependents, isDependent } from './column-dependents.ts'
import { replicaShape } from './replica-shape.ts'
import { sameJson } from './same-json.ts'
import { type ShapeChanges, shapeChanges, widenedValue } from './shape-changes.ts'
import type { Step } from './step.ts'

interface RegisteredReplica {
  readonly name: string
  readonly table: string
  readonly columns: string
  readonly subset: string | null
  readonly former: string
  readonly rebuilding: boolean
}
const REGISTERED = `
  select name, table_schema || '.' || table_name as "table", columns::text as columns, subset::text as subset, former_subsets::text as former,
    rebuilt is not null as rebuilding
  from comity.replicas order by name`

/**
 * What the copies of this database need to be as they are declared.
 * @param older whether the code may be older than the database: a copy may have wider types, and another subset of rows where it had that before
 */
export async function replicaSteps(database: Queryable, declaration: Declaration, older = false): Promise<readonly Step[]> {
  const { rows } = await database.query<RegisteredReplica>(REGISTERED)
  const registered = new Map(rows.map((row) => [row.name, row]))
  const steps: Step[] = []
  for (const kept of declaration.keeps) {
    const before = registered.get(kept.name)
    if (before === undefined) steps.push(await creation(database, kept))
    else {
      const changed = changes(kept, before, older)
      // Code that only looks whether it may start is told what to run.
      if (changed.length > 0 && !older) await refuseDependents(database, kept, before)
      steps.push(...changed)
    }
  }
  return steps
}

/** What is there and not declared, with what can be done about it: never done by itself. */
export async function replicaNotes(database: Queryable, declaration: Declaration): Promise<readonly string[]> {
  const { rows } = await database.query<RegisteredReplica>(REGISTERED)
  return rows.flatMap(({ name, table, columns }) => {
    const kept = declaration.keeps.find((one) => one.name === name)
    if (kept === undefined)
      return [
        `no code keeps ${name} any more: its table ${table} and its subscription stay as they are; "comity replica drop ${name}" takes them away, with --keep-table or --drop-table`,
      ]
    const { leftOver } = shapeChanges(JSON.parse(columns), replicaShape(kept).columns)
    if (leftOver.length === 0) return []
    const what = leftOver.map(({ field, column }) => (field === column ? column : `${column} (${field})`)).join(', ')
    return [`nothing declares ${what} of ${table} any more: kept, and kept true; "comity replica narrow ${name}" drops it`]
  })
}

async function creation(database: Queryable, kept: Kept): Promise<Step> {
  const shape = replicaShape(kept)
  const table = `${kept.schema}.${kept.table}`
  // In one snapshot: since it was asked what is registered, another process that migrates may have made both.
  const taken = await database.query<{ taken: boolean }>(
    `select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1::text and c.relname = $2::text)
       and not exists (select from comity.replicas where name = $3::text) as taken`,
    [kept.schema, kept.table, kept.name],
  )
  if (taken.rows[0]?.taken) throw new ReplicaTableTaken({ table, replica: kept.name })
  const values = [kept.name, kept.entity.name, kept.schema, kept.table].map(quoteLiteral)
  return {
    title: `create the replica ${table} of ${kept.entity.name}`,
    sql: [
      createReplicaTable(shape),
      `insert into comity.replicas (name, topic, table_schema, table_name, columns, subset) values (${values.join(', ')}, ${jsonb(shape.columns)}, ${jsonb(kept.subset)})`,
      // Since a copy of before became the table of its owner (`comity.take_over`).
      `delete from comity.pauses where subscription = ${quoteLiteral(kept.name)} and author = 'comity migrate'`,
      askFor(kept, 'new'),
    ],
  }
}

/** What can be done in place. Every other change is refused. */
function changes(kept: Kept, before: RegisteredReplica, older: boolean): readonly Step[] {
  const shape = replicaShape(kept)
  const table = `${shape.schema}.${shape.table}`
  const refuse = (change: string): never => {
    throw new ReplicaChanged({ replica: kept.name, change })
  }
  if (before.table !== table) refuse(`its table is ${before.table}, not ${table}`)
  const found = shapeChanges(JSON.parse(before.columns) as ReplicaColumn[], shape.columns, older)
  if (found.refused !== undefined && !before.rebuilding) refuse(found.refused)
  const subset = subsetChange(kept, before, older)
  const isChanged = found.added.length + found.widened.length > 0 || subset !== undefined
  if (before.rebuilding && isChanged) throw new ReplicaBeingRebuilt({ replica: kept.name })
  if (!isChanged) return []
  const why = found.widened.length > 0 ? 'types' : found.added.length > 0 ? 'fields' : 'subset'
  return [
    {
      title: [...wordsOf(found, table), ...(subset === undefined ? [] : [`keep other rows in the replica ${table}`])].join('; '),
      sql: [
        // Whoever applies a change has ended, and whoever comes reads what is written here. In the order in which chunks are applied.
        `select 1 from comity.asked_backfills where replica = ${quoteLiteral(kept.name)} and state in ('asking', 'filling', 'settling')
order by asked_at for update`,
        `select 1 from comity.lanes where subscription = ${quoteLiteral(kept.name)} order by lane for update`,
        ...alterations(found, shape),
        `update comity.replicas set columns = ${jsonb(found.columns)}${subset ?? ''} where name = ${quoteLiteral(kept.name)}`,
        // One that is under way knows nothing of them.
        ...endBackfill(kept.name, 'the replica was changed'),
        askFor(kept, why),
      ],
      // An index, a check or a foreign key that another type has no operators for: Postgres finds out.
      explain: (error) =>
        found.widened.length > 0 && isDependent(error)
          ? new ReplicaColumnsHaveDependents({ ...notWidened(table, found.widened), dependents: describeError(error) }, { cause: error })
          : undefined,
    },
  ]
}

/** Before anything is changed: what would make the statements fail. */
async function refuseDependents(database: Queryable, kept: Kept, before: RegisteredReplica): Promise<void> {
  const shape = replicaShape(kept)
  const { added, widened } = shapeChanges(JSON.parse(before.columns) as ReplicaColumn[], shape.columns)
  const { table } = before
  const { rows } = await database.query<{ column: string }>(
    `select attname::text as column from pg_attribute where attrelid = to_regclass($1::text) and attname = any ($2::text::text[]) and not attisdropped`,
    [qualified(shape.schema, shape.table), arrayLiteral(added.map(({ column }) => column))],
  )
  const taken = rows[0]?.column
  if (taken !== undefined) throw new ReplicaColumnTaken({ table, column: taken, replica: kept.name })
  if (widened.length === 0) return
  const columns = arrayLiteral(widened.map(({ column }) => column))
  const dependents = await columnDependents(database, qualified(shape.schema, shape.table), columns, 'alter')
  if (dependents.length > 0) throw new ReplicaColumnsHaveDependents({ ...notWidened(table, widened), dependents: dependents.join(', ') })
}

function notWidened(table: string, widened: ShapeChanges['widened']): { table: string; change: string; command: string } {
  const change = widened.map(({ column, from, to }) => `${column} from ${from} to ${to}`).join(', ')
  return { table, change, command: 'comity migrate' }
}

function wordsOf({ added, widened }: ShapeChanges, table: string): readonly string[] {
  return [
    ...(added.length === 0 ? [] : [`add ${added.map(({ field }) => field).join(', ')} to the replica ${table}`]),
    ...widened.map(({ column, from, to }) => `widen ${column} of the replica ${table} from ${from} to ${to}`),
  ]
}

function alterations({ added, widened }: ShapeChanges, shape: ReplicaShape): readonly string[] {
  const parts = [
    ...added.map((column) => `add column ${columnDefinition(column)}`),
    ...widened.map(({ column, from, to }) => {
      const name = quoteIdentifier(column)
      return `alter column ${name} type ${to}${to === 'text' ? ' collate "C"' : ''} using ${widenedValue(from, to, name)}`
    }),
  ]
  if (parts.length === 0) return []
  const settings = widened.length === 0 ? [] : Object.entries(SESSION_SETTINGS)
  return [
    ...settings.map(([name, value]) => `select set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, true)`),
    `alter table ${qualified(shape.schema, shape.table)} ${parts.join(', ')}`,
  ]
}

/** What is set then; undefined: nothing. */
function subsetChange(kept: Kept, { subset, former }: RegisteredReplica, older: boolean): string | undefined {
  const declared = JSON.stringify(kept.subset ?? null)
  const had = subset ?? 'null'
  if (sameJson(declared, had)) return undefined
  const earlier = JSON.parse(former) as unknown[]
  if (older && earlier.some((one) => sameJson(declared, JSON.stringify(one)))) return undefined
  const others = earlier.filter((one) => !sameJson(declared, JSON.stringify(one)))
  return `, subset = ${jsonb(kept.subset)}, former_subsets = ${jsonb([...others, JSON.parse(had)])}`
}

/** What its owner has already: asked for as soon as the team runs. */
export function askFor({ name, entity }: Kept, why: 'new' | 'fields' | 'types' | 'subset' | 'rebuild'): string {
  return `insert into comity.asked_backfills (replica, owner, entity, why) values (${[name, entity.owner, entity.name, why].map(quoteLiteral).join(', ')})`
}

export function endBackfill(replica: string, reason: string): readonly string[] {
  return [
    `update comity.asked_backfills set state = 'cancelled', wanted = 'cancel', reason = ${quoteLiteral(reason)}, ended_at = clock_timestamp()
where replica = ${quoteLiteral(replica)} and state in ('asking', 'filling', 'settling')`,
    `delete from comity.backfill_left where replica = ${quoteLiteral(replica)}`,
  ]
}

function jsonb(value: unknown): string {
  return value === undefined ? 'null' : `${quoteLiteral(JSON.stringify(value))}::jsonb`
}
