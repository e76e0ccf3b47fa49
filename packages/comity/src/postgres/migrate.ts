import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { backoff } from '../foundation/backoff.ts'
import { type Duration, parseDuration } from '../foundation/duration.ts'
import { classifyError, describeError, sqlStateOf } from './classify-error.ts'
import type { Database, Queryable } from './database.ts'
import { MigrationBlocked, MigrationChanged, MigrationFailed, SchemaIsNewer } from './errors.ts'
import { qualified, quoteIdentifier, quoteLiteral } from './quote.ts'

/**
 * A numbered list of migrations, applied once each, in order, in a transaction of its own.
 *
 * Two processes at once are safe: each transaction takes one advisory *transaction* lock first (a session lock would outlive
 * a stopped process and leak through poolers) and reads what is applied under it. Every migration runs with a small
 * lock_timeout and is repeated, so that a long business transaction holds up the migration and not, behind it, everybody.
 */
export interface Migration {
  /** Sorts as it is applied, e.g. `0003-waiting-lines`; never renamed after its release. */
  readonly name: string
  /** Any number of statements, without transaction control. */
  readonly sql: string
}

export interface MigrationPlan {
  /** Holds the table of applied migrations; created when missing. */
  readonly schema: string
  /** Default `migrations`. */
  readonly table?: string
  /** Major version of this code. A database of a higher one is refused; unknown migrations of the same one are fine. */
  readonly major: number
  readonly migrations: readonly Migration[]
  /** How long a statement waits for a lock before the migration is rolled back and tried again. Default '100ms'. */
  readonly lockTimeout?: Duration
  /** How long to go on trying. Default '60s'. */
  readonly patience?: Duration
}

/** Applies what is pending; returns the names of what this call applied. */
export async function applyMigrations<Tx>(database: Database<Tx>, plan: MigrationPlan): Promise<readonly string[]> {
  const applied: string[] = []
  for (;;) {
    const name = await applyNext(database, plan)
    if (name === undefined) return applied
    applied.push(name)
  }
}

/** What is not applied yet. Throws COMITY_SCHEMA_IS_NEWER and COMITY_MIGRATION_CHANGED; creates nothing. */
export async function pendingMigrations(database: Queryable, plan: MigrationPlan): Promise<readonly Migration[]> {
  const { rows } = await database.query<{ found: boolean }>('select to_regclass($1::text) is not null as found', [tableOf(plan)])
  return rows[0]?.found ? pendingIn(database, plan) : plan.migrations
}

/** All of the plan as a script for psql that does and records the same; what is recorded already must be left out by the caller. */
export function printMigrations(plan: MigrationPlan): string {
  return plan.migrations
    .map(({ name, sql }) =>
      [
        `-- ${name}`,
        'begin;',
        `set local lock_timeout = ${quoteLiteral(plan.lockTimeout ?? '100ms')};`,
        ...bookkeeping(plan).map((statement) => `${statement};`),
        sql.trim(),
        `insert into ${tableOf(plan)} (name, checksum, major) values (${quoteLiteral(name)}, '${checksumOf(sql)}', ${plan.major});`,
        'commit;',
        '',
      ].join('\n'),
    )
    .join('\n')
}

async function applyNext<Tx>(database: Database<Tx>, plan: MigrationPlan): Promise<string | undefined> {
  const patience = parseDuration(plan.patience ?? '60s', 'migrate.patience')
  const end = performance.now() + patience
  for (let attempt = 0; ; attempt++) {
    let name = plan.migrations[0]?.name ?? ''
    let blockedBy: string
    try {
      const outcome = await database.transaction(async (tx): Promise<'busy' | 'done' | 'applied'> => {
        const joined = database.join(tx)
        if (!(await lock(joined, plan))) return 'busy'
        for (const statement of bookkeeping(plan)) await joined.query(statement)
        const [next] = await pendingIn(joined, plan)
        if (next === undefined) return 'done'
        name = next.name
        await run(joined, plan, next)
        return 'applied'
      })
      if (outcome === 'done') return undefined
      if (outcome === 'applied') return name
      blockedBy = 'another process migrates'
    } catch (error) {
      // Two creations of one schema or table collide on the catalogue's unique index when the other one is not ours.
      if (classifyError(error) !== 'retryable' && sqlStateOf(error) !== '23505') throw error
      blockedBy = describeError(error)
    }
    if (performance.now() >= end) throw new MigrationBlocked({ name, patience, reason: blockedBy })
    await delay(backoff(attempt, { min: 20, max: 500 }))
  }
}

async function lock(tx: Queryable, plan: MigrationPlan): Promise<boolean> {
  const { rows } = await tx.query<{ locked: boolean }>(
    'select pg_try_advisory_xact_lock(hashtextextended($1::text, 0)) as locked, set_config($2::text, $3::text, true) as timeout',
    [`comity.migrate ${tableOf(plan)}`, 'lock_timeout', `${parseDuration(plan.lockTimeout ?? '100ms', 'migrate.lockTimeout')}ms`],
  )
  return rows[0]?.locked === true
}

function bookkeeping(plan: MigrationPlan): readonly string[] {
  const columns =
    'name text primary key, checksum text not null, major int not null, applied_at timestamptz not null default clock_timestamp()'
  return [`create schema if not exists ${quoteIdentifier(plan.schema)}`, `create table if not exists ${tableOf(plan)} (${columns})`]
}

async function pendingIn(database: Queryable, plan: MigrationPlan): Promise<readonly Migration[]> {
  const { rows } = await database.query<{ name: string; checksum: string; major: number }>(
    `select name, checksum, major from ${tableOf(plan)}`,
  )
  const found = Math.max(0, ...rows.map((row) => row.major))
  if (found > plan.major) throw new SchemaIsNewer({ schema: plan.schema, found, major: plan.major })
  const applied = new Map(rows.map((row) => [row.name, row.checksum]))
  return plan.migrations.filter(({ name, sql }) => {
    const checksum = applied.get(name)
    if (checksum !== undefined && checksum !== checksumOf(sql)) throw new MigrationChanged({ name, table: tableOf(plan) })
    return checksum === undefined
  })
}

/** One DO block, because not every library passes several statements on in one call; EXECUTE runs them one by one. */
async function run(tx: Queryable, plan: MigrationPlan, { name, sql }: Migration): Promise<void> {
  try {
    await tx.query(`do ${quoteLiteral(`begin execute ${quoteLiteral(sql)}; end`)}`)
  } catch (error) {
    if (sqlStateOf(error) === undefined || classifyError(error) === 'retryable') throw error
    throw new MigrationFailed({ name, reason: `${describeError(error)}${placeOf(error)}` }, { cause: error })
  }
  await tx.query(`insert into ${tableOf(plan)} (name, checksum, major) values ($1::text, $2::text, $3::text::int)`, [
    name,
    checksumOf(sql),
    plan.major,
  ])
}

/** The line of the failed statement inside the migration, where the library passes it on. */
function placeOf(error: unknown): string {
  const { internalPosition, internalQuery, internal_position, internal_query } = error as Readonly<Record<string, unknown>>
  const position = Number(internalPosition ?? internal_position)
  const text = internalQuery ?? internal_query
  return typeof text === 'string' && position > 0 ? `, line ${text.slice(0, position).split('\n').length}` : ''
}

/** Line ends do not count: git may change them. */
function checksumOf(sql: string): string {
  return createHash('sha256').update(sql.replaceAll('\r\n', '\n')).digest('hex')
}

function tableOf(plan: MigrationPlan): string {
  return qualified(plan.schema, plan.table ?? 'migrations')
}
