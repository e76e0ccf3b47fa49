import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, readlink, realpath, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { type Account, commandAs } from './account.ts'
import { DirectoryInUse, DirectoryIsForeign, InitFailed, WrongVersion } from './errors.ts'

const run = promisify(execFile)

/** How long a server that was found on the directory gets to end: its own parent may have died a moment ago. */
const GRACE_MS = 2_000

export interface Cluster {
  /** What the user named, or a temporary directory; holds the log. */
  readonly directory: string
  /** Where the files of Postgres are: `directory/data`, or `directory` itself if it was a cluster already. */
  readonly data: string
  readonly temporary: boolean
}

export async function openDirectory(given: string | undefined): Promise<Cluster> {
  if (given === undefined) {
    const directory = await mkdtemp(join(await realpath(tmpdir()), 'comity-postgres-'))
    await chmod(directory, 0o711) // the account that runs Postgres must get through to `data`
    return { directory, data: join(directory, 'data'), temporary: true }
  }
  if ((await mkdir(given, { recursive: true })) !== undefined) await chmod(given, 0o711)
  const directory = await realpath(resolve(given))
  const isCluster = await stat(join(directory, 'PG_VERSION')).catch(() => undefined)
  return { directory, data: isCluster ? directory : join(directory, 'data'), temporary: false }
}

/**
 * Makes the cluster unless there is one. It is made beside its place and renamed into it, so that a crash half-way leaves nothing that
 * looks like a cluster, and of two processes that do it at once the second finds the place taken and uses what the first made.
 */
export async function ensureCluster(cluster: Cluster, account: Account, superuser: string): Promise<void> {
  const { directory, data } = cluster
  await removeAbandoned(directory)
  if (!(await stat(data).catch(() => undefined))) {
    const half = join(directory, `.initdb-${process.pid}-${randomBytes(4).toString('hex')}`)
    await mkdir(half, { mode: 0o700 })
    await chown(half, account.owner.uid, account.owner.gid)
    await initdb(half, account, superuser)
    await rename(half, data).catch(async (error: NodeJS.ErrnoException) => {
      await rm(half, { recursive: true })
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
    return
  }
  const found = await readFile(join(data, 'PG_VERSION'), 'utf8').catch(() => undefined)
  if (found === undefined) throw new DirectoryIsForeign({ directory: data })
  if (Number(found) !== account.binaries.major) {
    throw new WrongVersion({ directory: data, found: found.trim(), binaries: account.binaries.major })
  }
  const { uid, gid } = account.owner
  if (process.getuid?.() === 0 && (await stat(data)).uid !== uid) await run('chown', ['-R', `${uid}:${gid}`, data])
}

async function initdb(data: string, account: Account, superuser: string): Promise<void> {
  const [file, args] = commandAs(account, join(account.binaries.bin, 'initdb'), [
    ...['-D', data, '-U', superuser, '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync', '--no-instructions'],
  ])
  await run(file, args, { cwd: '/', env: serverEnvironment(), ...account.ids }).catch(
    (error: Error & { stdout?: string; stderr?: string }) => {
      throw new InitFailed({ directory: data, output: `${error.stdout ?? ''}${error.stderr ?? error.message}`.trim() }, error)
    },
  )
}

/** English messages, and none of the caller's `PG…` variables, which would redirect the server. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(([name]) => !name.startsWith('PG') && !name.startsWith('LC_'))
  return { ...Object.fromEntries(entries), LC_ALL: 'C' }
}

/** What a crash during initdb left; the name tells whose it was. */
async function removeAbandoned(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const pid = /^\.initdb-(\d+)-[0-9a-f]{8}$/.exec(name)?.[1]
    if (pid !== undefined && !isAlive(Number(pid))) await rm(join(directory, name), { recursive: true, force: true })
  }
}

/**
 * Refuses a directory on which a server runs, and removes a lock file that only looks as if: Postgres itself takes any living process of
 * the same account that got the dead server's pid for a server.
 */
export async function refuseLiveServer(data: string): Promise<void> {
  for (const deadline = Date.now() + GRACE_MS; ; ) {
    const pid = (await readLock(data))?.pid
    if (pid === undefined || !isAlive(pid)) return // Postgres clears the lock of a dead process itself, and checks for its shared memory
    if (!(await isServerOn(pid, data))) return rm(join(data, 'postmaster.pid'), { force: true })
    if (Date.now() > deadline) throw new DirectoryInUse({ directory: data, pid })
    await new Promise((done) => setTimeout(done, 20))
  }
}

/** The lock file `postmaster.pid`: line 1 is the pid, line 8 the status, as `pg_ctl` reads them. */
export async function readLock(data: string): Promise<{ pid: number; status: string } | undefined> {
  const lines = await readFile(join(data, 'postmaster.pid'), 'utf8').then(
    (text) => text.split('\n'),
    () => [],
  )
  const pid = Number(lines[0])
  return Number.isInteger(pid) && pid > 0 ? { pid, status: (lines[7] ?? '').trim() } : undefined
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** A server's working directory is its data directory. Where there is no /proc, or it is not ours to read, the program's name must do. */
async function isServerOn(pid: number, data: string): Promise<boolean> {
  try {
    return (await readlink(`/proc/${pid}/cwd`)) === (await realpath(data))
  } catch (error) {
    if (process.platform === 'linux' && (error as NodeJS.ErrnoException).code === 'ENOENT') return false // a zombie, or gone by now
    const { stdout } = await run('ps', ['-p', String(pid), '-o', 'comm=']).catch(() => ({ stdout: '' }))
    return stdout.includes('postgres')
  }
}
