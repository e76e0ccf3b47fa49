import { NoEmbeddedPostgres } from '../errors.ts'

/** The part of `@comity/embedded-postgres` that is used here. */
interface Launcher {
  launchPostgres(options: { directory: string; port?: number }): Promise<EmbeddedServer>
}
export interface EmbeddedServer {
  readonly url: string
  readonly port: number
  readonly version: string
  createDatabase(name: string, options: { readonly ifNotExists: boolean }): Promise<string>
  close(): Promise<void>
}

/** The package is an optional peer: production installs no server. */
export async function launchServer(options: { directory: string; port?: number }): Promise<EmbeddedServer> {
  const name = '@comity/embedded-postgres'
  const launcher = (await import(name).catch((cause: unknown) => {
    throw new NoEmbeddedPostgres({}, { cause })
  })) as Launcher
  return launcher.launchPostgres(options)
}
