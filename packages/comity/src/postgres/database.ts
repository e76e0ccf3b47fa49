/**
 * The seam to Postgres. `Queryable` is a connection or a transaction as our SQL sees it; `Database` opens
 * transactions through whatever library the user has, and can look at that library's transaction as a `Queryable`.
 *
 * Rules for SQL that goes through here, so that pg, postgres.js, Drizzle, Kysely and Prisma take it and answer alike
 * (each was measured; the adapters' suite repeats it):
 * - One statement per call, `$1…$n` in order, no `?` operators, no `:name`.
 * - Every parameter is cast. Text as `$n::text`, a JavaScript number as `$n::int`, everything else as text and then its type:
 *   `$n::text::jsonb`, `$n::text::bigint`, `$n::text::timestamptz`. postgres.js serialises by the type that stands first: it
 *   stores a JSON string for `$n::jsonb`, drops microseconds for `$n::timestamptz`, reads 'true' as false for `$n::boolean`.
 * - Arrays through `arrayLiteral` as `$n::text::text[]`, `$n::text::bigint[]`, never as JavaScript arrays.
 * - Rows hold text, int4 and boolean only; cast the rest: `id::text`, `to_char(time at time zone 'UTC', …)`, `array_to_json(…)::text`.
 *   Prisma makes BigInt and Decimal of int8 and numeric, and refuses void, xid8 and reg*; Drizzle leaves timestamps as text, others make a Date.
 * - Statements of one transaction may be fired without awaiting each; they run in order (our own pool and postgres.js pipeline them).
 *   After one has failed, the rest of the transaction fails with 25P02.
 * - A raw SAVEPOINT does not save a failed statement under postgres.js: it fails the transaction for any error that did not
 *   happen in its own `tx.savepoint()`.
 */
export interface Queryable {
  query<Row = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<QueryResult<Row>>
  /**
   * Runs `COPY … FROM STDIN` with this data. Only transactions of our own pool have it: whoever calls it has another way.
   * @param meanwhile called once the server has all of it: work for the time in which it is at work; it must not throw
   */
  copyIn?(statement: string, data: string, meanwhile?: () => void): Promise<void>
}

export interface QueryResult<Row> {
  readonly rows: Row[]
}

/** A user's database: `Tx` is what the user's library calls a transaction, and what handlers get as `tx`. */
export interface Database<Tx = unknown> extends Queryable, AsyncDisposable {
  /**
   * Runs `work` in one READ COMMITTED transaction. Resolves only when the COMMIT is known to have committed;
   * rejects after ROLLBACK, and with `CommitUnknown` when the connection died while committing.
   */
  transaction<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result>
  /** The library's transaction (or connection) as a Queryable: our statements join it. */
  join(tx: Tx): Queryable
  /** Closes what this value opened itself; a handle that the user gave stays open. Idempotent. */
  close(): Promise<void>
}
