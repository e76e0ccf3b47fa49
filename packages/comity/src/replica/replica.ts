import type { Clock } from '../foundation/index.ts'
import { sqlStateOf } from '../postgres/classify-error.ts'
import type { Queryable } from '../postgres/database.ts'
import { ForeignToken, ReplicaNotMigrated, WaitTimedOut } from './errors.ts'
import type { ReplicaColumn } from './replica-columns.ts'
import { replicaSql } from './replica-sql.ts'

/** "At least this": what the owner answers after a change, and what a reader of a copy can wait for. */
export interface Token {
  readonly topic: string
  readonly key: string
  readonly version: number
}

/** A copy as its readers see it. */
export interface Replica {
  /** `schema.table` */
  readonly table: string
  /** The newest version of a key here, deletions included; 0 if nothing is known of it. */
  versionOf(key: string): Promise<number>
  /** Resolves when the copy holds the token's version or a later one; rejects with COMITY_WAIT_TIMED_OUT (default 10 s). */
  waitFor(token: Token, options?: { readonly timeout?: number; readonly signal?: AbortSignal }): Promise<void>
}

/** Tells readers in this process which keys were just applied, so that they need not poll. */
export class AppliedKeys {
  readonly #listeners = new Set<(keys: readonly string[]) => void>()

  announce(keys: readonly string[]): void {
    for (const listener of this.#listeners) listener(keys)
  }
  /** Resolves when the key is announced or the signal aborts. */
  next(key: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#listeners.delete(listener)
        resolve()
      }
      const listener = (keys: readonly string[]): void => {
        if (keys.includes(key)) done()
      }
      this.#listeners.add(listener)
      signal.addEventListener('abort', done, { once: true })
    })
  }
}

export function replica(options: {
  readonly name: string
  readonly topic: string
  readonly database: Queryable
  readonly applied: AppliedKeys
  readonly table: string
  readonly clock: Clock
}): Replica {
  const { name, topic, database, applied, clock } = options
  let versionSql: string | undefined

  async function versionOf(key: string): Promise<number> {
    const known = versionSql
    versionSql ??= await loadVersionSql(database, name)
    try {
      const { rows } = await database.query<{ version: string | null }>(versionSql, [key, name])
      return Number(rows[0]?.version ?? 0)
    } catch (error) {
      // Rebuilt meanwhile, with its key in another column.
      versionSql = undefined
      if (known === undefined || sqlStateOf(error) !== UNDEFINED_COLUMN) throw error
      return versionOf(key)
    }
  }

  async function waitFor(token: Token, { timeout = 10_000, signal }: { timeout?: number; signal?: AbortSignal } = {}): Promise<void> {
    if (token.topic !== topic || !Number.isSafeInteger(token.version))
      throw new ForeignToken({ token: JSON.stringify(token), replica: name })
    const until = clock.monotonic() + timeout
    while ((await versionOf(token.key)) < token.version) {
      signal?.throwIfAborted()
      if (clock.monotonic() >= until) throw new WaitTimedOut({ replica: name, version: token.version, limit: `${timeout} ms` })
      // Another process may apply it: look again after a while even if this one announces nothing.
      const waiting = new AbortController()
      await Promise.race([applied.next(token.key, waiting.signal), clock.sleep(Math.min(50, until - clock.monotonic()), signal)])
      waiting.abort()
    }
  }

  return { table: options.table, versionOf, waitFor }
}

const UNDEFINED_COLUMN = '42703'

async function loadVersionSql(database: Queryable, name: string): Promise<string> {
  const { rows } = await database.query<{ table_schema: string; table_name: string; columns: string }>(
    'select table_schema, table_name, columns::text as columns from comity.replicas where name = $1::text',
    [name],
  )
  const row = rows[0]
  if (row === undefined) throw new ReplicaNotMigrated({ replica: name })
  return replicaSql({ name, schema: row.table_schema, table: row.table_name, columns: JSON.parse(row.columns) as ReplicaColumn[] }).version
}
