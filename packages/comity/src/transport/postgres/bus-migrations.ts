import { readdir, readFile } from 'node:fs/promises'
import { Client } from 'pg'
import { translateBusError } from './bus-errors.ts'

export interface BusMigration {
  readonly number: number
  readonly name: string
  readonly sql: string
}

export interface MigrateBusOptions {
  /** The operator's: a superuser or the role that owns schema `comity_bus`. */
  readonly url: string
  /** How long acknowledged messages stay for `seek`, in milliseconds; unchanged if not given (a new bus: 7 days). */
  readonly retention?: number
  /** How long an incarnation must be silent before a stranger may succeed it, in milliseconds; unchanged if not given (15 s). */
  readonly claimSilence?: number
}

/** From `src` and from `dist` alike: the SQL ships as source. */
const folder = new URL('../../../src/transport/postgres/migrations/', import.meta.url)

/** The migrations of the bus's database, in order. */
export async function readBusMigrations(): Promise<readonly BusMigration[]> {
  const names = (await readdir(folder)).filter((name) => /^\d{4}-[a-z0-9-]+\.sql$/.test(name)).sort()
  return Promise.all(
    names.map(async (name) => ({
      number: Number(name.slice(0, 4)),
      name: name.slice(5, -4),
      sql: await readFile(new URL(name, folder), 'utf8'),
    })),
  )
}

/**
 * Brings the bus's schema up to date, in one transaction; two processes at once do it once (the lock is the transaction's,
 * so a pooler cannot leak it). Answers what was run, e.g. `['0001-bus']`.
 */
export async function migrateBus(options: MigrateBusOptions): Promise<readonly string[]> {
  const migrations = await readBusMigrations()
  const client = new Client({ connectionString: options.url, application_name: 'comity-bus-migrate', connectionTimeoutMillis: 10_000 })
  client.on('error', () => undefined) // the statement in flight rejects
  const ran: string[] = []
  try {
    await client.connect()
    await client.query('begin isolation level read committed')
    await client.query(`select pg_advisory_xact_lock(hashtextextended('comity_bus migrations', 0))`)
    // Not "create … if not exists": that needs the right to create even where nothing is missing.
    const { rows: schemas } = await client.query(`select to_regclass('comity_bus.migrations') is not null as present`)
    if (!schemas[0].present) {
      await client.query('create schema comity_bus')
      await client.query(
        'create table comity_bus.migrations (number integer primary key, name text not null, applied_at timestamptz not null default now())',
      )
    }
    const { rows: applied } = await client.query<{ number: number }>('select number from comity_bus.migrations')
    for (const { number, name, sql } of migrations) {
      if (applied.some((row) => row.number === number)) continue
      await client.query(sql)
      await client.query('insert into comity_bus.migrations (number, name) values ($1::integer, $2::text)', [number, name])
      ran.push(`${String(number).padStart(4, '0')}-${name}`)
    }
    for (const [column, ms] of [
      ['retention', options.retention],
      ['claim_silence', options.claimSilence],
    ] as const) {
      if (ms === undefined) continue
      await client.query(`update comity_bus.settings set ${column} = $1::double precision * interval '1 millisecond'`, [ms])
    }
    if (ran.length > 0) await client.query('select comity_bus.maintain()')
    await client.query('commit')
    return ran
  } catch (error) {
    throw translateBusError(error)
  } finally {
    await client.end().catch(() => undefined)
  }
}
