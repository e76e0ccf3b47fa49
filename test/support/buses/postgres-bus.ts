import { readdirSync, readFileSync } from 'node:fs'
import { migrateBus } from 'comity/transport'
import { CrashableServer } from '../crashable-server.ts'
import { freshDatabase } from '../postgres.ts'
import { type Broker, type Bus, busAt, type LaunchBusOptions } from './bus.ts'

/** A database on the server that all tests share, or on one of its own. */
export async function launchPostgresBus({ own = false, claimSilence }: LaunchBusOptions): Promise<Bus> {
  const server = own ? await CrashableServer.start() : undefined
  const url = server ? await server.createDatabase('bus') : (await freshDatabase()).url
  await migrateBus({ url, ...(claimSilence === undefined ? {} : { claimSilence }) })
  return busAt({ kind: 'postgres', url }, server && brokerOf(server), async () => server?.close())
}

function brokerOf(server: CrashableServer): Broker {
  const signalAll = (signal: NodeJS.Signals): void => {
    process.kill(server.pid, signal)
    for (const pid of childrenOf(server.pid)) signalIfAlive(pid, signal)
  }
  return {
    get pid() {
      return server.pid
    },
    keepsMessages: true,
    kill: () => server.kill('SIGKILL'),
    restart: () => server.restart(),
    // Each session has a process: a postmaster that sleeps alone would go unnoticed.
    pause: () => signalAll('SIGSTOP'),
    resume: () => signalAll('SIGCONT'),
  }
}

/** Sessions end when they like. */
function signalIfAlive(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc').flatMap((name) => {
    try {
      return /^\d+$/.test(name) && Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${name}/status`, 'utf8'))?.[1]) === parent
        ? [Number(name)]
        : []
    } catch {
      return [] // it has ended meanwhile
    }
  })
}
