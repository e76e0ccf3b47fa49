/**
 * `npm start [-- example] [arguments]`: runs an example (default: the agency story) from a clean clone. Installs only what it needs, and only
 * when that is missing; builds what changed; runs it. Its standard output is the example's alone.
 */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { install, missingFor, root, withItsWorkspaces } from './installation.mjs'
import { exitCode, runStep } from './run-step.mjs'

const given = process.argv.slice(2)
const named = given[0] !== undefined && !given[0].startsWith('-')
const example = named ? given[0] : 'agency'
const rest = named ? given.slice(1) : given
const folder = join(root, 'examples', example)

// examples/nextjs is none of them: Next.js starts it, and is in no lock of ours
if (!existsSync(join(folder, 'src/main.ts'))) {
  const known = readdirSync(join(root, 'examples')).filter((name) => existsSync(join(root, 'examples', name, 'src/main.ts')))
  process.stderr.write(`There is no example "${example}".\n  What to do: npm start -- ${known.join(' | ')}\n`)
  process.exit(2)
}

const workspaces = withItsWorkspaces(`examples/${example}`)
const missing = missingFor(workspaces)
let installSeconds = 0
if (missing.length > 0) {
  const few = missing.slice(0, 3).join(', ')
  process.stderr.write(`${missing.length} packages are missing (${few}${missing.length > 3 ? ', …' : ''})\n`)
  const step = await install(workspaces, `Installing what ${example} needs`)
  installSeconds = step.seconds
  stopIfFailed(step, 'check the network and the registry that npm is configured with, then run it again')
}

const build = await runStep('Building', process.execPath, ['node_modules/typescript/bin/tsc', '-b', `examples/${example}`], { cwd: root })
stopIfFailed(build, 'correct the errors above, or check out a clean state of the repository')

const started = performance.now()
const child = spawn(process.execPath, ['dist/main.js', ...rest], {
  cwd: folder,
  stdio: 'inherit',
  env: { ...process.env, COMITY_INSTALL_SECONDS: installSeconds.toFixed(1) },
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    // Ctrl-C in a terminal reaches the child directly; a second SIGINT would end it before it has cleaned up.
    if (!(signal === 'SIGINT' && process.stdin.isTTY)) child.kill(signal)
  })
}
process.exitCode = await exitCode(child)
const runSeconds = (performance.now() - started) / 1000
process.stderr.write(`install ${installSeconds.toFixed(1)} s, build ${build.seconds.toFixed(1)} s, run ${runSeconds.toFixed(1)} s\n`)

function stopIfFailed({ code, output }, remedy) {
  if (code === 0) return
  process.stderr.write(`${output}\n  What to do: ${remedy}\n`)
  process.exit(code)
}
