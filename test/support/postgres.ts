import { existsSync } from 'node:fs'
import { describe } from 'vitest'
import { connect } from '../../packages/comity/src/postgres/index.ts'
import { full } from './full.ts'
import {
  type PostgresServers,
  SERVERS_VARIABLE,
  type ServerName,
  SYSTEM_MAJOR,
  startPostgresServers,
  type TestDatabase,
} from './postgres-servers.ts'

export type { ServerName, TestDatabase } from './postgres-servers.ts'

let ownServers: Promise<PostgresServers> | undefined

export interface FreshDatabaseOptions {
  /** Postgres 18 (`npm`, the default) or the system's 15 (`system`). */
  readonly server?: ServerName
  /** With a team's numbered migrations, where migrating is not the subject: much sooner than by applying them. Default: empty. */
  readonly migrated?: boolean
}

/** A new database on a real Postgres. The URL is the superuser's. It vanishes with the run's server; `COMITY_KEEP=1` keeps the files. */
export async function freshDatabase({ server = 'npm', migrated = false }: FreshDatabaseOptions = {}): Promise<TestDatabase> {
  const address = process.env[SERVERS_VARIABLE] ?? (await startOwnServers()).address
  const response = await fetch(`${address}/${server}${migrated ? '/migrated' : ''}`)
  const body = await response.text()
  if (!response.ok) throw new Error(body)
  return JSON.parse(body) as TestDatabase
}

/** A database as it is now, as another one: what a backup would bring back. Nobody may be connected to it. */
export async function copyOfDatabase(url: string): Promise<string> {
  const copy = new URL(url)
  const name = copy.pathname.slice(1)
  copy.pathname = `/${name}_copy`
  const server = new URL(url)
  server.pathname = '/postgres'
  await using db = connect(server.href)
  await db.query(`create database "${name}_copy" template "${name}"`)
  return copy.href
}

/** Outside of vitest, in the processes of longer runs, there are no servers to share. */
function startOwnServers(): Promise<PostgresServers> {
  ownServers ??= startPostgresServers()
  return ownServers
}

/** Is the system's Postgres 15 here? Where it has to be (CI), its absence is a failure of the tests that need it. */
export const systemPostgresIsHere: boolean = existsSync(`/usr/lib/postgresql/${SYSTEM_MAJOR}/bin/postgres`) || process.env.CI === 'true'

/** Runs a suite on each Postgres that we promise: 18, and 15 where it is installed (elsewhere the skipped suite shows). */
export function onEachPostgres(name: string, suite: (server: ServerName) => void): void {
  describe(`${name}, on Postgres 18`, () => suite('npm'))
  const title = `${name}, on Postgres ${SYSTEM_MAJOR}`
  if (systemPostgresIsHere) describe(title, () => suite('system'))
  else describe.skip(`${title} (skipped: not installed; Debian: apt-get install postgresql-${SYSTEM_MAJOR})`, () => suite('system'))
}

/** For suites whose SQL is checked on both elsewhere: on Postgres 18, and in the long form on 15 too. */
export function onNewestPostgres(name: string, suite: (server: ServerName) => void): void {
  if (full) onEachPostgres(name, suite)
  else describe(`${name}, on Postgres 18`, () => suite('npm'))
}
