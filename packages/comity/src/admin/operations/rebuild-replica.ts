import type { Kept } from '../../catalog/declaration.ts'
import { arrayLiteral } from '../../postgres/array-literal.ts'
import type { Queryable } from '../../postgres/database.ts'
import { qualified, quoteIdentifier } from '../../postgres/index.ts'
import {
  ReadersFromBefore,
  ReplicaBeingRebuilt,
  ReplicaChanged,
  ReplicaHasDependents,
  ReplicaNotRebuilding,
  ReplicaNotRebuilt,
} from '../../replica/errors.ts'
import type { ReplicaColumn } from '../../replica/replica-columns.ts'
import { createReplicaTable, replicaSql, VERSION_COLUMN } from '../../replica/replica-sql.ts'
import { CopyNotHere } from '../errors.ts'
import { replicaRebuild } from '../reads/replica-rebuild.ts'
import { replicaShape } from '../replica-shape.ts'
import { askFor, endBackfill } from '../replica-steps.ts'
import { dependentsOf, likenessSql, lockReplica, quietReplica, type ReplicaTable, takePlace } from '../replica-table.ts'
import { sameJson } from '../same-json.ts'
import type { Operation, OperationContext } from './operation.ts'

export interface ReplicaArguments {
  /** The copy, `<team>.<name>`. */
  readonly replica: string
}
const ARGUMENTS = {
  type: 'object',
  properties: { replica: { type: 'string', minLength: 1 } },
  required: ['replica'],
  additionalProperties: false,
} as const

/**
 * Begins to fill a table of the declared shape beside the one that is read: by a backfill, and by every live change. What was begun before goes on;
 * what ended unfinished is asked for again. Run as the owner of the table.
 */
export const rebuildReplica: Operation<ReplicaArguments> = {
  kind: 'rebuild-replica',
  arguments: ARGUMENTS,
  async run(sql, context, { replica }) {
    const kept = keptOf(context, replica)
    const shape = replicaShape(kept)
    const found = await lockReplica(sql, replica)
    const table = `${found.schema}.${found.table}`
    if (table !== `${shape.schema}.${shape.table}`)
      throw new ReplicaChanged({ replica, change: `its table is ${table}, not ${shape.schema}.${shape.table}` })
    if (found.rebuilt !== undefined) {
      if (!sameJson(JSON.stringify(found.rebuilt.columns), JSON.stringify(shape.columns))) throw new ReplicaBeingRebuilt({ replica })
      const { state } = await replicaRebuild({ database: sql }, replica)
      if (['asking', 'filling', 'settling', 'ready'].includes(state)) return { replica, table, begun: false }
      for (const statement of [...endBackfill(replica, 'it is rebuilt'), askFor(kept, 'rebuild')]) await sql.query(statement)
      return { replica, table, begun: true }
    }
    await refuseDependents(sql, replica, found)
    const { rows } = await sql.query<{ name: string }>(`select 'comity_rebuilt_' || $1::text::regclass::oid as name`, [
      qualified(found.schema, found.table),
    ])
    const made = rows[0]?.name as string
    await quietReplica(sql, replica)
    // Of a rebuild that nothing knows any more: its name is this table's number.
    await sql.query(`drop table if exists ${qualified(found.schema, made)}`)
    await sql.query(createReplicaTable({ ...shape, table: made }))
    for (const { text } of await likenessSql(sql, found, made, columnNames(shape.columns))) await sql.query(text)
    await sql.query('update comity.replicas set rebuilt = $2::text::jsonb where name = $1::text', [
      ...[replica, JSON.stringify({ table: made, columns: shape.columns })],
    ])
    for (const statement of [...endBackfill(replica, 'it is rebuilt'), askFor(kept, 'rebuild')]) await sql.query(statement)
    return { replica, table, begun: true }
  },
}

/**
 * Puts the new table in the place of the old one, under its name, with its owner, rights and indexes: in one transaction, that waits for no reader
 * longer than a moment. The new one is whole, and was found true.
 */
