export type { PostgresSource } from './binaries.ts'
export {
  DirectoryInUse,
  DirectoryIsForeign,
  DirectoryUnreachable,
  EmbeddedPostgresError,
  type EmbeddedPostgresErrorType,
  InitFailed,
  PortInUse,
  PostgresNotFound,
  QueryFailed,
  StartFailed,
  UnknownOption,
  UnsupportedPlatform,
  WrongVersion,
} from './errors.ts'
export { type EmbeddedPostgres, type LaunchOptions, launchPostgres, type PostgresLogger } from './launch-postgres.ts'
export type { Exit } from './server-process.ts'
