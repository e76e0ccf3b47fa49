import { MAX_KEY_BYTES } from '@comity/contract'
import { CELL, type CellColumn, ROW } from './cells.ts'
import { BACKFILL_VERSION, CHUNK_BYTES, CHUNK_ROWS, type Chunk } from './contracts.ts'
import type { PublishedEntity } from './published-entity.ts'

/** Some rows of a stretch as the owner's database reads them. */
export interface StretchPart {
  readonly rows: number
  /** Of their states, before fields are picked. */
  readonly bytes: number
  /** Of the last of them. */
  readonly place: string
  /** JSON arrays: the keys of the states, the states, the keys of what can't be said. Of rows outside of a copy's subset there is neither. */
  readonly keys: string | null
  readonly states: string | null
  readonly withheld: string | null
  /** Or rows as cells (see cells.ts), and of each cell `t`, a text, or `j`, JSON. Without cells a row of them can't be said like this. */
  readonly cells: string | null
  readonly kinds: string | null
}

/** The parts of a stretch, as JSON texts. */
export interface Parts {
  readonly texts: readonly string[]
  readonly withheld: number
  readonly bytes: number
}

type Stretch = Pick<Chunk, 'id' | 'term' | 'version' | 'follows'>

interface Piece {
  readonly rows: number
  readonly bytes: number
  /** Separated by commas. */
  readonly states: string
  readonly withheld: readonly string[]
}
const NOTHING: Piece = { rows: 0, bytes: 0, states: '', withheld: [] }

/**
 * The messages of a stretch: of at most 500 rows and about 512 KB; of one without rows there is one. Undefined where a row spoils a part that
 * has others too: then it is to be read in a form that says more of each row.
 */
export function partsOf(read: readonly StretchPart[], entity: PublishedEntity, stretch: Stretch): Parts | undefined {
  return read.some(({ kinds }) => kinds !== null) ? partsOfCells(read, entity, stretch) : partsOfStates(read, entity, stretch)
}

function partsOfCells(read: readonly StretchPart[], entity: PublishedEntity, stretch: Stretch): Parts | undefined {
  const kinds = read[0]?.kinds as string
  const table = entity.table(kinds)
  if (table === undefined) return undefined
  const bodies: { readonly columns: readonly CellColumn[]; readonly rows: string }[] = []
  let bytes = 0
  for (const part of read) {
    const cells = part.cells === null ? undefined : table.judge.read(part.cells, part.rows)
    if (cells === undefined) return undefined
    const isWhole = table.picked.length === kinds.length
    bytes += part.bytes
    if (isWhole && part.bytes <= CHUNK_BYTES) {
      bodies.push({ columns: table.picked, rows: part.cells as string })
      continue
    }
    for (const rows of bounded(cells.map((row) => row.slice(0, table.picked.length).join(CELL))))
      bodies.push({ columns: table.picked, rows: rows.join(ROW) })
  }
  const texts = bodies.map((body, i) => textOf(stretch, i + 1, bodies.length, [], `"states":[],"table":${JSON.stringify(body)}`))
  return { texts, withheld: 0, bytes }
}

/** In their order, in lists that are not too large for one message. */
function bounded(rows: readonly string[]): readonly (readonly string[])[] {
  const lists: string[][] = [[]]
  let bytes = 0
  for (const row of rows) {
    const more = Buffer.byteLength(row)
    if (bytes > 0 && bytes + more > CHUNK_BYTES) {
      lists.push([])
      bytes = 0
    }
    bytes += more
    lists.at(-1)?.push(row)
  }
  return lists
}

function partsOfStates(read: readonly StretchPart[], entity: PublishedEntity, stretch: Stretch): Parts | undefined {
  const pieces = read.map((part) => piecesOf(part, entity))
  if (!pieces.every((piece) => piece !== undefined)) return undefined
  const parts: Piece[] = [NOTHING]
  for (const piece of pieces.flat()) {
    const last = parts.at(-1) as Piece
    if (last.rows + piece.rows <= CHUNK_ROWS && (last.bytes === 0 || last.bytes + piece.bytes <= CHUNK_BYTES))
      parts[parts.length - 1] = joined(last, piece)
    else parts.push(piece)
  }
  const texts = parts.map(({ states, withheld }, i) => textOf(stretch, i + 1, parts.length, withheld, `"states":[${states}]`))
  return {
    texts,
    withheld: parts.reduce((sum, { withheld }) => sum + withheld.length, 0),
    bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
  }
}

function textOf(stretch: Stretch, part: number, parts: number, withheld: readonly string[], rows: string): string {
  const head: Omit<Chunk, 'withheld' | 'states'> = { v: BACKFILL_VERSION, ...stretch, part, parts }
  // A longer one is no key: no copy can have it.
  const named = withheld.filter((key) => Buffer.byteLength(key) <= MAX_KEY_BYTES)
  return `${JSON.stringify({ ...head, withheld: named }).slice(0, -1)},${rows}}`
}

function piecesOf(part: StretchPart, entity: PublishedEntity): readonly Piece[] | undefined {
  const {
    rows,
    keys = '[]',
    states = '[]',
    withheld = '[]',
  } = part as { readonly rows: number } & Record<'keys' | 'states' | 'withheld', string>
  const unsaid = JSON.parse(withheld) as string[]
  const said = entity.statesOf(states)
  if (said === undefined && rows > 1) return undefined
  const bytes = Buffer.byteLength(states)
  // It is what goes out: not a row of it is written anew.
  if (said?.same && bytes <= CHUNK_BYTES)
    return [{ rows: said.count + unsaid.length, bytes, states: states.slice(1, -1), withheld: unsaid }]
  const named = JSON.parse(keys) as string[]
  return [
    ...unsaid.map((key) => ({ ...NOTHING, rows: 1, withheld: [key] })),
    ...(said?.texts() ?? [undefined]).map((text, i) =>
      text === undefined
        ? { ...NOTHING, rows: 1, withheld: [named[i] as string] }
        : { ...NOTHING, rows: 1, bytes: Buffer.byteLength(text), states: text },
    ),
  ]
}

function joined(one: Piece, other: Piece): Piece {
  return {
    rows: one.rows + other.rows,
    bytes: one.bytes + other.bytes,
    states: one.states === '' || other.states === '' ? one.states + other.states : `${one.states},${other.states}`,
    withheld: [...one.withheld, ...other.withheld],
  }
}
