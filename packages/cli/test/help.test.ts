import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { expect, test, vi } from 'vitest'

vi.hoisted(() => {
  process.env.NO_COLOR = '1'
  process.env.COLUMNS = '80'
})
const { createProgram } = await import('../src/program.ts')
const { inProcess } = await import('./support/in-process.ts')

/** Of every command and its parts: what one types. */
function pathsOf(command: Command): readonly (readonly string[])[] {
  return command.commands.flatMap((one) => [[one.name()], ...pathsOf(one).map((path) => [one.name(), ...path])])
}
const paths = pathsOf(await createProgram(() => undefined))

test.each(paths.map((path) => [path.join(' ')]))(
  'the help of %s fits 80 columns but for its example, which begins with it',
  async (path) => {
    const { code, stdout } = await inProcess(...path.split(' '), '--help')
    expect(code).toBe(0)
    expect(stdout.split('\n').filter((line) => line.length > 80 && !line.startsWith('  $ '))).toEqual([])
    if (!LISTS.includes(path))
      expect(stdout).toMatch(new RegExp(`Example:\\n( {2}\\$ .*\\n)*? {2}\\$ .*comity ${path.replace(/ list$/, '')}`))
    expect(stdout).toMatchSnapshot()
  },
)

/** Their parent's help has the example. */
const LISTS: readonly string[] = ['withheld list', 'withheld retry']

test('the help of the whole lists every command, and the README too', async () => {
  const { stdout } = await inProcess('--help')
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  for (const [command, part] of paths) {
    expect(stdout).toContain(`\n  ${command}`)
    expect(readme).toContain(`\`comity ${command}`)
    if (part !== undefined && part !== 'list') expect(readme).toMatch(new RegExp(`\`(comity ${command} )?${part}[\` ]`))
  }
})
