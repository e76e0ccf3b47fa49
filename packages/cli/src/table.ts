import pc from 'picocolors'

export interface Column {
  readonly title: string
  readonly align: 'left' | 'right'
  /** It gives way when the terminal is narrow, the widest of them first. */
  readonly flexible?: boolean
}

export interface Cell {
  readonly text: string
  readonly paint?: (text: string) => string
}

/** A heading, or a row of cells. */
export type Row = string | readonly Cell[]

const GAP = '  '
/** Nothing can be told from less. */
const NARROWEST = 6

/** Columns as wide as their content; flexible ones are cut off with … where the width does not suffice. */
export function renderTable(columns: readonly Column[], rows: readonly Row[], width: number): string {
  const widths = columns.map(({ title }, i) =>
    Math.max(title.length, ...rows.map((row) => (typeof row === 'string' ? 0 : ((row[i] as Cell | undefined)?.text.length ?? 0)))),
  )
  let excess = widths.reduce((sum, one) => sum + one, 0) + GAP.length * (columns.length - 1) - width
  while (excess > 0) {
    const room = columns.map(({ flexible, title }, i) => (flexible ? (widths[i] as number) - Math.max(title.length, NARROWEST) : 0))
    const widest = columns.reduce(
      (best, { flexible }, i) =>
        flexible && (room[i] as number) > 0 && (best < 0 || (widths[i] as number) > (widths[best] as number)) ? i : best,
      -1,
    )
    if (widest < 0) break
    widths[widest] = (widths[widest] as number) - 1
    excess--
  }
  const line = (cells: readonly Cell[]): string =>
    cells
      .map((cell, i) => fit(cell, (columns[i] as Column).align, widths[i] as number))
      .join(GAP)
      .trimEnd()
  const head = line(columns.map(({ title }) => ({ text: title, paint: pc.dim })))
  return [head, ...rows.map((row) => (typeof row === 'string' ? row : line(row)))].join('\n')
}

/** Padded outside of its colours, so that a line without colours has the same columns. */
function fit({ text, paint = (same) => same }: Cell, align: 'left' | 'right', width: number): string {
  const shown = text.length > width ? `${text.slice(0, width - 1)}…` : text
  const space = ' '.repeat(width - shown.length)
  return align === 'left' ? paint(shown) + space : space + paint(shown)
}

/** Words into lines of at most `width`; all but the first begin with `indent` blanks. */
export function wrap(text: string, width: number, indent: number): string {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line.trim() !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = ' '.repeat(indent) + word
    } else {
      line = line === '' ? word : `${line} ${word}`
    }
  }
  return [...lines, line].join('\n')
}

/** Into a file or a pipe, names are not cut off unless COLUMNS says so. */
export function terminalWidth(): number {
  return process.stdout.columns ?? (Number(process.env.COLUMNS) || Number.POSITIVE_INFINITY)
}
