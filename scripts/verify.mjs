/**
 * `npm run verify`: everything that can be said about the repository without running its tests. Two steps at a time, one line per step, all
 * failures at the end.
 */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ensureInstalled, root } from './installation.mjs'

await ensureInstalled()

const packages = readdirSync(join(root, 'packages')).filter((name) => existsSync(join(root, 'packages', name, 'package.json')))
const bin = (name) => join(root, 'node_modules/.bin', name)
const existing = (...folders) => folders.filter((folder) => existsSync(join(root, folder)))

/** Each: title, command, arguments. What stands in one list may run side by side; the build comes first. */
const stages = [
  [
    ['format, lint', bin('biome'), ['check', '--error-on-warnings', '--max-diagnostics=100', '.']],
    ['build', bin('tsc'), ['-b']],
  ],
  [
    ['types of tests', bin('tsc'), ['-p', 'tsconfig.test.json']],
    ['boundaries', bin('depcruise'), ['--config', '.dependency-cruiser.cjs', ...existing('packages', 'examples', 'bench')]],
    ['dead code', bin('knip'), ['--no-progress']],
    ['lock', process.execPath, ['scripts/complete-lock.mjs', '--check']],
    ...packages.map((name) => [`publint ${name}`, bin('publint'), ['--strict', `packages/${name}`]]),
    ...packages.map((name) => [
      `types of package ${name}`,
      bin('attw'),
      ['--pack', `packages/${name}`, '--profile', 'esm-only', '--format', 'ascii'],
    ]),
    // In CI `npm test` has them.
    ...(existsSync(join(root, 'test/docs')) && process.env.CI !== 'true' ? [['docs', bin('vitest'), ['run', 'test/docs']]] : []),
  ],
]

const failures = []
for (const stage of stages) await inPairs(stage.map((step) => () => run(...step)))
printLengths()
for (const { title, output } of failures) process.stdout.write(`\n━━ ${title} failed\n${output.trim()}\n`)
process.stdout.write(
  failures.length === 0 ? '\nverified\n' : `\n${failures.length} failed: ${failures.map(({ title }) => title).join(', ')}\n`,
)
process.exitCode = failures.length === 0 ? 0 : 1

async function inPairs(steps) {
  const next = async () => {
    for (let step = steps.shift(); step; step = steps.shift()) await step()
  }
  await Promise.all([next(), next()])
}

async function run(title, command, args) {
  const started = performance.now()
  let output = ''
  const code = await new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, FORCE_COLOR: '0' } })
    child.stdout.on('data', (chunk) => {
      output += chunk
    })
    child.stderr.on('data', (chunk) => {
      output += chunk
    })
    child.once('error', (error) => resolve(error.message))
    child.once('close', resolve)
  })
  if (code !== 0) failures.push({ title, output })
  process.stdout.write(`${code === 0 ? 'ok    ' : 'FAILED'} ${title} ${((performance.now() - started) / 1000).toFixed(1)} s\n`)
}

/** Figures to watch, no rule: a file is long when it has reason to be. */
function printLengths() {
  const files = packages.flatMap((name) => {
    const source = join(root, 'packages', name, 'src')
    const paths = existsSync(source) ? readdirSync(source, { recursive: true }).filter((path) => /\.tsx?$/.test(path)) : []
    return paths.map((path) => ({
      path: `packages/${name}/src/${path}`,
      lines: readFileSync(join(source, path), 'utf8').split('\n').length - 1,
    }))
  })
  files.sort((a, b) => b.lines - a.lines)
  const long = files.filter(({ lines }) => lines > 300).map(({ path, lines }) => `${path} (${lines})`)
  const median = files[Math.floor(files.length / 2)]?.lines ?? 0
  process.stdout.write(
    `files ${files.length}, median ${median} lines, longest ${files[0]?.path} (${files[0]?.lines}); above 300: ${long.join(', ') || 'none'}\n`,
  )
}
