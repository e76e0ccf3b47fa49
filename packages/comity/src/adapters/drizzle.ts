import type { Database } from '../postgres/database.ts'
import { NotATransaction } from '../postgres/errors.ts'
import { isPgPool, surviveLostConnections } from '../postgres/pg-handle.ts'
import { type AdapterOptions, vouchedTransactions } from './vouched-transaction.ts'

/** Drizzle's SQLWrapper around an SQL that is built already. */
interface RawSql {
  // biome-ignore lint/suspicious/noExplicitAny: Drizzle's class SQL has many members; its dialect calls this one
  getSQL(): any
}
interface Drizzle {
  execute(query: RawSql): PromiseLike<unknown>
}
interface DrizzleTransaction extends Drizzle {
  rollback(): never
}
interface DrizzleDatabase<Tx> extends Drizzle {
  transaction<Result>(
    work: (tx: Tx) => Promise<Result>,
    config?: { isolationLevel?: 'read committed'; accessMode?: 'read write' },
  ): Promise<Result>
}

/**
 * A database through the user's Drizzle, over node-postgres or postgres.js. A handler's `tx` is Drizzle's own transaction.
 *
 * @example
 * await db.transaction(async (tx) => {
 *   await tx.insert(sends).values(send)
 *   await marketing.publish(tx, EmailSent, data)
 * })
 */
export function fromDrizzle<Tx extends DrizzleTransaction>(db: DrizzleDatabase<Tx>, options: AdapterOptions = {}): Database<Tx> {
  const { $client } = db as { readonly $client?: unknown }
  if (isPgPool($client)) surviveLostConnections($client)
  return {
    query: async <Row>(text: string, values: readonly unknown[] = []) => ({ rows: (await run(db, text, values)) as Row[] }),
    ...vouchedTransactions<Tx>(
      {
        open: (work) => db.transaction(work, { isolationLevel: 'read committed', accessMode: 'read write' }),
        run,
        check: checkTransaction,
      },
      options,
    ),
    close: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

/** node-postgres answers `{ rows }`, postgres.js the rows themselves. */
async function run(handle: Drizzle, text: string, values: readonly unknown[]): Promise<unknown[]> {
  const built = { toQuery: () => ({ sql: text, params: values }) }
  try {
    const result = (await handle.execute({ getSQL: () => built })) as { readonly rows: unknown[] } | readonly unknown[]
    return 'rows' in result ? result.rows : [...result]
  } catch (error) {
    // Drizzle wraps the driver's error in one whose message repeats the statement with all its parameters.
    throw (error as Error).cause ?? error
  }
}

function checkTransaction(tx: DrizzleTransaction): void {
  if (typeof tx.rollback !== 'function') throw new NotATransaction({ given: 'the `db` of Drizzle' })
}
