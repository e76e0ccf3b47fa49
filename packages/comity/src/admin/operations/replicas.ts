import { arrayLiteral } from '../../postgres/array-literal.ts'
import { describeError, qualified, quoteIdentifier } from '../../postgres/index.ts'
import {
  ReplicaBeingRebuilt,
  ReplicaColumnDeclared,
  ReplicaColumnsHaveDependents,
  ReplicaDeclared,
  ReplicaTableNeeded,
} from '../../replica/errors.ts'
import { columnDependents, isDependent } from '../column-dependents.ts'
import { replicaShape } from '../replica-shape.ts'
import { lockReplica, quietReplica } from '../replica-table.ts'
import type { Operation } from './operation.ts'
import type { ReplicaArguments } from './rebuild-replica.ts'
import { removeSubscription } from './subscriptions.ts'

export interface NarrowArguments extends ReplicaArguments {
  /** Columns that nothing declares any more. */
  readonly columns: readonly string[]
}
export interface DropArguments extends ReplicaArguments {
  readonly table: 'keep' | 'drop'
  /** What waits in its lines, or it is refused. */
  readonly messages: number
}
const text = { type: 'string', minLength: 1 } as const

/** Drops columns of a copy that its declaration has no more. Run as the owner of the table. */
export const narrowReplica: Operation<NarrowArguments> = {
  kind: 'narrow-replica',
  arguments: {
    type: 'object',
    properties: { replica: text, columns: { type: 'array', items: text, minItems: 1, uniqueItems: true } },
    required: ['replica', 'columns'],
    additionalProperties: false,
  },
  async run(sql, { declaration }, { replica, columns }) {
    const found = await lockReplica(sql, replica)
    if (found.rebuilt !== undefined) throw new ReplicaBeingRebuilt({ replica })
    const kept = declaration.keeps.find(({ name }) => name === replica)
    const declared = kept === undefined ? [] : replicaShape(kept).columns.map(({ column }) => column)
    for (const column of columns) {
      const one = found.columns.find((other) => other.column === column)
      if (one === undefined || one.key !== undefined || declared.includes(column)) throw new ReplicaColumnDeclared({ replica, column })
    }
    const table = qualified(found.schema, found.table)
    const dependents = await columnDependents(sql, table, arrayLiteral(columns), 'drop')
    if (dependents.length > 0)
      throw new ReplicaColumnsHaveDependents({
        ...{ table: `${found.schema}.${found.table}`, change: `without ${columns.join(', ')}`, dependents: dependents.join(', ') },
        command: `comity replica narrow ${replica}`,
      })
    await quietReplica(sql, replica)
    const left = found.columns.filter(({ column }) => !columns.includes(column))
    await sql.query(`alter table ${table} ${columns.map((column) => `drop column ${quoteIdentifier(column)}`).join(', ')}`)
    await sql.query('update comity.replicas set columns = $2::text::jsonb where name = $1::text', [replica, JSON.stringify(left)])
    return { replica, columns }
  },
}

/**
 * Takes a copy away that no code keeps any more: its subscription, its queue at the broker, its lines, tombstones and backfills; of its table
 * what is chosen. What was repaired in it stays on record.
 */
export const dropReplica: Operation<DropArguments> = {
  kind: 'drop-replica',
  arguments: {
    type: 'object',
    properties: { replica: text, table: { enum: ['keep', 'drop'] }, messages: { type: 'integer', minimum: 0 } },
    required: ['replica', 'table', 'messages'],
    additionalProperties: false,
  },
  async run(sql, context, { replica, table, messages }) {
    const { schema, table: name } = await lockReplica(sql, replica)
    if (context.declaration.keeps.some((kept) => kept.name === replica)) throw new ReplicaDeclared({ replica })
    await quietReplica(sql, replica)
    if (table === 'drop')
      await sql.query(`drop table ${qualified(schema, name)}`).catch((error: unknown) => {
        if (!isDependent(error)) throw error
        throw new ReplicaTableNeeded({ table: `${schema}.${name}`, reason: describeError(error) }, { cause: error })
      })
    await removeSubscription.run(sql, context, { subscription: replica, messages })
    return { replica, table: `${schema}.${name}`, kept: table === 'keep' }
  },
}
