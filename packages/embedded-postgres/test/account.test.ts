import { type ChildProcess, execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { launchPostgres } from '@comity/embedded-postgres'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { spawnTypeScript } from '../../../test/support/typescript-process.ts'
import { chooseAccount } from '../src/account.ts'
import { findBinaries } from '../src/binaries.ts'
import { openDirectory } from '../src/cluster.ts'

const isRoot = process.getuid?.() === 0
const namespacesWork = isRoot && succeeds('unshare', ['-U', '--map-user=1000', '--map-group=1000', 'true'])

function succeeds(file: string, args: string[]): boolean {
  try {
    execFileSync(file, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'comity-home-'))
  await chmod(home, 0o700)
})
afterEach(() => rm(home, { recursive: true, force: true }))

const uidOf = (pid: number): number => statSync(`/proc/${pid}`).uid

describe.runIf(isRoot)('launched by root', () => {
  test('Postgres runs as 65534', async () => {
    await using postgres = await launchPostgres({ durable: false })
    expect(uidOf(postgres.pid)).toBe(65534)
    expect(readFileSync(`/proc/${postgres.pid}/status`, 'utf8')).toMatch(/^Groups:\s*(65534\s*)?$/m)
  })

  test('Postgres runs as the owner of a cluster that is there', async () => {
    await chmod(home, 0o711)
    const directory = join(home, 'database')
    await (await launchPostgres({ directory, durable: false })).close()
    execFileSync('chown', ['-R', '1000:1000', join(directory, 'data')])
    await using postgres = await launchPostgres({ directory, durable: false })
    expect(uidOf(postgres.pid)).toBe(1000)
  })

  test.runIf(namespacesWork)('below a home that is nobody else’s, it runs in a user namespace, again and again', async () => {
    const directory = join(home, 'project', 'database')
    for (const round of [1, 2]) {
      await using postgres = await launchPostgres({ directory, durable: false })
      expect(uidOf(postgres.pid), `round ${round}`).toBe(0)
      await postgres.createDatabase(`crm${round}`)
    }
    await chmod(home, 0o711)
    await using outside = await launchPostgres({ directory, durable: false })
    expect(uidOf(outside.pid), 'and as 65534 once the home is open').toBe(65534)
    expect(await outside.createDatabase('crm1', { ifNotExists: true })).toBe(outside.databaseUrl('crm1'))
  })

  test('binaries below such a home are copied, once', async () => {
    const found = await findBinaries('npm', undefined)
    const hidden = { ...found, bin: join(home, 'native', 'bin'), version: `0.0-test-${process.pid}` }
    await cp(dirname(found.bin), join(home, 'native'), { recursive: true, verbatimSymlinks: true })
    const cluster = await openDirectory(undefined)
    try {
      const account = await chooseAccount(hidden, cluster.directory, cluster.data)
      expect(account.prefix).toEqual([])
      expect(account.binaries.bin.startsWith(home)).toBe(false)
      execFileSync(join(account.binaries.bin, 'postgres'), ['--version'], { uid: 65534, gid: 65534, cwd: '/' })
      const made = statSync(account.binaries.bin).ctimeMs
      expect((await chooseAccount(hidden, cluster.directory, cluster.data)).binaries).toEqual(account.binaries)
      expect(statSync(account.binaries.bin).ctimeMs).toBe(made)

      await chmod(dirname(account.binaries.bin), 0o777) // anybody could have put binaries there
      await expect(chooseAccount(hidden, cluster.directory, cluster.data)).rejects.toMatchObject({
        code: 'COMITY_POSTGRES_DIRECTORY_IS_FOREIGN',
      })
      await rm(dirname(account.binaries.bin), { recursive: true })
    } finally {
      await rm(cluster.directory, { recursive: true })
    }
  })

  test('an ordinary user launches it as himself, and nothing is left', async () => {
    const child = spawnTypeScript(new URL('parent.ts', import.meta.url), ['wait'], {
      uid: 1000,
      gid: 1000,
      env: { ...process.env, HOME: '/' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = new Promise((resolve) => child.once('exit', resolve))
    const launched = JSON.parse(await firstLine(child)) as { pid: number; directory: string }
    expect(uidOf(launched.pid)).toBe(1000)
    child.kill('SIGTERM')
    await ended
    await expect.poll(() => existsSync(launched.directory), { timeout: 60_000 }).toBe(false)
  })
})

describe.runIf(!isRoot)('launched by an ordinary user', () => {
  test('Postgres runs as that user, below a home that is nobody else’s', async () => {
    await mkdir(join(home, 'database'))
    await using postgres = await launchPostgres({ directory: join(home, 'database'), durable: false })
    expect(await postgres.createDatabase('crm')).toBe(postgres.databaseUrl('crm'))
  })
})

async function firstLine(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new TypeError('no output')
  for await (const line of createInterface(child.stdout)) return line
  throw new TypeError('no line')
}
