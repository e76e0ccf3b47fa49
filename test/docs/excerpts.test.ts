import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

/** Law 10: a fenced block that says *excerpt of* is lines of that file, as they stand there. */
const root = new URL('../../', import.meta.url)
const pages = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
  (path) => path.endsWith('.md') && !/(^|\/)(node_modules|dist|output|\.next)\//.test(path),
)
const excerpts = pages.flatMap((page) =>
  [...readFileSync(new URL(page, root), 'utf8').matchAll(/<!-- excerpt of (\S+) -->\n```\w+\n([\s\S]*?)```/g)].map(([, file, text]) => ({
    page,
    file: file as string,
    text: text as string,
  })),
)

test('there are excerpts, and each mark has its block', () => {
  const marks = pages.flatMap((page) => [...readFileSync(new URL(page, root), 'utf8').matchAll(/<!-- excerpt of /g)])
  expect(excerpts.length).toBeGreaterThan(3)
  expect(marks).toHaveLength(excerpts.length)
})

test.each(excerpts)('$page shows $file as it is', ({ file, text }) => {
  expect(readFileSync(new URL(file, root), 'utf8')).toContain(text)
})
