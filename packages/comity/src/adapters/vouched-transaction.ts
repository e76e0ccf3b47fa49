import { type Duration, parseDuration } from '../foundation/index.ts'
import { classifyError, sqlStateOf } from '../postgres/classify-error.ts'
import type { Database, Queryable, QueryResult } from '../postgres/database.ts'
import {
  CommitUnknown,
  DatabaseUnreachable,
  TransactionEndedByHandler,
  TransactionIsOver,
  TransactionRolledBack,
} from '../postgres/errors.ts'

export interface AdapterOptions {
  /**
   * In the transactions that Comity opens, the server ends a statement, and the transaction when it is left idle, after this
   * time; a shorter setting of the session stays. Keep it below the leases. Default '15s'.
   */
  readonly sessionTimeout?: Duration
}

/** What a library has to offer. */
export interface Library<Tx extends object> {
  /** Opens a READ COMMITTED transaction the library's way. */
  open<Result>(work: (tx: Tx) => Promise<Result>, timeout: number): Promise<Result>
  /** One statement in that transaction. */
  run(tx: Tx, text: string, values: readonly unknown[]): Promise<unknown[]>
  /** Throws COMITY_NOT_A_TRANSACTION where the library lets us tell. */
  check(tx: Tx): void
  /** Takes statements faster than it gets answers; else they are given to it one at a time. */
  readonly pipelines?: boolean
  /** Whether the transaction was ended by a method of its own, such as `tx.commit()`; absent where it has none. */
  isEnded?(tx: Tx): boolean
  /**
   * It begins without isolation level and access mode: they go out in front of our first statement, in one text; of several
   * statements `run` answers the last one's rows.
   */
  readonly beginsBare?: boolean
}

/** Says what BEGIN left out; nothing may have been asked in the transaction yet. */
export const READ_COMMITTED = 'set transaction isolation level read committed read write'

/**
 * A transaction through a library that does not show the COMMIT's tag, made certain another way: a statement of ours at the
 * begin and one at the end both ask for the transaction's start time.
 *
 *   working ── the end's answer is the same ──▶ committing ── the library returns ──▶ committed
 *      │                                            └── connection lost ──▶ COMITY_COMMIT_UNKNOWN
 *      ├── 25P02: a failed statement's error was caught ──▶ rolled back, COMITY_TRANSACTION_ROLLED_BACK
 *      ├── another time, or tx.commit(): the work ended the transaction itself ──▶ COMITY_TRANSACTION_ENDED_BY_HANDLER
 *      ├── the work throws ──▶ rolled back, with the work's own error
 *      └── the connection is lost ──▶ rolled back; what the work does from then on is refused
 *
 * The start time, not the transaction's id: asking for the id would make every reading transaction a writing one.
 */
export function vouchedTransactions<Tx extends object>(
  library: Library<Tx>,
  options: AdapterOptions,
): Pick<Database<Tx>, 'transaction' | 'join'> {
  const timeout = parseDuration(options.sessionTimeout ?? '15s', 'sessionTimeout')
  const begin = `${library.beginsBare ? `${READ_COMMITTED}; ` : ''}select ${settings(timeout)}, ${MARK}`
  const over = new WeakSet<Tx>()
  const last = new WeakMap<Tx, Promise<unknown>>()

  function join(tx: Tx): Queryable {
    library.check(tx)
    return {
      query<Row>(text: string, values: readonly unknown[] = []) {
        const run = async (): Promise<QueryResult<Row>> => {
          if (over.has(tx) || library.isEnded?.(tx)) throw new TransactionIsOver({})
          return { rows: (await library.run(tx, text, values)) as Row[] }
        }
        if (library.pipelines) return run()
        const result = (last.get(tx) ?? Promise.resolve()).then(run)
        last.set(
          tx,
          result.catch(() => undefined),
        )
        return result
      },
    }
  }

  async function transaction<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result> {
    let failed: { readonly error: unknown } | undefined
    let working = false
    let committing = false
    let ended = false
    let handle: Tx | undefined

    async function vouch(tx: Tx): Promise<Result> {
      handle = tx
      let begun: string | undefined
      try {
        // Knex gives the work a transaction whose BEGIN has failed; MikroORM does not even say how it failed.
        if (library.isEnded?.(tx)) throw new DatabaseUnreachable({ database: 'the database', reason: 'the connection was lost at BEGIN' })
        const sql = join(tx)
        begun = await markOf(sql, begin)
        working = true
        const result = await work(tx)
        if (library.isEnded?.(tx) || (await markOf(sql, `select ${MARK}`)) !== begun) throw new TransactionEndedByHandler({})
        committing = true
        return result
      } catch (error) {
        // The loss of a connection reaches its statement first and the library's transaction a little later.
        await new Promise(setImmediate)
        // postgres.js (3.4.9) sends its ROLLBACK also over a connection that is gone, and that ends the process: give it no cause to.
        if (ended) return await new Promise<Result>(() => undefined)
        failed = { error: await causeOf(error, tx, begun) }
        throw failed.error
      } finally {
        over.add(tx)
      }
    }

    const opened = library.open(vouch, timeout)
    opened.catch(() => {
      ended = true
      if (handle !== undefined) over.add(handle)
    })
    let result: Result
    try {
      result = await opened
    } catch (error) {
      // Some libraries let the failure of their ROLLBACK on a lost connection hide the error that led to it.
      if (failed) throw failed.error
      if (working && !committing && library.isEnded?.(handle as Tx)) throw new TransactionEndedByHandler({}, { cause: error })
      const answered = sqlStateOf(error) !== undefined && classifyError(error) !== 'connection'
      throw committing && !answered ? new CommitUnknown({}, { cause: error }) : error
    }
    // Knex returns as soon as the work says tx.commit(), and does not wait for the work.
    if (!committing) throw new TransactionEndedByHandler({})
    return result
  }

  /** The work's own error, unless something worse is behind it: what it did was not rolled back with it. */
  async function causeOf(error: unknown, tx: Tx, begun: string | undefined): Promise<unknown> {
    if (classifyError(error) === 'aborted-transaction') return new TransactionRolledBack({}, { cause: error })
    if (begun === undefined || error instanceof TransactionEndedByHandler) return error
    if (library.isEnded?.(tx)) return new TransactionEndedByHandler({}, { cause: error })
    const mark = await markOf(join(tx), `select ${MARK}`).catch(() => begun)
    return mark === begun ? error : new TransactionEndedByHandler({}, { cause: error })
  }

  return { transaction, join }
}

const MARK = 'extract(epoch from now())::text as mark'

async function markOf(sql: Queryable, text: string): Promise<string | undefined> {
  return (await sql.query<{ mark: string }>(text)).rows[0]?.mark
}

/** Both timeouts for this transaction only; what the session has stays if it is shorter. */
export function settings(timeout: number): string {
  return ['statement_timeout', 'idle_in_transaction_session_timeout']
    .map((name) => {
      const current = `current_setting('${name}')`
      const shorter = `${current}::interval > '0' and ${current}::interval < '${timeout} ms'`
      return `set_config('${name}', case when ${shorter} then ${current} else '${timeout}ms' end, true) as ${name}`
    })
    .join(', ')
}
