import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'
import type { ReplicaColumn } from '../replica/replica-columns.ts'
import { lineOfState } from '../replica/replica-copy.ts'
import type { ReplicaSql } from '../replica/replica-sql.ts'

type State = Readonly<Record<string, unknown>>

/** Rows of a chunk that were judged already. */
export interface Filling {
  readonly replica: string
  readonly version: number
  readonly keys: readonly string[]
  state(position: number): State
  /** A line of COPY for the row at each position; undefined where its cells are not what such columns take. */
  lines(columns: readonly ReplicaColumn[]): ((position: number) => string) | undefined
}

export function fillingOfStates(replica: string, version: number, keys: readonly string[], states: readonly State[]): Filling {
  const state = (position: number): State => states[position] as State
  return { replica, version, keys, state, lines: (columns) => (position) => lineOfState(columns, state(position), version) }
}

/**
 * Puts rows into a copy's table, in a transaction that holds all of its lanes; answers how many were newer than what was there. Of a key of which
 * nothing is there, as of most in a first load, nothing is to be compared: COPY takes a fraction of the time of a statement that compares.
 * @param meanwhile what can be done while the database copies
 */
export async function fillRows(sql: Queryable, table: ReplicaSql, filling: Filling, meanwhile?: () => void): Promise<number> {
  const { replica, keys } = filling
  const all = keys.map((_, position) => position)
  const line = sql.copyIn && filling.lines(table.columns)
  if (line === undefined) return compared(sql, table, filling, all)
  const { rows } = await sql.query<{ known: string; copied: boolean }>(table.known, [arrayLiteral(keys), replica])
  if (!rows[0]?.copied) return compared(sql, table, filling, all)
  const known = new Set(JSON.parse(rows[0].known) as string[])
  const fresh = known.size === 0 ? all : all.filter((position) => !known.has(keys[position] as string))
  if (fresh.length > 0) await sql.copyIn?.(table.copy, fresh.map(line).join(''), meanwhile)
  if (known.size === 0) return fresh.length
  const others = all.filter((position) => known.has(keys[position] as string))
  return fresh.length + (await compared(sql, table, filling, others))
}

async function compared(sql: Queryable, table: ReplicaSql, filling: Filling, positions: readonly number[]): Promise<number> {
  const { replica, version, keys } = filling
  const named = arrayLiteral(positions.map((position) => keys[position] as string))
  const states = JSON.stringify(positions.map((position) => filling.state(position)))
  const { rows } = await sql.query<{ applied: number }>(table.fill, [named, String(version), states, replica])
  return rows[0]?.applied ?? 0
}
