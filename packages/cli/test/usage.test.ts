import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { buildCli, comity, fixture } from './support/comity.ts'

beforeAll(buildCli, 120_000)

describe('help', () => {
  test('of the whole lists every command, and --version says which', async () => {
    expect((await comity(['--help'])).stdout).toMatch(/migrate .*provision .*run .*status .*withheld .*dev .*release .*uninstall /s)
    expect((await comity(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })
})

describe('errors', () => {
  test.each([
    { args: ['migrte'], says: ['COMITY_BAD_USAGE', 'Did you mean migrate?', 'comity --help'] },
    { args: ['migrate', '--chek'], says: ['COMITY_BAD_USAGE', 'Did you mean --check?'] },
    { args: ['run', '--only', 'both'], says: ['COMITY_BAD_USAGE', 'relay, subscriptions'] },
    { args: ['release'], says: ['COMITY_BAD_USAGE', 'entity'] },
    {
      args: ['status', '-c', fixture('broken/misspelt.config.ts')],
      says: ['COMITY_UNKNOWN_OPTION', 'did you mean "database"?', 'Where: team.databse'],
    },
    {
      args: ['status', '-c', fixture('broken/no-team.config.ts')],
      says: ['COMITY_CONFIG_WITHOUT_TEAM', 'its exports: nothing', 'export default team('],
    },
    { args: ['status', '-c', fixture('broken/throws.config.ts')], says: ['COMITY_CONFIG_FAILED', 'throws.config.ts', "reading 'url'"] },
    { args: ['status', '-c', fixture('broken/absent.config.ts')], says: ['COMITY_CONFIG_NOT_FOUND', 'absent.config.ts', '--config'] },
  ])('$args', async ({ args, says }) => {
    const { code, stderr, stdout } = await comity(args)
    expect(code).toBe(1)
    expect(stdout).toBe('')
    for (const text of [...says, 'What to do:']) expect(stderr).toContain(text)
    expect(stderr).not.toMatch(/^ +at /m)
  })

  test('are JSON with --json, and have a stack with --verbose', async () => {
    const file = fixture('broken/throws.config.ts')
    const { error } = JSON.parse((await comity(['status', '--json', '-c', file])).stdout)
    expect(error).toEqual({ code: 'COMITY_CONFIG_FAILED', cause: expect.stringContaining('throws.config.ts'), remedy: expect.any(String) })
    expect((await comity(['status', '--verbose', '-c', file])).stderr).toMatch(/at .*throws\.config\.ts:3/)
  })

  test('in a folder without a configuration', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'comity-'))
    const { code, stderr } = await comity(['migrate'], { cwd: folder })
    await rm(folder, { recursive: true })
    expect(code).toBe(1)
    expect(stderr).toContain('there is no comity.config.ts in this folder')
  })
})
