import { givenServer } from 'comity/admin'
import { NoEmbeddedPostgres } from '../errors.ts'

/** The part of `@comity/embedded-postgres` that is used here. */
interface Launcher {
  launchPostgres(options: { directory: string; port?: number }): Promise<EmbeddedServer>
}
interface EmbeddedServer {
  readonly port: number
  readonly version: string
  createDatabase(name: string, options: { readonly ifNotExists: boolean }): Promise<string>
  close(): Promise<void>
}

/** The server of a workspace in development. */
export interface DevServer {
  /** In words, for the log. */
  readonly title: string
  /** Makes the database if it is not there, and answers its URL. */
  createDatabase(name: string): Promise<string>
  close(): Promise<void>
}

/** The package is an optional peer: production installs no server. */
export async function launchServer(options: { directory: string; port?: number }): Promise<DevServer> {
  const name = '@comity/embedded-postgres'
  const launcher = (await import(name).catch((cause: unknown) => {
    throw new NoEmbeddedPostgres({}, { cause })
  })) as Launcher
  const server = await launcher.launchPostgres(options)
  return {
    title: `Postgres ${server.version} on port ${server.port}, its data in ${options.directory}`,
    createDatabase: (database) => server.createDatabase(database, { ifNotExists: true }),
    close: () => server.close(),
  }
}

/** The user's own server: nothing of it is started, stopped or removed. */
export async function useServer(url: string): Promise<DevServer> {
  const server = await givenServer(url)
  return {
    title: `Postgres ${server.version} at ${new URL(url).host}`,
    createDatabase: (database) => server.createDatabase(database),
    close: async () => undefined,
  }
}
