import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'
import { copyLines } from '../replica/replica-copy.ts'
import type { ReplicaSql } from '../replica/replica-sql.ts'

/** Rows of a chunk that were judged already. */
export interface Filling {
  readonly replica: string
  readonly version: number
  readonly keys: readonly string[]
  /** Of the same keys. */
  readonly states: readonly Readonly<Record<string, unknown>>[]
}

/**
 * Puts rows into a copy's table, in a transaction that holds all of its lanes; answers how many were newer than what was there. Where nothing is there of
 * any of the keys, as in a first load, nothing is to be compared: COPY then takes a third of the time of a statement that compares.
 */
export async function fillRows(sql: Queryable, table: ReplicaSql, { replica, version, keys, states }: Filling): Promise<number> {
  const named = arrayLiteral(keys)
  if (sql.copyIn !== undefined) {
    const { rows } = await sql.query<{ fresh: boolean }>(table.fresh, [named, replica])
    // The same key twice is for the statement that compares, too.
    if (rows[0]?.fresh && new Set(keys).size === keys.length) {
      await sql.copyIn(table.copy, copyLines(table.columns, states, version))
      return keys.length
    }
  }
  const { rows } = await sql.query<{ applied: number }>(table.fill, [named, String(version), JSON.stringify(states), replica])
  return rows[0]?.applied ?? 0
}
