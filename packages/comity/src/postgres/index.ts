export { arrayLiteral } from './array-literal.ts'
export { classifyError, describeError, type ErrorKind, sqlStateOf } from './classify-error.ts'
export type { Database, Queryable, QueryResult } from './database.ts'
export {
  BadIdentifier,
  BadLiteral,
  CommitUnknown,
  DatabaseUnreachable,
  LeaseLost,
  MigrationBlocked,
  MigrationChanged,
  MigrationFailed,
  NotADatabase,
  NotATransaction,
  PoolerRefusesSettings,
  SchemaIsNewer,
  TransactionControlRefused,
  TransactionEndedByHandler,
  TransactionIsOver,
  TransactionRolledBack,
} from './errors.ts'
export { acquireLease, type Lease, type LeaseOptions } from './lease.ts'
export { loadMigrations } from './load-migrations.ts'
export { applyMigrations, type Migration, type MigrationPlan, pendingMigrations, printMigrations } from './migrate.ts'
export { type ConnectOptions, connect, type PgConfig, type PostgresDatabase } from './pool.ts'
export { qualified, quoteIdentifier, quoteLiteral } from './quote.ts'
