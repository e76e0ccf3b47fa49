import type { Database } from '../postgres/database.ts'
import { NotATransaction, TransactionIsOver } from '../postgres/errors.ts'
import { refuseTransactionControl } from '../postgres/transaction-control.ts'
import { type AdapterOptions, vouchedTransactions } from './vouched-transaction.ts'

/** A postgres.js `sql` or transaction as far as we use it. */
interface PostgresJs {
  unsafe(text: string, values?: never[], options?: { prepare?: boolean }): PromiseLike<readonly unknown[]>
}
interface PostgresJsTransaction extends PostgresJs {
  // biome-ignore lint/suspicious/noExplicitAny: only told apart from a pool by this name; its overloads are the library's affair
  savepoint: (...given: any[]) => unknown
}
interface PostgresJsPool<Tx> extends PostgresJs {
  begin(options: string, work: (tx: Tx) => Promise<unknown>): Promise<unknown>
}

/**
 * A database through the user's postgres.js `sql`. A handler's `tx` is its TransactionSql, made to refuse BEGIN, COMMIT and
 * ROLLBACK, and everything once its transaction is over: postgres.js itself would run a late statement outside of it.
 *
 * postgres.js fails a transaction for every SQL error in it that was not inside `tx.savepoint()`, even a caught one.
 */
export function fromPostgresJs<Tx extends PostgresJsTransaction>(sql: PostgresJsPool<Tx>, options: AdapterOptions = {}): Database<Tx> {
  // Prepared, because unprepared it asks for the parameters' types first, in a round trip of its own. `prepare: false` of the user's `sql` wins.
  const run = async (handle: PostgresJs, text: string, values: readonly unknown[]): Promise<unknown[]> => [
    ...(await handle.unsafe(text, values as never[], { prepare: values.length > 0 })),
  ]
  return {
    query: async <Row>(text: string, values: readonly unknown[] = []) => ({ rows: (await run(sql, text, values)) as Row[] }),
    ...vouchedTransactions<Tx>({ open: (work) => open(sql, work), run, check: checkTransaction, pipelines: true }, options),
    close: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

async function open<Tx extends PostgresJsTransaction, Result>(sql: PostgresJsPool<Tx>, work: (tx: Tx) => Promise<Result>): Promise<Result> {
  // Over, or lost: a statement on a transaction whose connection is gone ends the process in postgres.js 3.4.9.
  let over = false
  const end = (): void => {
    over = true
  }
  const checkOpen = (): void => {
    if (over) throw new TransactionIsOver({})
  }
  const begun = sql.begin('isolation level read committed read write', (tx) => work(lend(tx, checkOpen)).finally(end))
  begun.catch(end)
  return (await begun) as Result
}

function lend<Tx extends PostgresJsTransaction>(tx: Tx, checkOpen: () => void): Tx {
  function check(text: unknown): void {
    checkOpen()
    if (typeof text === 'string') refuseTransactionControl(text)
  }
  return new Proxy(tx, {
    apply(target, self, given: unknown[]) {
      const [strings] = given
      // Without `raw` it is not a statement but a helper, as in sql(names).
      if (Array.isArray(strings) && 'raw' in strings) check(strings.join(' $ '))
      return Reflect.apply(target as unknown as (...all: unknown[]) => unknown, self, given)
    },
    get(target, name) {
      const value: unknown = Reflect.get(target, name)
      if (name === 'unsafe') {
        return (text: string, ...rest: unknown[]) => {
          check(text)
          return (value as (...all: unknown[]) => unknown)(text, ...rest)
        }
      }
      if (name === 'savepoint') {
        return (...given: unknown[]) => {
          checkOpen()
          const work = given.pop() as (inner: Tx) => unknown
          return target.savepoint(...given, (inner: Tx) => work(lend(inner, checkOpen)))
        }
      }
      return value
    },
  })
}

function checkTransaction(tx: PostgresJsTransaction): void {
  if (typeof tx.savepoint !== 'function') throw new NotATransaction({ given: 'the `sql` of a pool or of a reserved connection' })
}
