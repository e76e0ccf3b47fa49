import { parseDuration } from '../foundation/index.ts'
import type { Database, Queryable, QueryResult } from '../postgres/database.ts'
import { NotATransaction, TransactionControlRefused, TransactionIsOver } from '../postgres/errors.ts'
import { type PgClient, type PgPool, surviveLostConnections, transact, withClient } from '../postgres/pg-handle.ts'
import { refuseTransactionControl } from '../postgres/transaction-control.ts'
import { type AdapterOptions, settings } from './vouched-transaction.ts'

/** What `pool.connect()` resolves to; pg declares a form with a callback beside it. */
export type ClientOf<Pool extends PgPool> = Pool['connect'] extends {
  (): Promise<infer Client extends PgClient>
  (callback: never): unknown
}
  ? Client
  : PgClient

/**
 * A database through the user's `pg.Pool`. A handler's `tx` is a PoolClient that refuses BEGIN, COMMIT, ROLLBACK and
 * release(), and everything once its transaction is over. pg shows the tag of the COMMIT, so nothing else has to vouch for it.
 *
 * @example
 * team('crm', { database: fromPg(new pg.Pool()) })
 * await client.query('begin'); …; await crm.publish(client, EmailSent, data); await client.query('commit')
 */
export function fromPg<Pool extends PgPool>(pool: Pool, options: AdapterOptions = {}): Database<ClientOf<Pool>> {
  type Client = ClientOf<Pool>
  const timeout = parseDuration(options.sessionTimeout ?? '15s', 'sessionTimeout')
  const begin = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT ${settings(timeout)}`
  const connect = (): Promise<Client> => pool.connect() as Promise<Client>
  const last = new WeakMap<Client, Promise<unknown>>()
  const over = new WeakSet<Client>()
  surviveLostConnections(pool)

  return {
    query: <Row>(text: string, values: readonly unknown[] = []) => withClient(connect, (client) => run<Row>(client, text, values)),
    transaction: (work) =>
      withClient(connect, (client, abandon) => {
        const tx: Client = lend(client, () => over.has(tx))
        return transact(client, abandon, begin, () => work(tx).finally(() => over.add(tx)))
      }),
    join(tx) {
      if ('totalCount' in tx) throw new NotATransaction({ given: 'a pg.Pool' })
      return {
        query<Row>(text: string, values: readonly unknown[] = []) {
          if (over.has(tx)) return Promise.reject(new TransactionIsOver({}))
          if (isIdle(tx)) return Promise.reject(new NotATransaction({ given: 'a client without an open transaction' }))
          // One at a time: pg warns of queries that it has to queue.
          const result = (last.get(tx) ?? Promise.resolve()).then(() => run<Row>(tx, text, values))
          last.set(
            tx,
            result.catch(() => undefined),
          )
          return result
        },
      } satisfies Queryable
    },
    close: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

function run<Row>(client: PgClient, text: string, values: readonly unknown[]): Promise<QueryResult<Row>> {
  return client.query(text, values as unknown[]) as Promise<{ rows: Row[]; command: string }>
}

/** Nothing is under way on it (a BEGIN may be on its way), and the server's last word was: no transaction. */
function isIdle(client: PgClient & { readonly readyForQuery?: boolean; getTransactionStatus?(): string | null }): boolean {
  return client.readyForQuery === true && client.getTransactionStatus?.() === 'I'
}

/** The client as the work gets it. */
function lend<Client extends PgClient>(client: Client, isOver: () => boolean): Client {
  const query = async (config: unknown, ...rest: unknown[]): Promise<unknown> => {
    if (isOver()) throw new TransactionIsOver({})
    const text = typeof config === 'string' ? config : (config as { readonly text?: unknown } | null)?.text
    if (typeof text === 'string') refuseTransactionControl(text)
    return (client.query as (...all: unknown[]) => unknown)(config, ...rest)
  }
  return new Proxy(client, {
    get(target, name) {
      if (name === 'query') return query
      if (name === 'release' || name === 'end') {
        return () => {
          throw new TransactionControlRefused({ statement: `${name}()` })
        }
      }
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
