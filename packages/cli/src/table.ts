import pc from 'picocolors'

export interface Column {
  readonly title: string
  readonly align: 'left' | 'right'
  /** This one gives way when the terminal is narrow. */
  readonly flexible?: boolean
}

export interface Cell {
  readonly text: string
  readonly paint?: (text: string) => string
}

/** A heading, or a row of cells. */
export type Row = string | readonly Cell[]

const GAP = '  '

/** Columns as wide as their content; the flexible one is cut off with … where the width does not suffice. */
export function renderTable(columns: readonly Column[], rows: readonly Row[], width: number): string {
  const widths = columns.map(({ title }, i) =>
    Math.max(title.length, ...rows.map((row) => (typeof row === 'string' ? 0 : ((row[i] as Cell | undefined)?.text.length ?? 0)))),
  )
  const flexible = columns.findIndex((column) => column.flexible)
  const excess = widths.reduce((sum, one) => sum + one, 0) + GAP.length * (columns.length - 1) - width
  if (flexible >= 0 && excess > 0)
    widths[flexible] = Math.max((columns[flexible] as Column).title.length, (widths[flexible] as number) - excess)
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
