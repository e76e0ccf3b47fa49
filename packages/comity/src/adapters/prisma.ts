import type { Database } from '../postgres/database.ts'
import { NotATransaction, TransactionIsOver } from '../postgres/errors.ts'
import { type AdapterOptions, vouchedTransactions } from './vouched-transaction.ts'

interface Prisma {
  // biome-ignore lint/suspicious/noExplicitAny: Prisma gives the rows whatever type is asked for
  $queryRawUnsafe<Rows = any>(text: string, ...values: any[]): PromiseLike<Rows>
}
interface PrismaClient<Tx> extends Prisma {
  $transaction<Result>(
    work: (tx: Tx) => Promise<Result>,
    options?: { maxWait?: number; timeout?: number; isolationLevel?: 'ReadCommitted' },
  ): Promise<Result>
}

/**
 * A database through the user's Prisma client (7, with a driver adapter). A handler's `tx` is Prisma's own interactive
 * transaction, open for as long as `sessionTimeout` says instead of Prisma's 5 seconds.
 */
export function fromPrisma<Tx extends Prisma>(client: PrismaClient<Tx>, options: AdapterOptions = {}): Database<Tx> {
  return {
    query: async <Row>(text: string, values: readonly unknown[] = []) => ({ rows: (await run(client, text, values)) as Row[] }),
    ...vouchedTransactions<Tx>(
      {
        open: (work, timeout) => client.$transaction(work, { maxWait: 10_000, timeout, isolationLevel: 'ReadCommitted' }),
        run,
        check: checkTransaction,
      },
      options,
    ),
    close: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

async function run(handle: Prisma, text: string, values: readonly unknown[]): Promise<unknown[]> {
  try {
    return await handle.$queryRawUnsafe<unknown[]>(text, ...values)
  } catch (error) {
    // P2028: a transaction that is closed, or has run out of its time.
    if ((error as { readonly code?: unknown }).code === 'P2028') throw new TransactionIsOver({}, { cause: error })
    throw error
  }
}

function checkTransaction(tx: Prisma): void {
  if ('$connect' in tx) throw new NotATransaction({ given: 'the Prisma client' })
}
