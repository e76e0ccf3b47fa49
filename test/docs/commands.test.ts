import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createProgram } from '../../packages/cli/src/program.ts'
import { readPage } from './page-tables.ts'

type Command = Awaited<ReturnType<typeof createProgram>>
const program = await createProgram(() => undefined)
const pages = [
  'README.md',
  ...readdirSync(new URL('../../docs/', import.meta.url)).flatMap((name) => (name.endsWith('.md') ? [`docs/${name}`] : [])),
]

/** A page that names a command which does not exist is worse than none. */
test.each(pages)('every command that %s names exists, with its options', (page) => {
  const text = readPage(page)
  const inText = text.replaceAll(/^```[\s\S]*?^```$/gm, '').matchAll(/`comity ([a-z][^`]*)`/g)
  const run = text.matchAll(/^\$ (?:[A-Z_]+=\S+ )?(?:npx )?comity (.+)$/gm)
  for (const [, words] of [...inText, ...run]) look(program, (words as string).split(' '), words as string)
})

test('they name many', () => {
  expect(readPage('docs/operations.md').match(/^\$ comity /gm)?.length).toBeGreaterThan(30)
  expect(() => look(program, ['retry'], 'retry')).toThrow()
  expect(() => look(program, ['run', '--prot', '1'], 'run')).toThrow()
})

function look(command: Command, [first, ...rest]: readonly string[], words: string): void {
  const sub = command.commands.find((one) => one.name() === first)
  if (command === program) expect(sub, `comity ${words}`).toBeDefined()
  if (sub !== undefined) {
    look(sub, rest, words)
    return
  }
  // A command without a word of its own is its default one.
  const isDefault = (one: Command): boolean => (one as Command & { _defaultCommandName?: string })._defaultCommandName !== undefined
  const options = [command, ...(isDefault(command) ? command.commands : [])].flatMap((one) =>
    one.options.flatMap(({ long, short }) => [long, short]),
  )
  for (const word of [first, ...rest]) if (word !== undefined && /^--?[a-z]/.test(word)) expect(options, `comity ${words}`).toContain(word)
}
