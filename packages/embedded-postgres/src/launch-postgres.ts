import { rm } from 'node:fs/promises'
import { chooseAccount } from './account.ts'
import { findBinaries, type PostgresSource } from './binaries.ts'
import { type Cluster, ensureCluster, openDirectory, refuseLiveServer } from './cluster.ts'
import { UnknownOption, UnsupportedPlatform } from './errors.ts'
import { type Exit, type ServerProcess, startServer } from './server-process.ts'
import { simpleQuery } from './simple-query.ts'
import { startWatchdog, type Watchdog } from './watchdog.ts'

const HOST = '127.0.0.1'
/** The second is what the slower of two gets who create it at the same time. */
const DUPLICATE_DATABASE = ['42P04', '23505']

/** `console` and pino's loggers fit. */
export interface PostgresLogger {
  info(message: string): void
  warn(message: string): void
}

export interface LaunchOptions {
  /** Where the database lives from run to run, `data` and `server.log` inside it. Default: a temporary one, removed by `close`. */
  readonly directory?: string
  /** Default: a free one. */
  readonly port?: number
  /** Default `auto`: the npm binaries, else a system Postgres. */
  readonly source?: PostgresSource
  /** Only this major version, e.g. 15. Default: any from 15 on. */
  readonly major?: number
  /** Server settings, e.g. `{ max_connections: '300' }`; they win over the launcher's own. */
  readonly settings?: Readonly<Record<string, string>>
  /** `false` gives up safety against a crash of the machine for speed (`fsync=off`, `full_page_writes=off`): for tests. Default `true`. */
  readonly durable?: boolean
  /** Name of the superuser of a new cluster. Default `postgres`. */
  readonly superuser?: string
  /** Told of start, stop and unexpected end. Default: silence. */
  readonly logger?: PostgresLogger
}

export interface EmbeddedPostgres extends AsyncDisposable {
  /** Of the database `postgres`, as superuser. */
  readonly url: string
  readonly host: string
  readonly port: number
  /** e.g. `18.4`. */
  readonly version: string
  readonly pid: number
  readonly directory: string
  readonly logFile: string
  /** Resolves when the server has ended, for whatever reason. */
  readonly exited: Promise<Exit>
  databaseUrl(database: string, role?: string): string
  /** Creates a database and gives its URL. `ifNotExists` accepts one that is there. */
  createDatabase(name: string, options?: { readonly ifNotExists?: boolean }): Promise<string>
  /** Ends the server as a crash would, and keeps its files: `immediate` leaves its processes time to go, `SIGKILL` does not. */
  kill(how: 'immediate' | 'SIGKILL'): Promise<void>
  /** Stops the server, and removes its directory if that was temporary. May be called again. */
  close(): Promise<void>
}

/**
 * Starts a real Postgres and resolves when it accepts connections. It listens on 127.0.0.1 only, trusts every local connection, and has
 * `wal_level=logical`. It ends with `close`, and by itself when this process ends in whatever way; it does not keep this process alive.
 */
export async function launchPostgres(options: LaunchOptions = {}): Promise<EmbeddedPostgres> {
  refuseUnknown(options)
  if (process.platform === 'win32') throw new UnsupportedPlatform({ platform: 'Windows' })
  const started = performance.now()
  const superuser = options.superuser ?? 'postgres'
  const binaries = await findBinaries(options.source ?? 'auto', options.major)
  const cluster = await openDirectory(options.directory)
  const watchdog = startWatchdog(cluster.data, cluster.temporary ? cluster.directory : undefined)
  try {
    const account = await chooseAccount(binaries, cluster.directory, cluster.data)
    await refuseLiveServer(cluster.data)
    await ensureCluster(cluster, account, superuser)
    const server = await startServer(account, cluster, watchdog, options.port, settingsOf(options))
    options.logger?.info(
      `Postgres ${binaries.version} (${binaries.source}) is ready on port ${server.port} after ${Math.round(performance.now() - started)} ms, pid ${server.pid}`,
    )
    return embeddedPostgres(server, cluster, watchdog, binaries.version, superuser, options.logger)
  } catch (error) {
    await cleanUp(cluster, watchdog)
    throw error
  }
}

function embeddedPostgres(
  server: ServerProcess,
  cluster: Cluster,
  watchdog: Watchdog,
  version: string,
  superuser: string,
  logger: PostgresLogger | undefined,
): EmbeddedPostgres {
  let closing: Promise<void> | undefined
  let expected = false
  void server.exited.then(({ code, signal }) => {
    if (!expected)
      logger?.warn(`Postgres (pid ${server.pid}) ended unexpectedly (${signal ?? `code ${code}`}); its log is ${server.logFile}`)
  })
  const databaseUrl = (database: string, role = superuser): string => {
    const path = encodeURI(database).replace(/[?#]/g, encodeURIComponent) // pg, unlike libpq, does not decode more
    return `postgresql://${encodeURIComponent(role)}@${HOST}:${server.port}/${path}`
  }
  const close = async (): Promise<void> => {
    expected = true
    await server.stop()
    await cleanUp(cluster, watchdog)
    logger?.info(`Postgres (pid ${server.pid}) has stopped`)
  }
  const closeOnce = (): Promise<void> => (closing ??= close())
  return {
    url: databaseUrl('postgres'),
    host: HOST,
    port: server.port,
    version,
    pid: server.pid,
    directory: cluster.directory,
    logFile: server.logFile,
    exited: server.exited,
    databaseUrl,
    createDatabase: async (name, { ifNotExists = false } = {}) => {
      // file_copy: twice as fast as the default for a small template
      const sql = `create database "${name.replaceAll('"', '""')}" strategy file_copy`
      const at = { host: HOST, port: server.port, user: superuser, database: 'postgres' }
      await simpleQuery(at, sql, ifNotExists ? DUPLICATE_DATABASE : undefined)
      return databaseUrl(name)
    },
    kill: (how) => {
      expected = true
      return server.kill(how === 'immediate' ? 'SIGQUIT' : 'SIGKILL')
    },
    close: closeOnce,
    [Symbol.asyncDispose]: closeOnce,
  }
}

async function cleanUp(cluster: Cluster, watchdog: Watchdog): Promise<void> {
  if (cluster.temporary) await rm(cluster.directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
  watchdog.release()
}

function settingsOf(options: LaunchOptions): Record<string, string> {
  return {
    listen_addresses: HOST,
    unix_socket_directories: '',
    wal_level: 'logical',
    lc_messages: 'C',
    ...(options.durable === false ? { fsync: 'off', full_page_writes: 'off' } : {}),
    ...options.settings,
  }
}

const OPTIONS: Record<keyof LaunchOptions, true> = {
  directory: true,
  port: true,
  source: true,
  major: true,
  settings: true,
  durable: true,
  superuser: true,
  logger: true,
}

function refuseUnknown(options: LaunchOptions): void {
  const unknown = Object.keys(options).find((option) => !Object.hasOwn(OPTIONS, option))
  if (unknown !== undefined) throw new UnknownOption({ option: unknown, known: Object.keys(OPTIONS).join(', ') })
}
