/**
 * Which packages a set of workspaces needs, by package-lock.json, and which of them are not installed. Reads the lock as npm does: a
 * dependency is looked for in `node_modules` beside its dependant, then upwards.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runStep } from './run-step.mjs'

export const root = fileURLToPath(new URL('..', import.meta.url))

const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages

/** Every workspace, and `''` for the root with its tools. */
const everything = Object.keys(lock).filter((place) => !place.includes('node_modules'))

/** Names of packages that the workspaces need here and that are missing or of another version. */
export function missingFor(workspaces) {
  const missing = []
  for (const place of neededBy(workspaces)) {
    const { version, link } = lock[place]
    if (link ? !existsSync(join(root, place)) : installedVersion(place) !== version) missing.push(place.replace(/^.*node_modules\//, ''))
  }
  return missing
}

/** A workspace and the workspaces that it builds on, in the lock's words (folders). */
export function withItsWorkspaces(workspace) {
  const links = neededBy([workspace]).filter((place) => lock[place].link)
  return [...new Set([workspace, ...links.map((place) => lock[place].resolved)])]
}

/**
 * `npm ci` empties node_modules before it installs, so it is told to install all that is there already: everything, if everything was,
 * else also the examples that were installed before. Install scripts stay off: nothing here needs one.
 */
export async function install(workspaces, why) {
  const wanted = new Set(workspaces)
  if (looksFull()) for (const one of everything) wanted.add(one)
  for (const [place, { resolved }] of Object.entries(lock)) {
    const isExample = resolved?.startsWith('examples/') && existsSync(join(root, place))
    if (isExample) for (const one of withItsWorkspaces(resolved)) wanted.add(one)
  }
  const all = everything.every((one) => wanted.has(one))
  const chosen = all ? [] : [...wanted].filter((one) => one !== '').flatMap((one) => ['-w', one])
  const args = ['ci', ...chosen, '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error', '--no-progress']
  const npm = process.env.npm_execpath
  return npm?.endsWith('.js')
    ? runStep(why, process.execPath, [npm, ...args], { cwd: root, watch: installedCount })
    : runStep(why, 'npm', args, { cwd: root, watch: installedCount })
}

/** Installs everything unless it is there; ends the process if that fails. */
export async function ensureInstalled() {
  const missing = missingFor(everything)
  if (missing.length === 0) return
  process.stderr.write(`${missing.length} packages are missing (${missing.slice(0, 3).join(', ')}${missing.length > 3 ? ', …' : ''})\n`)
  const { code, output } = await install(everything, 'Installing everything')
  if (code === 0) return
  process.stderr.write(`${output}\n  What to do: check the network and the registry that npm is configured with, then run it again\n`)
  process.exit(code)
}

/** Was it `npm ci` for everybody, be it of an older lock? Then the tools of the root are there, at whatever version. */
function looksFull() {
  return (
    existsSync(join(root, 'node_modules/vitest/package.json')) && existsSync(join(root, 'node_modules/dependency-cruiser/package.json'))
  )
}

function installedCount() {
  const modules = join(root, 'node_modules')
  if (!existsSync(modules)) return 'resolving'
  const names = readdirSync(modules).flatMap((name) =>
    name.startsWith('@') ? readdirSync(join(modules, name)) : name.startsWith('.') ? [] : [name],
  )
  return `${names.length} packages unpacked`
}

function neededBy(workspaces) {
  const seen = new Set(workspaces)
  for (const place of seen) {
    const { dependencies, devDependencies, optionalDependencies, peerDependencies, peerDependenciesMeta } = lock[place]
    const isWorkspace = !place.includes('node_modules')
    const asked = { ...dependencies, ...optionalDependencies, ...peerDependencies, ...(isWorkspace ? devDependencies : {}) }
    for (const name of Object.keys(asked)) {
      const found = find(place, name)
      if (found === undefined || !runsHere(lock[found])) continue
      if (peerDependenciesMeta?.[name]?.optional && !existsSync(join(root, found))) continue
      seen.add(found)
      if (lock[found].link) seen.add(lock[found].resolved)
    }
  }
  return [...seen].filter((place) => place.includes('node_modules'))
}

function find(place, name) {
  for (let at = place; ; at = at.includes('/') ? at.slice(0, at.lastIndexOf('/')) : '') {
    const candidate = at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`
    if (lock[candidate]) return candidate
    if (at === '') return undefined
  }
}

function runsHere({ os, cpu, libc }) {
  return (!os || os.includes(process.platform)) && (!cpu || cpu.includes(process.arch)) && (!libc || libc.includes(libcHere()))
}

let knownLibc
function libcHere() {
  knownLibc ??= process.platform === 'linux' && process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl' // takes long
  return knownLibc
}

function installedVersion(place) {
  try {
    return JSON.parse(readFileSync(join(root, place, 'package.json'), 'utf8')).version
  } catch {
    return undefined
  }
}
