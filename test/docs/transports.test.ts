import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { guaranteePaths, guaranteesTable, lawsTable } from './transports-page.ts'

const PAGE = new URL('../../docs/transports.md', import.meta.url)

test('docs/transports.md shows the guarantees and laws as the code has them (npx vitest run test/docs -u)', async () => {
  const made = { guarantees: guaranteesTable(), laws: lawsTable() }
  const page = readFileSync(PAGE, 'utf8').replace(
    /(<!-- made: (\w+) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_, begin: string, name: keyof typeof made, end: string) => `${begin}\n${made[name]}\n\n${end}`,
  )
  expect([...page.matchAll(/<!-- made: (\w+) -->/g)].map(([, name]) => name)).toEqual(Object.keys(made))
  await expect(page).toMatchFileSnapshot('../../docs/transports.md')
})

test('every guarantee is explained', () => {
  const { explained, existing } = guaranteePaths()
  expect(explained).toEqual(existing)
})
