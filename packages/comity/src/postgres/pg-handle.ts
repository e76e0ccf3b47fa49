import { classifyError } from './classify-error.ts'
import { CommitUnknown, TransactionRolledBack } from './errors.ts'

/** A client of node-postgres as far as we use it, so that a user's `pg` need not be ours. */
export interface PgClient {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[]; command: string }>
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
  /** With true: closes the connection instead of keeping it. */
  release(destroy?: boolean): void
}
export interface PgPool {
  connect(): Promise<PgClient>
  end(): Promise<void>
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'acquire', listener: (client: PgClient) => void): unknown
  listenerCount(event: string): number
  readonly totalCount: number
}

/** Tells a pg.Pool from what else a library may stand on. */
export function isPgPool(given: unknown): given is PgPool {
  return typeof given === 'object' && given !== null && 'totalCount' in given && 'listenerCount' in given
}

/**
 * Lends one connection to `work`. A connection that was lost, or that `work` abandons, is closed instead of going back
 * to the pool: whatever state it is in, nobody meets it again.
 */
export async function withClient<Client extends PgClient, Result>(
  connect: () => Promise<Client>,
  work: (client: Client, abandon: () => void) => Promise<Result>,
): Promise<Result> {
  const client = await connect()
  let broken = false
  const abandon = (): void => {
    broken = true
  }
  client.on('error', abandon)
  try {
    return await work(client, abandon)
  } catch (error) {
    if (classifyError(error) === 'connection') abandon()
    throw error
  } finally {
    client.removeListener('error', abandon)
    client.release(broken)
  }
}

/**
 * BEGIN, the work, COMMIT or ROLLBACK. Resolves only if the server's answer to COMMIT was the tag COMMIT: after a failed
 * statement whose error was caught, Postgres answers COMMIT with ROLLBACK and no error, and every other statement with 25P02.
 */
export async function transact<Result>(client: PgClient, abandon: () => void, begin: string, work: () => Promise<Result>): Promise<Result> {
  let result: Result
  try {
    await client.query(begin)
    result = await work()
  } catch (error) {
    await client.query('ROLLBACK').catch(abandon)
    throw classifyError(error) === 'aborted-transaction' ? new TransactionRolledBack({}, { cause: error }) : error
  }
  const { command } = await client.query('COMMIT').catch((error: unknown) => {
    abandon()
    throw classifyError(error) === 'connection' ? new CommitUnknown({}, { cause: error }) : error
  })
  if (command !== 'COMMIT') throw new TransactionRolledBack({})
  return result
}

/**
 * Keeps a lost connection from ending the process: pg raises it as an 'error' event, for idle clients on the pool, for lent
 * ones on the client, where Drizzle and Kysely do not listen. And nobody listens between a client's being ready and its being
 * lent: a server that goes down says both in one packet. The loss itself still reaches whoever uses the connection.
 */
export function surviveLostConnections(pool: PgPool): void {
  if (guarded.has(pool)) return
  guarded.add(pool)
  if (pool.listenerCount('error') === 0) pool.on('error', ignore)
  const known = new WeakSet<PgClient>()
  pool.on('acquire', (client) => {
    if (known.has(client)) return
    known.add(client)
    client.on('error', ignore)
  })
}
const guarded = new WeakSet<PgPool>()
const ignore = (): void => undefined
