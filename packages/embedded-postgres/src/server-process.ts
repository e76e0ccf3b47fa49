import { type ChildProcess, spawn } from 'node:child_process'
import { open } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type Account, commandAs } from './account.ts'
import { type Cluster, readLock, serverEnvironment } from './cluster.ts'
import { DirectoryInUse, PortInUse, StartFailed } from './errors.ts'
import type { Watchdog } from './watchdog.ts'

const READY_WITHIN_MS = 120_000 // crash recovery of a large database takes that long
const FAST_SHUTDOWN_MS = 10_000
const IMMEDIATE_SHUTDOWN_MS = 5_000
const LOG_LIMIT_BYTES = 10 * 1024 * 1024
const TAIL_BYTES = 4_000

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface ServerProcess {
  readonly pid: number
  readonly port: number
  readonly logFile: string
  /** Resolves when the server has ended, for whatever reason. */
  readonly exited: Promise<Exit>
  /** Fast shutdown; harder when that takes too long. */
  stop(): Promise<void>
  kill(signal: 'SIGQUIT' | 'SIGKILL'): Promise<void>
}

/**
 * Starts `postgres` and waits until it accepts connections. Its log goes to a file, not to a pipe: a full pipe, which nobody reads while our
 * event loop is blocked or our process is stopped, would block every session that writes to the log.
 */
export async function startServer(
  account: Account,
  cluster: Cluster,
  watchdog: Watchdog,
  wantedPort: number | undefined,
  settings: Readonly<Record<string, string>>,
): Promise<ServerProcess> {
  for (let attempt = 1; ; attempt++) {
    const port = wantedPort ?? (await freePort())
    const log = await openLog(join(cluster.directory, 'server.log'))
    const options = Object.entries({ ...settings, port: String(port) }).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const [file, args] = commandAs(account, join(account.binaries.bin, 'postgres'), ['-D', cluster.data, ...options])
    const child = spawn(file, args, {
      cwd: '/',
      detached: true, // else Ctrl-C in a terminal would stop the server before its users
      stdio: ['ignore', log.fd, log.fd],
      env: serverEnvironment(),
      ...account.ids,
    })
    watchdog.watch(child.pid)
    child.unref()
    const exited = exitOf(child, watchdog)
    const failure = await untilReady(child, cluster.data, exited)
    const text = failure === undefined ? '' : await log.tail()
    await log.close()
    if (failure === undefined && child.pid !== undefined) return handle(child, child.pid, port, log.path, exited)

    child.kill('SIGKILL')
    if (text.includes('pre-existing shared memory block') && attempt < 50) {
      await new Promise((done) => setTimeout(done, 100)) // sessions of a server that was killed are still ending
      continue
    }
    if (text.includes('Address already in use')) {
      if (wantedPort === undefined && attempt < 5) continue // somebody took the free port in between
      throw new PortInUse({ port })
    }
    const other = /another postmaster \(PID (\d+)\) running/.exec(text)?.[1]
    if (other !== undefined) throw new DirectoryInUse({ directory: cluster.data, pid: other })
    throw new StartFailed({ how: failure ?? 'no process', log: text, file: log.path })
  }
}

function exitOf(child: ChildProcess, watchdog: Watchdog): Promise<Exit> {
  return new Promise((resolve) => {
    const ended = (code: number | null, signal: NodeJS.Signals | null): void => {
      watchdog.watch(undefined) // its pid may soon be another process's
      resolve({ code, signal })
    }
    child.once('exit', ended)
    child.once('error', () => ended(null, null))
  })
}

/** Ready as `pg_ctl` defines it: the lock file is ours and says so. The answer is what went wrong, if anything. */
async function untilReady(child: ChildProcess, data: string, exited: Promise<Exit>): Promise<string | undefined> {
  let exit: Exit | undefined
  void exited.then((how) => {
    exit = how
  })
  for (const deadline = Date.now() + READY_WITHIN_MS; Date.now() < deadline; ) {
    await new Promise((done) => setTimeout(done, 10))
    if (exit) return exit.signal ? `it was ended by ${exit.signal}` : `it exited with code ${exit.code}`
    const lock = await readLock(data)
    if (lock?.pid === child.pid && lock?.status === 'ready') return undefined
  }
  return `it was not ready after ${READY_WITHIN_MS / 1000} s`
}

function handle(child: ChildProcess, pid: number, port: number, logFile: string, exited: Promise<Exit>): ServerProcess {
  let running = true
  void exited.then(() => {
    running = false
  })
  const signal = async (name: NodeJS.Signals, withinMs?: number): Promise<void> => {
    if (!running) return
    child.kill(name)
    child.ref() // whoever waits for the end keeps the process alive for it
    let timer: NodeJS.Timeout | undefined
    const late = new Promise((resolve) => {
      if (withinMs !== undefined) timer = setTimeout(resolve, withinMs)
    })
    await Promise.race([exited, late])
    clearTimeout(timer)
    child.unref()
  }
  return {
    pid,
    port,
    logFile,
    exited,
    stop: async () => {
      await signal('SIGINT', FAST_SHUTDOWN_MS)
      await signal('SIGQUIT', IMMEDIATE_SHUTDOWN_MS)
      await signal('SIGKILL')
    },
    kill: (name) => signal(name),
  }
}

async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

/** Earlier runs are kept, for the reader who asks why the last one ended, until the file is large. */
async function openLog(path: string): Promise<{ fd: number; path: string; tail(): Promise<string>; close(): Promise<void> }> {
  const file = await open(path, 'a+', 0o644)
  if ((await file.stat()).size > LOG_LIMIT_BYTES) await file.truncate(0)
  const start = (await file.stat()).size
  return {
    fd: file.fd,
    path,
    tail: async () => {
      const end = (await file.stat()).size
      const from = Math.max(start, end - TAIL_BYTES)
      const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(end - from), position: from })
      return buffer.toString('utf8', 0, bytesRead).trim()
    },
    close: () => file.close(),
  }
}
