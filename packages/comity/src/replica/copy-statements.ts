import type { Queryable } from '../postgres/database.ts'
import { ReplicaNotMigrated } from './errors.ts'
import type { ReplicaColumn } from './replica-columns.ts'
import { type ReplicaSql, replicaSql } from './replica-sql.ts'

const COPY = `
  select table_schema, table_name, columns::text as columns, subset::text as subset, rebuilt::text as rebuilt from comity.replicas where name = $1::text`

interface CopyRow {
  readonly table_schema: string
  readonly table_name: string
  readonly columns: string
  readonly subset: string | null
  readonly rebuilt: string | null
}

/** The statements of a copy's table, and what else decides how a change is applied. */
export interface Copy extends ReplicaSql {
  /** Conditions as JSON; undefined: every row is kept. See {@link keptOf}. */
  readonly subset?: string
  /** Of the table that is filled to take the place of the one that is read: every change goes into both. */
  readonly rebuilt?: ReplicaSql
}

/** The statements of copies, as the database lists their columns now. */
export interface CopyStatements {
  /** Throws COMITY_REPLICA_NOT_MIGRATED. */
  of(sql: Queryable, replica: string): Promise<Copy>
}

/** Read in the applying transaction: in a rolling deploy an older process applies the list that the newest migration wrote. */
export function copyStatements(): CopyStatements {
  const known = new Map<string, { readonly row: string; readonly copy: Copy }>()
  return {
    async of(sql, replica) {
      const { rows } = await sql.query<CopyRow>(COPY, [replica])
      const row = rows[0]
      if (row === undefined) throw new ReplicaNotMigrated({ replica })
      const text = JSON.stringify(row)
      const before = known.get(replica)
      if (before?.row === text) return before.copy
      const copy = copyOf(replica, row)
      known.set(replica, { row: text, copy })
      return copy
    },
  }
}

function copyOf(name: string, { table_schema: schema, table_name: table, columns, subset, rebuilt }: CopyRow): Copy {
  const other = rebuilt === null ? undefined : (JSON.parse(rebuilt) as { readonly table: string; readonly columns: ReplicaColumn[] })
  return {
    ...replicaSql({ name, schema, table, columns: JSON.parse(columns) as ReplicaColumn[] }),
    ...(subset === null ? {} : { subset }),
    ...(other === undefined ? {} : { rebuilt: replicaSql({ name, schema, ...other }) }),
  }
}
