import { BadCursor, BadLimit } from '../errors.ts'

/** What a list is asked for beside its filters. */
export interface PageOptions {
  /** `next` of the page before; absent = the first page. */
  readonly after?: string | undefined
  /** At most 1000. Default 100. */
  readonly limit?: number | undefined
}

/** One page of a list that goes on from its last row, so that the last page costs what the first does. */
export interface Page<Item> {
  readonly items: readonly Item[]
  /** Where the following page begins; null = this is the last one. */
  readonly next: string | null
}

export const MOST_ROWS = 1000

/** Throws COMITY_BAD_LIMIT. */
export function limitOf({ limit = 100 }: PageOptions): number {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > MOST_ROWS) throw new BadLimit({ limit: String(limit), most: String(MOST_ROWS) })
  return limit
}

/** The sort values of the row to go on after; undefined on the first page. Throws COMITY_BAD_CURSOR. */
export function cursorOf({ after }: PageOptions, length: number): readonly string[] | undefined {
  if (after === undefined) return undefined
  try {
    const values: unknown = JSON.parse(Buffer.from(after, 'base64url').toString())
    if (Array.isArray(values) && values.length === length && values.every((value) => typeof value === 'string')) return values
  } catch {
    // no JSON
  }
  throw new BadCursor({ cursor: after.slice(0, 80) })
}

/**
 * @param rows one more than the page has, if there are more
 * @param valuesOf the sort values of a row, exact
 */
export function pageOf<Row, Item>(
  rows: readonly Row[],
  limit: number,
  valuesOf: (row: Row) => readonly string[],
  itemOf: (row: Row) => Item,
): Page<Item> {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  const next = rows.length > limit && last !== undefined ? Buffer.from(JSON.stringify(valuesOf(last))).toString('base64url') : null
  return { items: shown.map(itemOf), next }
}
