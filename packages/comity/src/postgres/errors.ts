import { type ErrorType, errorType } from '@comity/contract'

export const DatabaseUnreachable: ErrorType<'database' | 'reason'> = errorType(
  'COMITY_DATABASE_UNREACHABLE',
  'no connection to {database}: {reason}',
  'check that the server runs and that host, port, database, user and password are right; if every connection of the pool is busy, raise `max`',
)
export const PoolerRefusesSettings: ErrorType<'database' | 'reason'> = errorType(
  'COMITY_POOLER_REFUSES_SETTINGS',
  'the pooler in front of {database} refuses the session settings: {reason}',
  'give a pg.Pool of your own (its transactions then carry the settings), or add statement_timeout and idle_in_transaction_session_timeout to `ignore_startup_parameters` of PgBouncer',
)
export const NotADatabase: ErrorType<'given'> = errorType(
  'COMITY_NOT_A_DATABASE',
  '{given} is not a database',
  'give a URL, a pg.Pool, or one of the adapters (fromDrizzle, fromKysely, fromPrisma, fromKnex, …) around your handle',
)

export const TransactionRolledBack: ErrorType<never> = errorType(
  'COMITY_TRANSACTION_ROLLED_BACK',
  'the transaction was rolled back, although its work ended well: a statement in it had failed and its error was caught',
  'let the error of a failed statement through, or put a SAVEPOINT before a statement that may fail',
)
export const TransactionEndedByHandler: ErrorType<never> = errorType(
  'COMITY_TRANSACTION_ENDED_BY_HANDLER',
  'the work ended its transaction by itself (COMMIT or ROLLBACK), so nothing can vouch for what it wrote',
  'take COMMIT and ROLLBACK out of the work: return to commit, throw to roll back',
)
export const TransactionControlRefused: ErrorType<'statement'> = errorType(
  'COMITY_TRANSACTION_CONTROL_REFUSED',
  '{statement} is refused inside a transaction that Comity opened',
  'return to commit, throw to roll back; SAVEPOINT, RELEASE and ROLLBACK TO are allowed',
)
export const CommitUnknown: ErrorType<never> = errorType(
  'COMITY_COMMIT_UNKNOWN',
  'the connection was lost while the transaction committed: nobody can say whether it did',
  'look in the database, or repeat work that is safe to repeat',
)
export const TransactionIsOver: ErrorType<never> = errorType(
  'COMITY_TRANSACTION_IS_OVER',
  'this transaction has ended, so nothing can join it',
  'await every statement before the work returns, and use the transaction only inside the work',
)
export const NotATransaction: ErrorType<'given'> = errorType(
  'COMITY_NOT_A_TRANSACTION',
  'a transaction is needed here, and {given} is none',
  'open a transaction and give its handle, so that this and your own writes commit together',
)

export const BadIdentifier: ErrorType<'name' | 'reason'> = errorType(
  'COMITY_BAD_IDENTIFIER',
  'the SQL name {name} {reason}',
  'choose a name of 1 to 63 bytes of UTF-8 without NUL; Postgres would cut a longer one off without a word',
)
export const BadLiteral: ErrorType<'reason'> = errorType('COMITY_BAD_LITERAL', 'a text for Postgres {reason}', 'take the NUL character out')

export const MigrationChanged: ErrorType<'name' | 'table'> = errorType(
  'COMITY_MIGRATION_CHANGED',
  'the migration {name} differs from the one that {table} says was applied',
  'restore the released file, and put the change into a new migration',
)
export const SchemaIsNewer: ErrorType<'schema' | 'found' | 'major'> = errorType(
  'COMITY_SCHEMA_IS_NEWER',
  'the schema {schema} was migrated by major version {found}, this is {major}',
  'upgrade this process to major version {found}',
)
export const MigrationFailed: ErrorType<'name' | 'reason'> = errorType(
  'COMITY_MIGRATION_FAILED',
  'the migration {name} failed and was rolled back: {reason}',
  'remove what it names, and migrate again: what was applied before it stays and is not repeated',
)
export const MigrationBlocked: ErrorType<'name' | 'reason' | 'patience'> = errorType(
  'COMITY_MIGRATION_BLOCKED',
  'the migration {name} could not get its locks for {patience} ms: {reason}',
  'end the long transactions (pg_stat_activity) or the other migration, and migrate again',
)

export const LeaseLost: ErrorType<'name' | 'term' | 'reason'> = errorType(
  'COMITY_LEASE_LOST',
  'term {term} of the lease {name} is over: {reason}',
  'stop what depends on it, and acquire it again: the next term is a higher one',
)
