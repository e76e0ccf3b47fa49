import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Where the pooler is, if it is: the environment's PGBOUNCER, or Debian's package. */
const binary = [process.env.PGBOUNCER, '/usr/sbin/pgbouncer'].find((path) => path !== undefined && existsSync(path))
export const pgbouncerIsHere: boolean = binary !== undefined

/** A pooler in transaction mode. */
export interface Pooler extends AsyncDisposable {
  /** The same database, through the pooler. */
  through(url: string): string
}

/** @param settings lines of pgbouncer.ini beside those that lead to the server */
export async function startPooler(url: string, settings: Readonly<Record<string, string>>): Promise<Pooler> {
  const server = new URL(url)
  const port = await freePort()
  const directory = await mkdtemp(join(tmpdir(), 'comity-pgbouncer-'))
  await chmod(directory, 0o755)
  const all = {
    listen_addr: '127.0.0.1',
    listen_port: String(port),
    unix_socket_dir: '',
    auth_type: 'any',
    pool_mode: 'transaction',
    ...settings,
  }
  const file = join(directory, 'pgbouncer.ini')
  const user = server.username || 'postgres'
  const lines = [
    '[databases]',
    `* = host=${server.hostname} port=${server.port} user=${user}`,
    '[pgbouncer]',
    ...Object.entries(all).map(([name, value]) => `${name} = ${value}`),
  ]
  await writeFile(file, `${lines.join('\n')}\n`)
  const child = spawn(binary as string, [file], {
    stdio: ['ignore', 'ignore', 'pipe'],
    // It refuses to run as root.
    ...(process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}),
  })
  await ready(child)
  return {
    through: (given) => Object.assign(new URL(given), { host: `127.0.0.1:${port}` }).href,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

function ready(child: ChildProcess): Promise<void> {
  let said = ''
  return new Promise((resolve, reject) => {
    child.stderr?.on('data', (chunk) => {
      said += chunk
      if (/process up/.test(said)) resolve()
    })
    child.once('exit', () => reject(new Error(`the pooler ended: ${said}`)))
    child.once('error', reject)
  })
}
