import { expect, test } from 'vitest'
import { createProgram } from '../../packages/cli/src/program.ts'
import { raisedBySql, registeredErrors, registries, withheldBecause } from './errors-page.ts'

type Command = Awaited<ReturnType<typeof createProgram>>

/** A remedy that names a command that does not exist is worse than none. */
test('every command that a remedy names exists, with its options', async () => {
  const errors = (await Promise.all(registries().map(registeredErrors))).flat()
  const texts = [
    ...errors.map(({ remedy }) => remedy),
    ...[...Object.values(raisedBySql), ...Object.values(withheldBecause)].map(({ remedy }) => remedy),
  ]
  const named = texts.flatMap((text) => [...text.matchAll(/["`]comity ([^"`]+)["`]/g)].map(([, words]) => words as string))
  expect(named.length).toBeGreaterThan(20)
  const program = await createProgram(() => undefined)
  for (const words of new Set(named)) {
    let command: Command = program
    for (const word of words.split(' ')) {
      if (word.startsWith('--')) expect(optionsOf(command), `comity ${words}`).toContain(word)
      // What is neither a part nor an option is an argument; the command itself is none.
      const part = command.commands.find((one) => one.name() === word)
      if (command === program && !word.startsWith('-')) expect(part, `comity ${words}`).toBeDefined()
      command = part ?? command
    }
  }
})

/** Also those of the part that it is without one. */
function optionsOf(command: Command): readonly string[] {
  const list = command.commands.find((one) => one.name() === 'list')
  return [command, ...(list === undefined ? [] : [list])].flatMap(({ options }) => options.map(({ long }) => long ?? ''))
}
