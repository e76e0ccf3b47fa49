/**
 * The errors of this package. They have the shape of `errorType` in `@comity/contract` (code, cause, remedy), made here
 * because the launcher depends on nothing but the Postgres binaries.
 */
export class EmbeddedPostgresError extends Error {
  readonly code: string
  /** What the reader should do. */
  readonly remedy: string

  constructor(code: string, cause: string, remedy: string, origin?: unknown) {
    super(`${cause}\n  What to do: ${remedy}`, origin === undefined ? undefined : { cause: origin })
    this.name = 'EmbeddedPostgresError'
    this.code = code
    this.remedy = remedy
  }
}

/** One row of the registry of errors. */
export interface EmbeddedPostgresErrorType<Words extends string> {
  new (words: Readonly<Record<Words, string | number>>, origin?: unknown): EmbeddedPostgresError
  readonly code: string
  readonly causeTemplate: string
  readonly remedyTemplate: string
}

type WordsOf<Template extends string> = Template extends `${string}{${infer Word}}${infer Rest}` ? Word | WordsOf<Rest> : never

function errorType<const Cause extends string, const Remedy extends string>(
  code: `COMITY_${string}`,
  causeTemplate: Cause,
  remedyTemplate: Remedy,
): EmbeddedPostgresErrorType<WordsOf<Cause> | WordsOf<Remedy>> {
  return class extends EmbeddedPostgresError {
    static readonly code = code
    static readonly causeTemplate = causeTemplate
    static readonly remedyTemplate = remedyTemplate
    constructor(words: Readonly<Record<string, string | number>>, origin?: unknown) {
      super(code, fill(causeTemplate, words), fill(remedyTemplate, words), origin)
    }
  }
}

function fill(template: string, words: Readonly<Record<string, string | number>>): string {
  return template.replace(/\{(\w+)\}/g, (_, word: string) => String(words[word] ?? `{${word}}`))
}

export const UnknownOption: EmbeddedPostgresErrorType<'option' | 'known'> = errorType(
  'COMITY_POSTGRES_UNKNOWN_OPTION',
  'launchPostgres has no option "{option}"',
  'use one of {known}',
)

export const UnsupportedPlatform: EmbeddedPostgresErrorType<'platform'> = errorType(
  'COMITY_POSTGRES_UNSUPPORTED_PLATFORM',
  'the Postgres launcher does not run on {platform}',
  'run inside WSL 2, or give the URL of a Postgres that runs already',
)

export const PostgresNotFound: EmbeddedPostgresErrorType<'wanted' | 'tried'> = errorType(
  'COMITY_POSTGRES_NOT_FOUND',
  'no Postgres found ({wanted}); looked at:\n{tried}',
  'run "npm install" without "--omit=optional", install Postgres 15 or newer (Debian: "apt-get install postgresql-15"), or give a database URL',
)

export const InitFailed: EmbeddedPostgresErrorType<'directory' | 'output'> = errorType(
  'COMITY_POSTGRES_INIT_FAILED',
  'initdb could not create a database cluster in {directory}:\n{output}',
  'read the last lines above; most often the disk is full or the directory is not writable',
)

export const StartFailed: EmbeddedPostgresErrorType<'how' | 'log' | 'file'> = errorType(
  'COMITY_POSTGRES_START_FAILED',
  'Postgres did not start: {how}; the end of its log:\n{log}',
  'read the last lines above; the whole log, unless the directory was a temporary one, is in {file}',
)

export const PortInUse: EmbeddedPostgresErrorType<'port'> = errorType(
  'COMITY_POSTGRES_PORT_IN_USE',
  'port {port} of 127.0.0.1 is taken',
  'give another port, or leave it out to get a free one',
)

export const DirectoryInUse: EmbeddedPostgresErrorType<'directory' | 'pid'> = errorType(
  'COMITY_POSTGRES_DIRECTORY_IN_USE',
  'a Postgres server (pid {pid}) is running on {directory}',
  'connect to that server, stop it with "kill -INT {pid}", or give another directory',
)

export const DirectoryIsForeign: EmbeddedPostgresErrorType<'directory'> = errorType(
  'COMITY_POSTGRES_DIRECTORY_IS_FOREIGN',
  '{directory} exists and holds something that is no Postgres database cluster',
  'give another directory, or move that one away',
)

export const DirectoryUnreachable: EmbeddedPostgresErrorType<'directory' | 'uid'> = errorType(
  'COMITY_POSTGRES_DIRECTORY_UNREACHABLE',
  'Postgres refuses to run as root, and uid {uid}, as which it is started instead, can not enter {directory}',
  'give a directory outside of the private home directory, make its parents enterable ("chmod o+x"), or run as an ordinary user',
)

export const WrongVersion: EmbeddedPostgresErrorType<'directory' | 'found' | 'binaries'> = errorType(
  'COMITY_POSTGRES_WRONG_VERSION',
  '{directory} was made by Postgres {found}; the binaries at hand are of {binaries}',
  'launch with "major: {found}" and a Postgres {found} installed, or give another directory',
)

export const QueryFailed: EmbeddedPostgresErrorType<'sql' | 'message' | 'state'> = errorType(
  'COMITY_POSTGRES_QUERY_FAILED',
  'Postgres refused "{sql}": {message} (SQLSTATE {state})',
  'correct the name or the options given; the SQLSTATE says which rule was broken',
)
