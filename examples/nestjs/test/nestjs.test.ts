import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const folder = fileURLToPath(new URL('..', import.meta.url))
const start = fileURLToPath(new URL('../../../scripts/start.mjs', import.meta.url))

test('npm start -- --once --json: each order that was committed has its mail, once', { timeout: 120_000 }, async () => {
  const run = promisify(execFile)(process.execPath, [start, 'nestjs', '--once', '--json'], { cwd: folder })
  const { stdout, stderr } = await run
  expect(stdout.split('\n'), stderr).toEqual([expect.stringMatching(/^\{.*\}$/), ''])
  expect(JSON.parse(stdout)).toEqual({ example: 'nestjs', ok: true, orders: 54, refused: 6, mails: 54, mismatches: 0 })
})
