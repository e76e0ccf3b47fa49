import type { Database } from '../postgres/database.ts'
import { NotATransaction } from '../postgres/errors.ts'
import { isPgPool, surviveLostConnections } from '../postgres/pg-handle.ts'
import { type AdapterOptions, READ_COMMITTED, vouchedTransactions } from './vouched-transaction.ts'

interface QueryRunner {
  readonly isReleased: boolean
  readonly isTransactionActive: boolean
  query(text: string, values: unknown[], structured: true): Promise<{ readonly records: unknown[] }>
  release(): Promise<void>
}
interface EntityManager {
  readonly queryRunner?: QueryRunner
}
interface DataSource<Tx> {
  readonly driver: unknown
  transaction<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result>
  /** The library declares it last, which is where the compiler reads `Tx`. */
  transaction<Result>(isolation: 'READ COMMITTED', work: (tx: Tx) => Promise<Result>): Promise<Result>
  createQueryRunner(): QueryRunner
}

/**
 * A database through the user's TypeORM DataSource, initialized before the first statement. A handler's `tx` is the
 * EntityManager of TypeORM's transaction.
 *
 * @example
 * await dataSource.transaction(async (manager) => {
 *   await manager.insert(Send, send)
 *   await marketing.publish(manager, EmailSent, data)
 * })
 */
export function fromTypeOrm<Tx extends EntityManager>(dataSource: DataSource<Tx>, options: AdapterOptions = {}): Database<Tx> {
  /** The pool is there once the DataSource is initialized. */
  function guard(): void {
    const { master } = dataSource.driver as { readonly master?: unknown }
    if (isPgPool(master)) surviveLostConnections(master)
  }
  return {
    async query<Row>(text: string, values: readonly unknown[] = []) {
      guard()
      const runner = dataSource.createQueryRunner()
      try {
        return { rows: (await run(runner, text, values)) as Row[] }
      } finally {
        await runner.release()
      }
    },
    ...vouchedTransactions<Tx>(
      {
        open(work) {
          guard()
          return dataSource.transaction(async (tx) => {
            // TypeORM says SET TRANSACTION itself if it is given a level, and then nothing of READ WRITE.
            await run(tx.queryRunner as QueryRunner, READ_COMMITTED, [])
            return work(tx)
          })
        },
        run: (tx, text, values) => run(tx.queryRunner as QueryRunner, text, values),
        check: checkTransaction,
        isEnded: (tx) => tx.queryRunner?.isTransactionActive === false,
      },
      options,
    ),
    close: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

async function run(runner: QueryRunner, text: string, values: readonly unknown[]): Promise<unknown[]> {
  try {
    return (await runner.query(text, values as unknown[], true)).records
  } catch (error) {
    // TypeORM wraps the driver's error in one that holds the statement's parameters.
    throw (error as { readonly driverError?: unknown }).driverError ?? error
  }
}

function checkTransaction({ queryRunner }: EntityManager): void {
  if (queryRunner === undefined) throw new NotATransaction({ given: 'a DataSource, or the manager of none of its transactions,' })
  if (!queryRunner.isTransactionActive && !queryRunner.isReleased) {
    throw new NotATransaction({ given: 'the manager of a QueryRunner without an open transaction' })
  }
}
