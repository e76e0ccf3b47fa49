import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

/** Law 10: a fenced block that says *excerpt of* is lines of that file, as they stand there but for their indentation. */
const root = new URL('../../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')
const lines = (text: string): string =>
  text
    .split('\n')
    .map((line) => line.trim())
    .join('\n')
    .trim()

const folders = [
  '',
  'docs/',
  ...['packages/', 'examples/'].flatMap((parent) => readdirSync(new URL(parent, root)).map((name) => `${parent}${name}/`)),
]
const pages = folders.flatMap((folder) =>
  readdirSync(new URL(folder, root)).flatMap((name) => (name.endsWith('.md') ? [`${folder}${name}`] : [])),
)
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

test('each mark has its block, and the pages of docs show no TypeScript that is not such an excerpt', () => {
  const marks = pages.flatMap((page) => [...read(page).matchAll(/<!-- excerpt of /g)])
  expect(marks).toHaveLength(excerpts.length)
  for (const page of pages.filter((path) => path === 'README.md' || path.startsWith('docs/'))) {
    const shown = excerpts.filter((excerpt) => excerpt.page === page).length
    expect([...read(page).matchAll(/^```(ts|typescript)$/gm)].length, page).toBeLessThanOrEqual(shown)
  }
})
