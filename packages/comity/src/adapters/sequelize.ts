import type { Database } from '../postgres/database.ts'
import { NotATransaction } from '../postgres/errors.ts'
import { type AdapterOptions, vouchedTransactions } from './vouched-transaction.ts'

interface SequelizeTransaction {
  commit(): Promise<void>
  rollback(): Promise<void>
}
interface Sequelize<Tx> {
  // biome-ignore lint/suspicious/noExplicitAny: its options are a union of many types
  query(text: string, options?: any): Promise<unknown>
  transaction<Result>(options: object, work: (tx: Tx) => PromiseLike<Result>): Promise<Result>
  /** The library declares it last, which is where the compiler reads `Tx`. */
  transaction(options?: object): Promise<Tx>
}

/**
 * A database through the user's Sequelize 6. A handler's `tx` is Sequelize's own Transaction: every call of a model takes it
 * as `{ transaction: tx }`, and what is called without it runs outside.
 *
 * @example
 * await sequelize.transaction(async (tx) => {
 *   await Send.create(send, { transaction: tx })
 *   await marketing.publish(tx, EmailSent, data)
 * })
 */
export function fromSequelize<Tx extends SequelizeTransaction>(sequelize: Sequelize<Tx>, options: AdapterOptions = {}): Database<Tx> {
  async function run(transaction: Tx | null, text: string, values: readonly unknown[]): Promise<unknown[]> {
    const parameters = values.length === 0 ? {} : { bind: values }
    try {
      // `null` and not `undefined`, which stands for the transaction of the async context (`Sequelize.useCLS`).
      const given = { ...ROWS, ...parameters, transaction }
      return (await sequelize.query(values.length === 0 ? text : escapeForBind(text, values.length), given)) as unknown[]
    } catch (error) {
      throw originalOf(error)
    }
  }
  return {
    query: async <Row>(text: string, values: readonly unknown[] = []) => ({ rows: (await run(null, text, values)) as Row[] }),
    ...vouchedTransactions<Tx>(
      {
        open: (work) => sequelize.transaction({ isolationLevel: undefined }, work),
        run,
        check: checkTransaction,
        isEnded: (tx) => (tx as { readonly finished?: unknown }).finished !== undefined,
        beginsBare: true,
      },
      options,
    ),
    close: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

/** The rows as they are, whatever the user's defaults for queries say. */
const ROWS = { type: 'SELECT', raw: true, nest: false, plain: false }

/**
 * With parameters Sequelize looks at everything of this shape, in literals and dollar quotes, too: it takes `$$` for an
 * escaped `$`, leaves `$n` of a parameter that is there as it is, and refuses the rest. So all but those are escaped.
 */
function escapeForBind(text: string, count: number): string {
  return text.replace(/\B\$(\$|\w+)/g, (found, name: string) => {
    if (name === '$') return '$$$$'
    return /^[1-9]\d*$/.test(name) && Number(name) <= count ? found : `$${found}`
  })
}

/** Sequelize wraps the driver's error, and writes the statement's parameters into it. */
function originalOf(error: unknown): unknown {
  const { original } = error as { readonly original?: { parameters?: unknown } }
  if (typeof original !== 'object' || original === null) return error
  delete original.parameters
  return original
}

function checkTransaction(tx: SequelizeTransaction): void {
  if (typeof tx.commit !== 'function') throw new NotATransaction({ given: 'the `sequelize` itself' })
}
