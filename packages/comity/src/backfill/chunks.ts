import { MAX_KEY_BYTES } from '@comity/contract'
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
  readonly keys: string
  readonly states: string
  readonly withheld: string
}

/** The parts of a stretch, as JSON texts. */
export interface Parts {
  readonly texts: readonly string[]
  readonly withheld: number
  readonly bytes: number
}

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
 * has others too: then it is to be read row by row.
 */
export function partsOf(
  read: readonly StretchPart[],
  entity: PublishedEntity,
  stretch: Pick<Chunk, 'id' | 'term' | 'version' | 'follows'>,
): Parts | undefined {
  const pieces = read.map((part) => piecesOf(part, entity))
  if (!pieces.every((piece) => piece !== undefined)) return undefined
  const parts: Piece[] = [NOTHING]
  for (const piece of pieces.flat()) {
    const last = parts.at(-1) as Piece
    if (last.rows + piece.rows <= CHUNK_ROWS && (last.bytes === 0 || last.bytes + piece.bytes <= CHUNK_BYTES))
      parts[parts.length - 1] = joined(last, piece)
    else parts.push(piece)
  }
  const texts = parts.map(({ states, withheld }, i) => {
    const head: Omit<Chunk, 'withheld' | 'states'> = { v: BACKFILL_VERSION, ...stretch, part: i + 1, parts: parts.length }
    // A longer one is no key: no copy can have it.
    const named = withheld.filter((key) => Buffer.byteLength(key) <= MAX_KEY_BYTES)
    return `${JSON.stringify({ ...head, withheld: named }).slice(0, -1)},"states":[${states}]}`
  })
  return {
    texts,
    withheld: parts.reduce((sum, { withheld }) => sum + withheld.length, 0),
    bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
  }
}

function piecesOf({ rows, keys, states, withheld }: StretchPart, entity: PublishedEntity): readonly Piece[] | undefined {
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
