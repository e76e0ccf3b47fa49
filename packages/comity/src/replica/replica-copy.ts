import { NULL_CELL } from '../outbox/capture/index.ts'
import { quoteIdentifier, quoteLiteral } from '../postgres/index.ts'
import type { ReplicaColumn } from './replica-columns.ts'

type State = Readonly<Record<string, unknown>>

/** Between the columns of a line, as between the cells of a chunk. */
const DELIMITER = '\x7f'

export function copyStatement(table: string, columns: readonly ReplicaColumn[], versionColumn: string): string {
  const names = [...columns.map(({ column }) => column), versionColumn].map(quoteIdentifier).join(', ')
  return `copy ${table} (${names}) from stdin with (format text, delimiter ${quoteLiteral(DELIMITER)}, null ${quoteLiteral(NULL_CELL)})`
}

/** A line of `COPY` for a state under a version, in the order of a replica's columns: what casting the texts of its fields would give. */
export function lineOfState(columns: readonly ReplicaColumn[], state: State, version: number): string {
  let line = ''
  for (const { field, type } of columns) line += `${cellOf(state[field], isJson(type))}${DELIMITER}`
  return `${line}${version}\n`
}

/** The same of cells, which are in the order of the columns: wire texts, and {@link NULL_CELL}. */
export function lineOfCells(cells: readonly string[], version: number): string {
  const line = cells.join(DELIMITER)
  return `${hasSpecial(line) ? cells.map((cell) => (cell === NULL_CELL ? cell : escaped(cell))).join(DELIMITER) : line}${DELIMITER}${version}\n`
}

/** The same of cells that are one text, the delimiter between them, of which {@link hasSpecial} says that nothing is to be escaped. */
export function lineOfPlainCells(cells: string, version: number): string {
  return `${cells}${DELIMITER}${version}\n`
}

/** Whether cells have anything that COPY would take for something else. */
export function hasSpecial(cells: string): boolean {
  return PLAIN_SPECIAL.test(cells)
}

export function isJson(type: string): boolean {
  return type === 'jsonb' || type === 'json'
}

/** A JSON value as the text format of COPY has it; missing is null. */
function cellOf(value: unknown, json: boolean): string {
  if (value === undefined || value === null) return NULL_CELL
  if (typeof value === 'string' && !json) return escaped(value)
  return typeof value === 'number' ? JSON.stringify(value) : escaped(JSON.stringify(value))
}

const PLAIN_SPECIAL = /[\\\n\r]/
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what COPY was told to look for
const SPECIAL = /[\\\n\r\x7f\x1d]/
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const EACH_SPECIAL = /[\\\n\r\x7f\x1d]/g
const LETTERS: Readonly<Record<string, string>> = { '\n': 'n', '\r': 'r' }

/** Behind a backslash, a character stands for itself. */
function escaped(text: string): string {
  return SPECIAL.test(text) ? text.replace(EACH_SPECIAL, (character) => `\\${LETTERS[character] ?? character}`) : text
}
