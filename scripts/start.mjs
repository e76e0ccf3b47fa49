/**
 * `npm start [-- example] [arguments]`: runs an example (default: the agency story) from a clean clone. Installs only what it needs, and only
 * when that is missing; builds what changed; runs it. Its standard output is the example's alone.
 */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fetchBroker, launchBroker } from './brokers.mjs'
import { install, missingFor, root, withItsWorkspaces } from './installation.mjs'
import { exitCode, runStep } from './run-step.mjs'

/** Beside the embedded default, a bus in Postgres. */
const BROKERS = ['nats', 'google-pubsub']
const given = process.argv.slice(2)
const named = given[0] !== undefined && !given[0].startsWith('-')
const example = named ? given[0] : 'agency'
const { rest, broker } = brokerOf(named ? given.slice(1) : given)
const folder = join(root, 'examples', example)

// examples/nextjs is none of them: Next.js starts it, and is in no lock of ours
if (!existsSync(join(folder, 'src/main.ts'))) {
  const known = readdirSync(join(root, 'examples')).filter((name) => existsSync(join(root, 'examples', name, 'src/main.ts')))
  process.stderr.write(`There is no example "${example}".\n  What to do: npm start -- ${known.join(' | ')}\n`)
  process.exit(2)
}

if (broker !== undefined && (example !== 'agency' || !BROKERS.includes(broker))) {
  process.stderr.write(
    `The example "${example}" does not run on "${broker}".\n  What to do: npm start -- agency --transport ${BROKERS.join(' | ')}\n`,
  )
  process.exit(2)
}

const projects = [`examples/${example}`, ...(broker === undefined ? [] : [`packages/${broker}`])]
const workspaces = [...new Set(projects.flatMap(withItsWorkspaces))]
const missing = missingFor(workspaces)
let installSeconds = 0
if (missing.length > 0) {
  const few = missing.slice(0, 3).join(', ')
  process.stderr.write(`${missing.length} packages are missing (${few}${missing.length > 3 ? ', …' : ''})\n`)
  const step = await install(workspaces, `Installing what ${example} needs`)
  installSeconds = step.seconds
  stopIfFailed(step, 'check the network and the registry that npm is configured with, then run it again')
}

const build = await runStep('Building', process.execPath, ['node_modules/typescript/bin/tsc', '-b', ...projects], { cwd: root })
stopIfFailed(build, 'correct the errors above, or check out a clean state of the repository')

const missingBroker = broker && (await fetchBroker(broker))
if (missingBroker) {
  process.stderr.write(`${missingBroker}\n  What to do: install it, then run it again\n`)
  process.exit(1)
}
const launched = broker && (await launchBroker(broker))

const started = performance.now()
const child = spawn(process.execPath, ['dist/main.js', ...rest], {
  cwd: folder,
  stdio: 'inherit',
  env: { ...process.env, COMITY_INSTALL_SECONDS: installSeconds.toFixed(1), ...(launched ? { COMITY_EXAMPLE_BROKER: launched.url } : {}) },
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    // Ctrl-C in a terminal reaches the child directly; a second SIGINT would end it before it has cleaned up.
    if (!(signal === 'SIGINT' && process.stdin.isTTY)) child.kill(signal)
  })
}
process.exitCode = await exitCode(child)
await launched?.close()
const runSeconds = (performance.now() - started) / 1000
process.stderr.write(`install ${installSeconds.toFixed(1)} s, build ${build.seconds.toFixed(1)} s, run ${runSeconds.toFixed(1)} s\n`)

/** `--transport NAME` is this script's own: it starts that broker. */
function brokerOf(args) {
  const at = args.findIndex((arg) => arg === '--transport' || arg.startsWith('--transport='))
  if (at < 0) return { rest: args, broker: undefined }
  const separate = args[at] === '--transport'
  const rest = args.toSpliced(at, separate ? 2 : 1)
  const name = separate ? (args[at + 1] ?? '') : args[at].slice('--transport='.length)
  return { rest, broker: name === 'postgres' ? undefined : name }
}

function stopIfFailed({ code, output }, remedy) {
  if (code === 0) return
  process.stderr.write(`${output}\n  What to do: ${remedy}\n`)
  process.exit(code)
}