export const switchReplica: Operation<ReplicaArguments> = {
  kind: 'switch-replica',
  arguments: ARGUMENTS,
  async run(sql, _, { replica }) {
    const found = await lockReplica(sql, replica)
    const { rebuilt } = found
    if (rebuilt === undefined) throw new ReplicaNotRebuilding({ replica })
    const table = `${found.schema}.${found.table}`
    const { state, reason, readers } = await replicaRebuild({ database: sql }, replica)
    if (state !== 'ready') throw new ReplicaNotRebuilt({ replica, state: reason === null ? state : `${state}, ${reason}` })
    if (readers.length > 0) throw new ReadersFromBefore({ table, readers: readers.map((pid) => `pid ${pid}`).join(', ') })
    await quietReplica(sql, replica)
    await sql.query(`lock table ${qualified(found.schema, found.table)} in access exclusive mode`)
    await refuseDependents(sql, replica, found)
    await keepLeft(sql, replica, found)
    const likeness = await likenessSql(sql, found, rebuilt.table, columnNames(rebuilt.columns))
    for (const { text, kind } of likeness) if (kind !== 'index') await sql.query(text)
    const unmatched = await takePlace(sql, found, rebuilt.table)
    if (unmatched.length > 0) throw new ReplicaHasDependents({ replica, table, dependents: unmatched.join(', ') })
    await sql.query(`update comity.replicas set columns = rebuilt -> 'columns', rebuilt = null where name = $1::text`, [replica])
    return { replica, table }
  },
}

/** Gives the new table up; the old one was never touched. */
export const cancelRebuild: Operation<ReplicaArguments> = {
  kind: 'cancel-rebuild',
  arguments: ARGUMENTS,
  async run(sql, { author, reason }, { replica }) {
    const { schema, rebuilt } = await lockReplica(sql, replica)
    if (rebuilt === undefined) throw new ReplicaNotRebuilding({ replica })
    await quietReplica(sql, replica)
    await sql.query('update comity.replicas set rebuilt = null where name = $1::text', [replica])
    for (const statement of endBackfill(replica, `${author}: ${reason}`)) await sql.query(statement)
    await sql.query(`drop table if exists ${qualified(schema, rebuilt.table)}`)
    return { replica }
  },
}

function keptOf({ declaration }: OperationContext, replica: string): Kept {
  const kept = declaration.keeps.find(({ name }) => name === replica)
  if (kept !== undefined) return kept
  throw new CopyNotHere({ team: declaration.team, replica, copies: declaration.keeps.map(({ name }) => name).join(', ') || 'none' })
}

async function refuseDependents(sql: Queryable, replica: string, table: ReplicaTable): Promise<void> {
  const dependents = await dependentsOf(sql, table, columnNames(table.columns))
  if (dependents.length === 0) return
  throw new ReplicaHasDependents({ replica, table: `${table.schema}.${table.table}`, dependents: dependents.join(', ') })
}

/** Rows that the owner has and could not say: they stay as they were, as far as both tables have the same columns. */
async function keepLeft(sql: Queryable, replica: string, found: ReplicaTable): Promise<void> {
  const { schema, table, columns, rebuilt } = found
  if (rebuilt === undefined) return
  const common = rebuilt.columns.flatMap((to) => {
    const from = columns.find((one) => one.field === to.field && one.type === to.type)
    return from === undefined ? [] : [{ from: quoteIdentifier(from.column), to: quoteIdentifier(to.column) }]
  })
  if (rebuilt.columns.some(({ key, column }) => key !== undefined && !common.some(({ to }) => to === quoteIdentifier(column)))) return
  await sql.query(
    `insert into ${qualified(schema, rebuilt.table)} (${[...common.map(({ to }) => to), VERSION_COLUMN].join(', ')})
     select ${[...common.map(({ from }) => `r.${from}`), `r.${VERSION_COLUMN}`].join(', ')} from ${qualified(schema, table)} r
     where exists (select from comity.backfill_left i where i.replica = $1::text and ${replicaSql({ name: replica, schema, table, columns }).isKey})
     on conflict do nothing`,
    [replica],
  )
}

function columnNames(columns: readonly ReplicaColumn[]): string {
  return arrayLiteral([...columns.map(({ column }) => column), VERSION_COLUMN])
}
