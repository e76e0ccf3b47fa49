/**
 * `npm test [-- vitest's arguments]`: from a clean clone, the unit and system tests. `--full` adds the long runs: chaos and mutants.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { brokerNames, fetchBroker } from './brokers.mjs'
import { ensureInstalled, root } from './installation.mjs'
import { fetchPromtool } from './promtool.mjs'
import { exitCode, runStep } from './run-step.mjs'
import { installSystemPostgres } from './system-postgres.mjs'

const args = process.argv.slice(2).filter((arg) => arg !== '--full')
const full = process.argv.includes('--full')

await ensureInstalled()
await installSystemPostgres()
await fetchPromtool()
for (const name of brokerNames) {
  const missing = await fetchBroker(name)
  if (missing !== undefined) process.stderr.write(`left out: the tests that need ${missing}\n`)
}
const build = await runStep('Building', process.execPath, ['node_modules/typescript/bin/tsc', '-b'], { cwd: root })
if (build.code !== 0) {
  process.stderr.write(`${build.output}\n`) // most tests need no build: they run the sources
  process.exitCode = build.code
}

/** What tests would otherwise make sure of, each file by itself. */
const built = build.code === 0 ? { COMITY_BUILT: '1' } : {}
const runs = [['vitest', ['node_modules/vitest/vitest.mjs', 'run', ...args]]]
if (full) {
  runs.push(['chaos', ['--import', './scripts/typescript.mjs', 'test/chaos/main.ts', '--seconds', '300']])
  runs.push(['mutants', ['--import', './scripts/typescript.mjs', 'test/mutants/main.ts']])
}
for (const [name, command] of runs) {
  if (name !== 'vitest' && !existsSync(join(root, `test/${name}/main.ts`))) {
    process.stderr.write(`left out: ${name} (there is no test/${name}/main.ts)\n`)
    continue
  }
  const env = { ...process.env, ...built, ...(full ? { COMITY_FULL: '1' } : {}) }
  const code = await exitCode(spawn(process.execPath, command, { cwd: root, stdio: 'inherit', env }))
  if (code !== 0) {
    process.stderr.write(`${name} failed\n`)
    process.exitCode = code
  }
}
