import { ComityError, type ContractDescription, type JsonSchema, keyOf } from '@comity/contract'
import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'
import { copyStatements } from '../replica/copy-statements.ts'
import { hasSpecial, isJson, lineOfCells, lineOfPlainCells } from '../replica/replica-copy.ts'
import { keptOf } from '../replica/subset.ts'
import { CELL, type CellColumn, type Cells, type CellsJudge, cellsJudge, ROW, stateOfCells } from './cells.ts'
import type { Chunk } from './contracts.ts'
import type { CopyReader } from './copy-reader.ts'
import { type Filling, fillingOfStates, fillRows } from './fill-rows.ts'
import { filledTables } from './filled-tables.ts'

type State = Chunk['states'][number]

/** What became of the rows of a chunk. */
export interface Filled {
  readonly rows: number
  /** Of those that this team could take. */
  readonly keys: readonly string[]
  /** How many of them were newer than what was there. */
  readonly applied: number
  readonly refused: number
}

export interface ChunkFiller {
  /**
   * Puts the rows of a chunk into the copy, in a transaction that holds all of its lanes.
   * @param next is taken apart while the database is at work
   */
  fill(sql: Queryable, chunk: Chunk, why: string, next?: Chunk): Promise<Filled>
  /** One of these tenants that has rows in it. */
  tenantIn(chunk: Chunk, tenants: ReadonlySet<string>): string | undefined
}

const LEFT = `
  insert into comity.backfill_left (replica, key, why, reason)
  select $1::text, l.key, $3::text, $4::text from unnest($2::text::text[]) l(key) on conflict (replica, key) do update set why = excluded.why, reason = excluded.reason`

export function chunkFiller(replica: string, entity: ContractDescription, { schema, reader }: CopyReader): ChunkFiller {
  const statements = copyStatements()
  const judges = new Map<string, CellsJudge | undefined>()
  const takenApart = new WeakMap<Chunk, Filling | undefined>()

  function rowsOf({ states, table }: Chunk): readonly ((schema: JsonSchema) => State)[] {
    if (table === undefined) return states.map((state) => () => state)
    return table.rows.split(ROW).map((row) => (schema) => stateOfCells(schema, table.columns, row.split(CELL)))
  }

  /** What the copy makes of a row, or why it can't take it. */
  function taken(row: (schema: JsonSchema) => State, key: string): { readonly state: State } | { readonly refused: string } {
    try {
      return { state: reader.take(row, key) as State }
    } catch (error) {
      if (!(error instanceof ComityError)) throw error
      return { refused: error.message.split('\n', 1)[0] as string }
    }
  }

  function judgeOf(columns: readonly CellColumn[]): CellsJudge | undefined {
    const name = JSON.stringify(columns)
    if (!judges.has(name)) {
      // Each owner's version has one.
      if (judges.size > 10) judges.clear()
      judges.set(name, cellsJudge(schema, columns))
    }
    return judges.get(name)
  }

  /** Rows as they came; undefined if one has to be looked at by itself. */
  function asTheyCame(chunk: Chunk): Filling | undefined {
    if (chunk.table === undefined) return undefined
    if (!takenApart.has(chunk)) takenApart.set(chunk, fillingOf(chunk.table, chunk.version))
    return takenApart.get(chunk)
  }

  function fillingOf({ columns, rows }: Cells, version: number): Filling | undefined {
    const cells = judgeOf(columns)?.read(rows)
    if (cells === undefined) return undefined
    const keyColumns = columns.filter(({ field }) => entity.keyFields.includes(field))
    const keyAt = keyColumns.map((column) => columns.indexOf(column))
    const keys: string[] = []
    for (const row of cells) {
      const key = keyOr(
        entity,
        stateOfCells(
          schema,
          keyColumns,
          keyAt.map((i) => row[i] as string),
        ),
      )
      if (key === undefined) return undefined
      keys.push(key)
    }
    return {
      ...{ replica, version, keys },
      state: (position) => stateOfCells(schema, columns, cells[position] as readonly string[]),
      lines(wanted) {
        const order = wanted.map(({ field }) => columns.findIndex((column) => column.field === field))
        // A JSON column takes no bare text.
        if (order.some((at, i) => at < 0 || (isJson(wanted[i]?.type as string) && columns[at]?.as === 'text'))) return undefined
        if (order.length === columns.length && order.every((at, i) => at === i) && !hasSpecial(rows)) {
          const texts = rows.split(ROW)
          return (position) => lineOfPlainCells(texts[position] as string, version)
        }
        return (position) =>
          lineOfCells(
            order.map((at) => cells[position]?.[at] as string),
            version,
          )
      },
    }
  }

  return {
    async fill(sql, chunk, why, next) {
      const { id, version, withheld } = chunk
      const copy = await statements.of(sql, replica)
      if (withheld.length > 0) await sql.query(LEFT, [replica, arrayLiteral(withheld), 'withheld', `backfill ${id}`])
      const prepare = (): void => {
        try {
          if (next !== undefined && copy.subset === undefined) asTheyCame(next)
        } catch {
          // It fails again when it is its turn, where somebody hears of it.
        }
      }
      const into = async (filling: Filling): Promise<number> => {
        let applied = 0
        for (const table of filledTables(copy, why)) applied = await fillRows(sql, table, filling, prepare)
        return applied
      }
      const whole = copy.subset === undefined ? asTheyCame(chunk) : undefined
      if (whole !== undefined) return { rows: whole.keys.length, keys: whole.keys, applied: await into(whole), refused: 0 }

      const rows = rowsOf(chunk)
      const keys: string[] = []
      const good: State[] = []
      for (const row of rows) {
        const key = keyOr(entity, row(schema))
        if (key === undefined) continue
        const one = taken(row, key)
        if ('state' in one) {
          keys.push(key)
          good.push(one.state)
        } else await sql.query(LEFT, [replica, arrayLiteral([key]), 'refused', one.refused])
      }
      const filled = { rows: rows.length, keys, applied: 0, refused: rows.length - good.length }
      if (keys.length === 0) return filled
      // An owner of an older version says every row. What is outside of the subset was in no chunk, then: it goes when the backfill settles.
      const kept = await keptOf(sql, copy.subset, JSON.stringify(good))
      const inside = <Value>(values: readonly Value[]): readonly Value[] => values.filter((_, position) => kept(position))
      return { ...filled, applied: await into(fillingOfStates(replica, version, inside(keys), inside(good))) }
    },
    tenantIn(chunk, tenants) {
      const field = entity.tenantField
      if (field === undefined) return undefined
      const states = rowsOf(chunk).map((row) => row(schema))
      const found = states.find((state) => tenants.has(String(state[field])))
      return found && String(found[field])
    },
  }
}

/** Undefined: it stays nameless, for nothing here has such a key. */
function keyOr(entity: ContractDescription, state: State): string | undefined {
  try {
    return keyOf(entity, state)
  } catch {
    return undefined
  }
}
