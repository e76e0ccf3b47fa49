import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  DirectoryInUse,
  DirectoryIsForeign,
  type EmbeddedPostgres,
  type LaunchOptions,
  launchPostgres,
  PortInUse,
  PostgresNotFound,
  QueryFailed,
  StartFailed,
  UnknownOption,
} from '@comity/embedded-postgres'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemPostgresIsHere } from '../../../test/support/postgres.ts'

let scratch: string
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'comity-test-'))
})
afterEach(() => rm(scratch, { recursive: true, force: true }))

const launch = (options: LaunchOptions = {}): Promise<EmbeddedPostgres> => launchPostgres({ durable: false, ...options })

async function query(url: string, sql: string): Promise<unknown[][]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query({ text: sql, rowMode: 'array' })).rows
  } finally {
    await client.end()
  }
}

describe('launchPostgres', () => {
  test('gives a server with logical decoding on 127.0.0.1 only, and removes it whole', async () => {
    const postgres = await launch()
    expect(postgres.version).toMatch(/^18\./)
    const sql = `select current_setting('server_version'), current_user::text, current_database()::text, current_setting('listen_addresses'),
      current_setting('wal_level'), current_setting('server_encoding'), current_setting('unix_socket_directories'), current_setting('fsync')`
    expect(await query(postgres.url, sql)).toEqual([[postgres.version, 'postgres', 'postgres', '127.0.0.1', 'logical', 'UTF8', '', 'off']])
    expect(existsSync(postgres.directory)).toBe(true)
    await postgres.close()
    await postgres.close()
    expect(existsSync(postgres.directory)).toBe(false)
    expect(await postgres.exited).toEqual({ code: 0, signal: null })
    await expect(query(postgres.url, 'select 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })

  test('is durable unless told otherwise', async () => {
    await using postgres = await launchPostgres({ superuser: 'own er', settings: { max_connections: '7' } })
    const sql = `select current_setting('fsync'), current_setting('full_page_writes'), current_setting('max_connections'), current_user::text`
    expect(await query(postgres.url, sql)).toEqual([['on', 'on', '7', 'own er']])
  })

  test('creates databases, whatever their name, and says which it refused', async () => {
    await using postgres = await launch()
    for (const name of ['crm', 'Üser "quoted" and /slashed %41 @:', 'crm-2']) {
      const url = await postgres.createDatabase(name)
      expect(url).toBe(postgres.databaseUrl(name))
      expect(await query(url, 'select current_database()::text')).toEqual([[name]])
    }
    await query(postgres.url, 'create role reader login')
    expect(await query(postgres.databaseUrl('crm', 'reader'), 'select current_user::text')).toEqual([['reader']])
    expect(await postgres.createDatabase('crm', { ifNotExists: true })).toBe(postgres.databaseUrl('crm'))
    const refusal = await postgres.createDatabase('crm').catch((error: unknown) => error)
    expect(refusal).toBeInstanceOf(QueryFailed)
    expect(refusal).toMatchObject({ message: expect.stringMatching(/"crm" already exists \(SQLSTATE 42P04\)/) })
    await Promise.all(['a', 'b', 'c', 'd'].map((name) => postgres.createDatabase(name)))
  })

  test('two servers live side by side, each on a free port', async () => {
    const both = await Promise.all([launch(), launch()])
    try {
      expect(new Set(both.map(({ port }) => port)).size).toBe(2)
      for (const { url } of both) expect(await query(url, 'select 1')).toEqual([[1]])
    } finally {
      await Promise.all(both.map((postgres) => postgres.close()))
    }
  })

  test('refuses an option it does not know', async () => {
    await expect(launch({ datadir: '/x' } as LaunchOptions)).rejects.toThrow(UnknownOption)
  })

  test('says what it looked at when there is no such Postgres', async () => {
    const error = await launch({ source: 'npm', major: 12 }).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(PostgresNotFound)
    expect(error).toMatchObject({ message: expect.stringMatching(/major 12[\s\S]*Postgres 18\.[\s\S]*What to do: /) })
  })

  test('rejects with the end of the log when the server does not start', async () => {
    const error = await launch({ settings: { shared_buffers: 'plenty' } }).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(StartFailed)
    expect(error).toMatchObject({
      message: expect.stringMatching(/exited with code 1[\s\S]*invalid value for parameter "shared_buffers": "plenty"/),
    })
  })

  test('rejects when the port is taken', async () => {
    const other = createServer()
    const port = await new Promise<number>((resolve) => {
      other.listen(0, '127.0.0.1', () => {
        const address = other.address()
        resolve(typeof address === 'object' && address ? address.port : 0)
      })
    })
    await expect(launch({ port })).rejects.toThrow(PortInUse)
    await new Promise((resolve) => other.close(resolve))
  })

  test.runIf(systemPostgresIsHere)('launches the system Postgres', async () => {
    await using postgres = await launch({ source: 'system', major: 15 })
    expect(postgres.version).toMatch(/^15\./)
    expect(await query(await postgres.createDatabase('crm'), 'select current_database()::text')).toEqual([['crm']])
  })

  test('tells its logger of start, stop and an unexpected end', async () => {
    const lines: string[] = []
    const logger = { info: (line: string) => lines.push(`info ${line}`), warn: (line: string) => lines.push(`warn ${line}`) }
    const postgres = await launch({ logger })
    process.kill(postgres.pid, 'SIGQUIT')
    await postgres.exited
    await postgres.close()
    expect(lines).toEqual([
      expect.stringMatching(/^info Postgres 18\.\S+ \(npm\) is ready on port \d+ after \d+ ms, pid \d+$/),
      expect.stringMatching(/^warn Postgres \(pid \d+\) ended unexpectedly/),
      expect.stringMatching(/^info .*stopped/),
    ])
  })
})

describe('a directory of its own', () => {
  test('keeps the data from run to run, on the port that was given', async () => {
    const directory = join(scratch, 'deep', 'database')
    const first = await launch({ directory })
    await query(await first.createDatabase('crm'), 'create table customers as select 7 as id')
    await first.close()
    await using second = await launch({ directory, port: first.port })
    expect(second.port).toBe(first.port)
    expect(await query(second.databaseUrl('crm'), 'select id from customers')).toEqual([[7]])
  })

  test.each(['immediate', 'SIGKILL'] as const)('comes back after %s, with what was committed', async (how) => {
    const directory = join(scratch, 'database')
    await using first = await launchPostgres({ directory })
    await query(first.url, 'create table customers as select 7 as id')
    await first.kill(how)
    expect(existsSync(join(directory, 'data', 'postmaster.pid'))).toBe(how === 'SIGKILL')
    await using second = await launchPostgres({ directory, port: first.port })
    expect(await query(second.url, 'select id from customers')).toEqual([[7]])
  })

  test('serves one server at a time; the error names its pid', async () => {
    const directory = join(scratch, 'database')
    await using first = await launch({ directory })
    const error = await launch({ directory }).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(DirectoryInUse)
    expect(error).toMatchObject({ message: expect.stringContaining(`(pid ${first.pid})`) })
    expect(await query(first.url, 'select 1')).toEqual([[1]])
  })

  test('is made once when two processes start on it at the same moment; one of them serves', async () => {
    const directory = join(scratch, 'database')
    const results = await Promise.allSettled([launch({ directory }), launch({ directory })])
    const serving = results.filter((result) => result.status === 'fulfilled').map(({ value }) => value)
    const refused = results.filter((result) => result.status === 'rejected').map(({ reason }) => reason as unknown)
    expect(serving).toHaveLength(1)
    expect(refused).toEqual([expect.any(DirectoryInUse)])
    await serving[0]?.close()
  })

  test('is not blocked by the lock of a dead server whose pid belongs to another process by now', async () => {
    const directory = join(scratch, 'database')
    const first = await launch({ directory })
    const lock = join(directory, 'data', 'postmaster.pid')
    const text = await readFile(lock, 'utf8')
    await first.close()
    const ids = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {} // the account of the server: one that it may signal
    const stranger = spawn('sleep', ['600'], { stdio: 'ignore', ...ids })
    try {
      await writeFile(lock, text.replace(/^\d+/, String(stranger.pid)))
      await using second = await launch({ directory })
      expect(await query(second.url, 'select 1')).toEqual([[1]])
    } finally {
      stranger.kill('SIGKILL')
    }
  })

  test('is cleared of what a crash during its creation left', async () => {
    const directory = join(scratch, 'database')
    await mkdir(join(directory, '.initdb-4194303999-0a1b2c3d', 'base'), { recursive: true })
    await using postgres = await launch({ directory })
    expect(existsSync(join(directory, '.initdb-4194303999-0a1b2c3d'))).toBe(false)
    expect(await query(postgres.url, 'select 1')).toEqual([[1]])
  })

  test('is refused when it holds something else, which is left alone', async () => {
    const directory = join(scratch, 'database')
    await mkdir(join(directory, 'data'), { recursive: true })
    await writeFile(join(directory, 'data', 'thesis.txt'), 'years of work')
    await expect(launch({ directory })).rejects.toThrow(DirectoryIsForeign)
    expect(await readFile(join(directory, 'data', 'thesis.txt'), 'utf8')).toBe('years of work')
  })

  test('may be a copy of a cluster', async () => {
    const directory = join(scratch, 'database')
    const first = await launch({ directory })
    await query(first.url, 'create table customers as select 7 as id')
    await first.close()
    const copy = join(scratch, 'copy')
    await cp(join(directory, 'data'), copy, { recursive: true })
    await using second = await launch({ directory: copy })
    expect(await query(second.url, 'select id from customers')).toEqual([[7]])
  })
})
