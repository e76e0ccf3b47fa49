import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { launchPostgres } from '@comity/embedded-postgres'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { shortAndFull } from '../../../test/support/full.ts'
import { spawnTypeScript } from '../../../test/support/typescript-process.ts'

interface Launched {
  readonly pid: number
  readonly directory: string
}

const directories: string[] = []
afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true, force: true })
})

async function persistentDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'comity-test-'))
  directories.push(directory)
  return join(directory, 'database')
}

interface Parent {
  readonly launched: Launched
  readonly pid: number
  /** Resolves with what it printed after the launch. */
  readonly ended: Promise<string[]>
}

async function launchIn(ending: string, directory = ''): Promise<Parent> {
  const file = new URL('parent.ts', import.meta.url)
  const child = spawnTypeScript(file, [ending, directory], { stdio: ['ignore', 'pipe', 'ignore'], detached: true })
  if (!child.stdout || child.pid === undefined) throw new TypeError('no process')
  const lines: string[] = []
  const output = createInterface(child.stdout).on('line', (line) => lines.push(line))
  const ended = new Promise<string[]>((resolve) => child.once('close', () => resolve(lines.slice(1))))
  await Promise.race([once(output, 'line'), ended])
  return { launched: JSON.parse(lines[0] ?? 'null') as Launched, pid: child.pid, ended }
}

/** A zombie does not run; which of them are collected is up to the machine's init. */
function runs(pid: number): boolean {
  try {
    if (process.platform === 'linux') return !/\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function serverIsGone({ pid, directory }: Launched, temporary: boolean): Promise<void> {
  await vi.waitFor(
    () => {
      expect(runs(pid), 'the server runs').toBe(false)
      expect(existsSync(temporary ? directory : join(directory, 'data', 'postmaster.pid')), 'something is left').toBe(false)
    },
    { timeout: 60_000, interval: 20 },
  )
}

describe('the server ends with the process that launched it', () => {
  test.each(shortAndFull(['SIGKILL', 'SIGTERM'] as const, ['SIGINT', 'SIGHUP'] as const))('when that is ended by %s', async (signal) => {
    const parent = await launchIn('wait')
    expect(runs(parent.launched.pid)).toBe(true)
    process.kill(parent.pid, signal)
    await parent.ended
    await serverIsGone(parent.launched, true)
  })

  test.each(shortAndFull(['return'], ['exit', 'throw']))('when that ends by "%s" and never called close', async (ending) => {
    const parent = await launchIn(ending)
    await parent.ended
    await serverIsGone(parent.launched, true)
  })

  test('and the directory is free for the next start, at once', async () => {
    const directory = await persistentDirectory()
    const parent = await launchIn('wait', directory)
    process.kill(parent.pid, 'SIGKILL')
    await parent.ended
    await using again = await launchPostgres({ directory, durable: false })
    expect(again.directory).toBe(parent.launched.directory)
    expect(again.pid).not.toBe(parent.launched.pid)
  })

  test('but not before it, when Ctrl-C in a terminal signals the whole process group', async () => {
    const parent = await launchIn('finish work')
    process.kill(-parent.pid, 'SIGINT')
    expect(await parent.ended).toEqual(['finished'])
    await serverIsGone(parent.launched, true)
  })

  test('also when the server itself was stopped with SIGSTOP at that moment', async () => {
    const parent = await launchIn('wait')
    process.kill(parent.launched.pid, 'SIGSTOP')
    process.kill(parent.pid, 'SIGKILL')
    await parent.ended
    process.kill(parent.launched.pid, 'SIGCONT')
    await serverIsGone(parent.launched, true)
  })
})
