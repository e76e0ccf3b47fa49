/**
 * The servers of a test run: one embedded Postgres 18 and, when a test asks for it, the system's Postgres 15. They live in one process
 * (vitest's main process, or the process of a longer run) and the tests' processes ask for databases over HTTP, so that a server is
 * started once, and only if somebody needs it.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { type EmbeddedPostgres, launchPostgres } from '@comity/embedded-postgres'
import { applyMigrations, connect, loadMigrations } from '../../packages/comity/src/postgres/index.ts'

export type ServerName = 'npm' | 'system'

export interface TestDatabase {
  readonly url: string
  readonly name: string
  readonly server: ServerName
  /** e.g. `18.4`. */
  readonly version: string
}

export interface PostgresServers {
  /** What the tests' processes find in {@link SERVERS_VARIABLE}. */
  readonly address: string
  close(): Promise<void>
}

export const SERVERS_VARIABLE = 'COMITY_TEST_SERVERS'
export const SYSTEM_MAJOR = 15

export async function startPostgresServers(): Promise<PostgresServers> {
  const servers = new Map<ServerName, Promise<DatabaseSource>>()
  const http = createServer((request, response) => {
    response.setHeader('connection', 'close') // a connection that is kept would keep its process from ending
    const [, asked, migrated] = (request.url ?? '').split('/')
    const name: ServerName = asked === 'system' ? 'system' : 'npm'
    const source = servers.get(name) ?? startSource(name)
    servers.set(name, source)
    source
      .then((started) => (migrated === undefined ? started.empty() : started.migrated()))
      .then(
        (database) => response.end(JSON.stringify(database)),
        (error: unknown) => response.writeHead(500).end(String(error)),
      )
  })
  http.unref()
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  return {
    address: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    close: async () => {
      http.close()
      http.closeAllConnections()
      await Promise.allSettled([...servers.values()].map(async (source) => (await source).close()))
    },
  }
}

interface DatabaseSource {
  empty(): Promise<TestDatabase>
  /** With a team's numbered migrations: copying a database costs a tenth of applying them. */
  migrated(): Promise<TestDatabase>
  close(): Promise<void>
}

async function startSource(server: ServerName): Promise<DatabaseSource> {
  const keep = process.env.COMITY_KEEP === '1'
  const kept = fileURLToPath(new URL(`../output/postgres-${server}-${Date.now()}`, import.meta.url))
  const postgres = await launchPostgres({
    source: server,
    durable: false,
    settings: {
      max_connections: '300',
      max_prepared_transactions: '20',
      max_wal_senders: '20',
      max_replication_slots: '20',
      deadlock_timeout: '100ms',
    },
    ...(server === 'system' ? { major: SYSTEM_MAJOR } : {}),
    ...(keep ? { directory: kept } : {}),
  })
  const run = Date.now().toString(36)
  let count = 0
  const name = (): string => `test_${run}_${++count}`
  const describe = (name: string, url: string): TestDatabase => ({ url, name, server, version: postgres.version })
  const createEmpty = async (): Promise<TestDatabase> => {
    const given = name()
    return describe(given, await postgres.createDatabase(given))
  }
  let spare: Promise<TestDatabase> | undefined // one is made ahead, while the test before it runs
  let template: Promise<string> | undefined
  return {
    empty: async () => {
      const database = spare ?? createEmpty()
      spare = undefined
      const given = await database
      spare ??= createEmpty()
      spare.catch(() => {}) // whoever takes it sees the error
      return given
    },
    migrated: async () => {
      template ??= migratedTemplate(postgres, `template_${run}`)
      const given = name()
      await runSql(postgres.url, `create database ${given} template ${await template} strategy file_copy`)
      return describe(given, postgres.databaseUrl(given))
    },
    close: async () => {
      await spare?.catch(() => {})
      await postgres.close()
      if (keep) console.error(`COMITY_KEEP: the databases of this run are in ${kept}`)
    },
  }
}

async function migratedTemplate(postgres: EmbeddedPostgres, name: string): Promise<string> {
  const database = connect(await postgres.createDatabase(name), { max: 1 })
  const migrations = await loadMigrations(new URL('../../packages/comity/migrations/', import.meta.url))
  await applyMigrations(database, { schema: 'comity', major: 1, migrations }).finally(() => database.close())
  await runSql(postgres.url, `alter database ${name} allow_connections false`) // while somebody is connected it can't be copied
  return name
}

async function runSql(url: string, sql: string): Promise<void> {
  const database = connect(url, { max: 1 })
  await database.query(sql).finally(() => database.close())
}
