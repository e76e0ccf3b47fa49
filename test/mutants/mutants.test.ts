import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { MUTANTS } from './mutants.ts'
import { STAGES } from './stages.ts'

test.each(MUTANTS)('$name can still be put into the code', ({ edits, caughtBy }) => {
  if ('stage' in caughtBy) expect(STAGES).toHaveProperty(caughtBy.stage)
  else expect(readFileSync(new URL(`../../${caughtBy.test}`, import.meta.url), 'utf8')).toContain(caughtBy.title)
  for (const { file, find, replace } of edits) {
    const text = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')
    expect(text.split(find), `${file}: ${find}`).toHaveLength(2)
    expect(replace).not.toBe(find)
  }
})

test('a name stands for one of them', () => {
  expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length)
})
