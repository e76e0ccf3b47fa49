import { MAX_KEY_BYTES } from '@comity/contract'
import { BACKFILL_VERSION, CHUNK_BYTES, CHUNK_ROWS, type Chunk } from './contracts.ts'
import type { PublishedEntity } from './published-entity.ts'

/** One row as the owner's database reads it. */
export interface StretchRow {
  readonly place: string
  readonly key: string
  readonly state: string | null
  readonly withheld: string | null
  /** It is not one of the subset that the copy keeps. */
  readonly outside?: boolean
}

/** The parts of a stretch, as JSON texts. */
export interface Parts {
  readonly texts: readonly string[]
  readonly withheld: number
  readonly bytes: number
}

/** Cuts a stretch into messages of at most 500 rows and about 512 KB; an empty one is one part without rows. */
export function partsOf(
  rows: readonly StretchRow[],
  entity: PublishedEntity,
  stretch: Pick<Chunk, 'id' | 'term' | 'version' | 'follows'>,
): Parts {
  const parts: { states: string[]; withheld: string[]; bytes: number }[] = [{ states: [], withheld: [], bytes: 0 }]
  let withheldRows = 0
  for (const { key, state, withheld } of rows) {
    const said = entity.stateOf(state, withheld)
    const bytes = 'text' in said ? Buffer.byteLength(said.text) : Buffer.byteLength(key)
    let part = parts.at(-1) as (typeof parts)[number]
    if (part.states.length + part.withheld.length >= CHUNK_ROWS || (part.bytes > 0 && part.bytes + bytes > CHUNK_BYTES)) {
      part = { states: [], withheld: [], bytes: 0 }
      parts.push(part)
    }
    part.bytes += bytes
    if ('text' in said) part.states.push(said.text)
    else {
      withheldRows++
      // A longer one is no key: no copy can have it.
      if (Buffer.byteLength(key) <= MAX_KEY_BYTES) part.withheld.push(key)
    }
  }
  const texts = parts.map(({ states, withheld }, i) => {
    const head: Omit<Chunk, 'withheld' | 'states'> = { v: BACKFILL_VERSION, ...stretch, part: i + 1, parts: parts.length }
    return `${JSON.stringify({ ...head, withheld }).slice(0, -1)},"states":[${states.join()}]}`
  })
  return {
    texts,
    withheld: withheldRows,
    bytes: parts.reduce((sum, part) => sum + part.bytes, 0),
  }
}
