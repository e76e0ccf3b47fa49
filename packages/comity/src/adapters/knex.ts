import type { Database } from '../postgres/database.ts'
import { NotATransaction } from '../postgres/errors.ts'
import { type KnexHandle, type KnexTransaction, runOnKnex } from './knex-statement.ts'
import { type AdapterOptions, vouchedTransactions } from './vouched-transaction.ts'

interface KnexDatabase<Tx> extends KnexHandle {
  transaction<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result>
}

/**
 * A database through the user's Knex, with pg. A handler's `tx` is Knex's own Transaction: return to commit it, throw to roll
 * back. Our statements are not among Knex's `query` events.
 *
 * @example
 * await knex.transaction(async (tx) => {
 *   await tx('sends').insert(send)
 *   await marketing.publish(tx, EmailSent, data)
 * })
 */
export function fromKnex<Tx extends KnexTransaction>(knex: KnexDatabase<Tx>, options: AdapterOptions = {}): Database<Tx> {
  return {
    query: async <Row>(text: string, values: readonly unknown[] = []) => ({ rows: (await runOnKnex(knex, text, values)) as Row[] }),
    ...vouchedTransactions<Tx>(
      {
        open: (work) => knex.transaction(work),
        run: runOnKnex,
        check: checkTransaction,
        isEnded: (tx) => tx.isCompleted(),
        beginsBare: true,
      },
      options,
    ),
    close: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

function checkTransaction(tx: KnexTransaction): void {
  if (typeof tx.isCompleted !== 'function') throw new NotATransaction({ given: 'the `knex` itself' })
}
