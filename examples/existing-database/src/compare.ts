import type pg from 'pg'

/** One side of a comparison: its first `key` columns say which row it is. */
export interface Side {
  readonly database: pg.Pool
  readonly sql: string
}

export interface Comparison {
  readonly name: string
  /** Rows of the owner, all of which were looked at. */
  readonly rows: number
  /** Rows that are missing, too many, or different. */
  readonly mismatches: number
  /** The first of them, in words. */
  readonly example?: string
}

/** Reads both sides and compares them row by row and column by column, as text. A row that is there twice is one too many. */
export async function compareRows(name: string, key: number, owner: Side, copy: Side): Promise<Comparison> {
  const [owned, copied] = await Promise.all([read(owner), read(copy)])
  const expected = new Map(owned.map((row) => [keyOf(row, key), JSON.stringify(row)]))
  const problems: string[] = owned.length === expected.size ? [] : [`the owner has ${owned.length - expected.size} rows twice`]
  for (const row of copied) {
    const id = keyOf(row, key)
    const other = expected.get(id)
    const text = JSON.stringify(row)
    if (other === undefined) problems.push(`${text} is too many`)
    else if (other !== text) problems.push(`${text} should be ${other}`)
    expected.delete(id)
  }
  for (const text of expected.values()) problems.push(`${text} is missing`)
  return { name, rows: owned.length, mismatches: problems.length, ...(problems[0] === undefined ? {} : { example: problems[0] }) }
}

type Row = readonly (string | null)[]

async function read({ database, sql }: Side): Promise<readonly Row[]> {
  const asText = { getTypeParser: () => (value: string) => value }
  const { rows } = await database.query<string[]>({ text: sql, rowMode: 'array', types: asText })
  return rows
}

function keyOf(row: Row, columns: number): string {
  return JSON.stringify(row.slice(0, columns))
}
