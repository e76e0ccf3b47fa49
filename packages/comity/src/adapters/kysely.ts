import type { Database } from '../postgres/database.ts'
import { NotATransaction, TransactionIsOver } from '../postgres/errors.ts'
import { type PgPool, surviveLostConnections } from '../postgres/pg-handle.ts'
import { type AdapterOptions, vouchedTransactions } from './vouched-transaction.ts'

/** Kysely's CompiledQuery.raw(text, values), as a value. */
interface CompiledQuery {
  readonly sql: string
  readonly parameters: readonly unknown[]
  readonly query: { readonly kind: 'RawNode'; readonly sqlFragments: readonly string[]; readonly parameters: readonly never[] }
  readonly queryId: { readonly queryId: string }
}
interface Kysely {
  readonly isTransaction: boolean
  withoutPlugins(): Kysely
  executeQuery(query: CompiledQuery): Promise<{ readonly rows: unknown[] }>
}
interface KyselyTransaction extends Kysely {
  readonly isTransaction: true
}
interface KyselyDatabase<Tx> extends Kysely {
  transaction(): {
    setIsolationLevel(level: 'read committed'): {
      setAccessMode(mode: 'read write'): { execute<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result> }
    }
  }
}

export interface KyselyOptions extends AdapterOptions {
  /**
   * The pg.Pool of the dialect. Kysely does not listen to the connections it lends, so without a listener a connection that
   * is lost inside a transaction ends the process; with the pool given here, Comity listens.
   */
  readonly pool?: PgPool
}

/**
 * A database through the user's Kysely. A handler's `tx` is Kysely's own Transaction. Our statements go past the plugins,
 * which may rename the columns of results (CamelCasePlugin).
 */
export function fromKysely<Tx extends KyselyTransaction>(db: KyselyDatabase<Tx>, options: KyselyOptions = {}): Database<Tx> {
  if (options.pool !== undefined) surviveLostConnections(options.pool)
  return {
    query: async <Row>(text: string, values: readonly unknown[] = []) => ({ rows: (await run(db, text, values)) as Row[] }),
    ...vouchedTransactions<Tx>(
      {
        open: (work) => db.transaction().setIsolationLevel('read committed').setAccessMode('read write').execute(work),
        run,
        check: checkTransaction,
      },
      options,
    ),
    close: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

async function run(handle: Kysely, text: string, values: readonly unknown[]): Promise<unknown[]> {
  const query = { kind: 'RawNode', sqlFragments: [text], parameters: [] } as const
  try {
    return (await handle.withoutPlugins().executeQuery({ sql: text, parameters: values, query, queryId: { queryId: 'comity' } })).rows
  } catch (error) {
    if (error instanceof Error && /^Transaction is already (committed|rolled back)/.test(error.message)) {
      throw new TransactionIsOver({}, { cause: error })
    }
    throw error
  }
}

function checkTransaction(tx: KyselyTransaction): void {
  if (!tx.isTransaction) throw new NotATransaction({ given: 'the `db` of Kysely' })
}
