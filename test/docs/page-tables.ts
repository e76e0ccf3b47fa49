import { readFileSync } from 'node:fs'

const root = new URL('../../', import.meta.url)

export function readPage(path: string): string {
  return readFileSync(new URL(path, root), 'utf8')
}

/** What stands below a heading of the second level, up to the next one. */
export function sectionOf(page: string, heading: string): string {
  const [, section] = page.split(`\n## ${heading}\n`, 2)
  if (section === undefined) throw new Error(`the page has no section "${heading}"`)
  return section.split('\n## ', 1)[0] as string
}

/** The rows of the first table of a section, by the titles of its columns. */
export function rowsOf(section: string): readonly Readonly<Record<string, string>>[] {
  const [head, , ...rows] = (/(?:^\|.*\|$\n?)+/m.exec(section)?.[0] ?? '').trim().split('\n').map(cellsOf)
  return rows.map((cells) => Object.fromEntries((head ?? []).map((title, index) => [title, cells[index] ?? ''])))
}

function cellsOf(line: string): readonly string[] {
  return line
    .slice(1, -1)
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim())
}

/** What stands in `backticks`. */
export function codeIn(text: string): readonly string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, code]) => code as string)
}
