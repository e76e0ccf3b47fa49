import type { Queryable } from '../postgres/database.ts'
import { ReplicaNotMigrated } from './errors.ts'
import type { ReplicaColumn } from './replica-columns.ts'
import { type ReplicaSql, replicaSql } from './replica-sql.ts'

const COLUMNS = 'select table_schema, table_name, columns::text as columns from comity.replicas where name = $1::text'

/** The statements of copies, as the database lists their columns now. */
export interface CopyStatements {
  /** Throws COMITY_REPLICA_NOT_MIGRATED. */
  of(sql: Queryable, replica: string): Promise<ReplicaSql>
}

/** Read in the applying transaction: in a rolling deploy an older process applies the list that the newest migration wrote. */
export function copyStatements(): CopyStatements {
  const known = new Map<string, { readonly columns: string; readonly sql: ReplicaSql }>()
  return {
    async of(sql, replica) {
      const { rows } = await sql.query<{ table_schema: string; table_name: string; columns: string }>(COLUMNS, [replica])
      const row = rows[0]
      if (row === undefined) throw new ReplicaNotMigrated({ replica })
      const before = known.get(replica)
      if (before?.columns === row.columns) return before.sql
      const columns = JSON.parse(row.columns) as ReplicaColumn[]
      const made = replicaSql({ name: replica, schema: row.table_schema, table: row.table_name, columns })
      known.set(replica, { columns: row.columns, sql: made })
      return made
    },
  }
}
