/**
 * The seam to Postgres. `Queryable` is a connection or a transaction as our SQL sees it; `Database` opens
 * transactions through whatever library the user has, and can look at that library's transaction as a `Queryable`.
 *
 * Rules for SQL that goes through here, so that every library takes it: one statement per call, `$1…$n` in order,
 * every parameter cast, JSON as `$n::text::jsonb`, no `?` operators, no `:name` (FACTS, "Joining the caller's transaction").
 */
export interface Queryable {
  query<Row = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<QueryResult<Row>>
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
