import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const root = new URL('../../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')

/** Without the indentation, which depends on where the lines stand. */
const lines = (text: string): string =>
  text
    .split('\n')
    .map((line) => line.trim())
    .join('\n')
    .trim()

const pages = ['README.md', ...readdirSync(new URL('docs/', root)).flatMap((name) => (name.endsWith('.md') ? [`docs/${name}`] : []))]
const excerpts = pages.flatMap((page) =>
  [...read(page).matchAll(/<!-- excerpt of (\S+) -->\n+```\w*\n([\s\S]*?)\n```/g)].map(([, file, code]) => ({
    page,
    file: file as string,
    code: code as string,
  })),
)

test.each(excerpts)('$page shows lines that are in $file', ({ file, code }) => {
  expect(lines(read(file))).toContain(lines(code))
})

test('a page shows no TypeScript that is not such an excerpt', () => {
  for (const page of pages) {
    const shown = excerpts.filter((excerpt) => excerpt.page === page).length
    expect([...read(page).matchAll(/^```(ts|typescript)$/gm)].length, page).toBe(shown)
  }
  expect(excerpts.length).toBeGreaterThan(4)
})
