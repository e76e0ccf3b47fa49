import { expect, test } from 'vitest'
import { raisedBySql, registeredErrors, registries, sourceText, withheldBecause } from './errors-page.ts'

/** A remedy that names a command that does not exist is worse than none. */
test('every command that a remedy names exists, with its options', async () => {
  const errors = (await Promise.all(registries().map(registeredErrors))).flat()
  const texts = [
    ...errors.map(({ remedy }) => remedy),
    ...[...Object.values(raisedBySql), ...Object.values(withheldBecause)].map(({ remedy }) => remedy),
  ]
  const named = texts.flatMap((text) => [...text.matchAll(/["`]comity ([^"`]+)["`]/g)].map(([, words]) => words as string))
  expect(named.length).toBeGreaterThan(20)
  const main = sourceText('cli/src/main.ts')
  for (const words of new Set(named)) {
    const [command, ...rest] = words.split(' ') as [string, ...string[]]
    if (command.startsWith('-')) continue
    expect(main, `comity ${words}`).toContain(`${command}Command`)
    const source = sourceText(`cli/src/commands/${command}.ts`)
    for (const option of rest.filter((word) => word.startsWith('--'))) expect(source, `comity ${words}`).toContain(`'${option}`)
  }
})
