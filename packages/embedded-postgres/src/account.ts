/**
 * As whom Postgres runs. It refuses to run as root, so root starts it as another account, without creating one:
 *
 *   ordinary user           → as that user
 *   root, a cluster exists  → as the owner of its files
 *   root                    → as uid and gid 65534, the customary "nobody"
 *
 * That account may be locked out where root is not, typically below a home directory of mode 0700:
 *
 *   the binaries are out of its reach   → they are copied, once per version, to a temporary directory
 *   the data directory is               → a user namespace, in which root is called 1000, so that Postgres does not see it is root
 */
import { execFile } from 'node:child_process'
import { chmod, cp, lstat, mkdir, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Binaries } from './binaries.ts'
import { DirectoryIsForeign, DirectoryUnreachable } from './errors.ts'

const run = promisify(execFile)
const NOBODY = 65534
const NAMESPACE = ['unshare', '-U', '--map-user=1000', '--map-group=1000', '--']

export interface Account {
  /** What stands before the command, e.g. `unshare …`; empty for none. */
  readonly prefix: readonly string[]
  /** Passed to `spawn`; empty to stay who we are. */
  readonly ids: { readonly uid?: number; readonly gid?: number }
  /** Whose the files have to be, as seen from outside. */
  readonly owner: { readonly uid: number; readonly gid: number }
  readonly binaries: Binaries
}

/** `directory` must exist and be enterable; `data`, the cluster inside it, may exist. */
export async function chooseAccount(binaries: Binaries, directory: string, data: string): Promise<Account> {
  const self = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  if (self.uid !== 0) return { prefix: [], ids: {}, owner: self, binaries }

  const cluster = await stat(data).catch(() => undefined)
  const ids = cluster && cluster.uid !== 0 ? { uid: cluster.uid, gid: cluster.gid } : { uid: NOBODY, gid: NOBODY }
  if (await succeeds('sh', ['-c', 'cd "$1"', 'sh', directory], ids)) {
    const reachable = await succeeds(join(binaries.bin, 'postgres'), ['--version'], ids)
    return { prefix: [], ids, owner: ids, binaries: reachable ? binaries : await copyOf(binaries) }
  }
  const [unshare = '', ...args] = NAMESPACE
  if (await succeeds(unshare, [...args, 'true'], {})) return { prefix: NAMESPACE, ids: {}, owner: self, binaries }
  throw new DirectoryUnreachable({ directory, uid: ids.uid })
}

/** The file and arguments to spawn so that `command` runs as the account. */
export function commandAs(account: Account, command: string, args: readonly string[]): [file: string, args: string[]] {
  const [file = command, ...rest] = [...account.prefix, command, ...args]
  return [file, rest]
}

async function succeeds(file: string, args: readonly string[], ids: Account['ids']): Promise<boolean> {
  return run(file, args, { cwd: '/', ...ids }).then(
    () => true,
    () => false,
  )
}

/**
 * The name is predictable and the place is everybody's, so what is found there is used only if root made it and nobody else can write to it:
 * otherwise another user could have put binaries there for us to run.
 */
async function copyOf(binaries: Binaries): Promise<Binaries> {
  const copy = join(tmpdir(), `comity-postgres-${binaries.version}-${process.platform}-${process.arch}`)
  const found = await lstat(copy).catch(() => undefined)
  if (found && (!found.isDirectory() || found.uid !== 0 || (found.mode & 0o022) !== 0)) throw new DirectoryIsForeign({ directory: copy })
  if (!found) {
    const half = `${copy}.${process.pid}`
    await mkdir(half, { mode: 0o755 })
    await cp(dirname(binaries.bin), half, { recursive: true, verbatimSymlinks: true })
    await chmod(half, 0o755)
    await rename(half, copy).catch(() => rm(half, { recursive: true })) // another process was first
  }
  return { ...binaries, bin: join(copy, 'bin') }
}
