import type { Database } from '../postgres/database.ts'
import { NotATransaction, TransactionEndedByHandler } from '../postgres/errors.ts'
import { type KnexHandle, type KnexTransaction, runOnKnex } from './knex-statement.ts'
import { type AdapterOptions, vouchedTransactions } from './vouched-transaction.ts'

interface EntityManager {
  // biome-ignore lint/suspicious/noExplicitAny: what it is depends on the driver; with SQL drivers a transaction of Knex
  getTransactionContext(): any
  // biome-ignore lint/suspicious/noExplicitAny: MikroORM declares the return type of fork() as `this`
  fork(options?: { disableContextResolution?: boolean }): any
  flush(): Promise<void>
}
interface MikroOrm<Em> {
  readonly em: Em & { getKnex(): KnexHandle }
}
interface Fork<Em> {
  transactional<Result>(work: (em: Em) => Promise<Result>): Promise<Result>
}

/**
 * A database through the user's MikroORM 6 (`@mikro-orm/postgresql`). A handler's `tx` is an EntityManager of its own, inside
 * `em.transactional()`: what it persists is flushed when the handler returns. `publish` takes any EntityManager inside
 * `em.transactional()` or `em.begin()`.
 *
 * MikroORM writes its parameters into the text of a statement; ours go past it, over the Knex that it stands on, as parameters.
 *
 * @example
 * await orm.em.fork().transactional(async (em) => {
 *   em.persist(send)
 *   await marketing.publish(em, EmailSent, data)
 * })
 */
export function fromMikroOrm<Em extends EntityManager>(orm: MikroOrm<Em>, options: AdapterOptions = {}): Database<Em> {
  const managers = new WeakMap<KnexTransaction, Em>()
  // By the transaction and not by the manager: the global one stands for many of them, and they must not wait for each other.
  const { join, transaction } = vouchedTransactions<KnexTransaction>(
    {
      open(work) {
        // Without the async context: a handler is in no request, and inherits none of its filters, entities or transactions.
        const fork = orm.em.fork({ disableContextResolution: true }) as Fork<Em>
        return fork.transactional((em) => {
          const tx = contextOf(em)
          managers.set(tx, em)
          return work(tx)
        })
      },
      run: runOnKnex,
      check: () => undefined,
      isEnded: (tx) => tx.isCompleted(),
      beginsBare: true,
    },
    options,
  )
  return {
    query: async <Row>(text: string, values: readonly unknown[] = []) => ({
      rows: (await runOnKnex(orm.em.getKnex(), text, values)) as Row[],
    }),
    join: (em) => join(contextOf(em)),
    transaction: (work) =>
      transaction(async (tx) => {
        const em = managers.get(tx) as Em
        const result = await work(em)
        // After em.rollback() the flush would write, and commit, in a transaction of its own.
        if (tx.isCompleted()) throw new TransactionEndedByHandler({})
        // Here and not after it: what a flush writes, and how it fails, belongs to the work.
        await em.flush()
        return result
      }),
    close: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

function contextOf(em: EntityManager): KnexTransaction {
  const context = typeof em.getTransactionContext === 'function' ? (em.getTransactionContext() as KnexTransaction | undefined) : undefined
  if (context === undefined) throw new NotATransaction({ given: 'an EntityManager outside of em.transactional() and em.begin()' })
  return context
}
