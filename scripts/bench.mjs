/** `npm run bench -- name [--json]`: builds what changed and runs a benchmark. Standard output is the benchmark's alone. */
import { spawn } from 'node:child_process'
import { ensureInstalled, root } from './installation.mjs'
import { exitCode, runStep } from './run-step.mjs'

await ensureInstalled()
const build = await runStep('Building', process.execPath, ['node_modules/typescript/bin/tsc', '-b', 'bench'], { cwd: root })
if (build.code !== 0) process.stderr.write(`${build.output}\n`)
else
  process.exitCode = await exitCode(
    spawn(process.execPath, ['bench/dist/main.js', ...process.argv.slice(2)], { cwd: root, stdio: 'inherit' }),
  )
process.exitCode ||= build.code
