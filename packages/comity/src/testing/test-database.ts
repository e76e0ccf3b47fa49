import { randomUUID } from 'node:crypto'
import { givenServer } from '../admin/index.ts'
import { NoTestServer } from './errors.ts'

/** The part of `@comity/embedded-postgres` that is used here; the package is loaded only when a test needs a server. */
interface Launcher {
  launchPostgres(options: {
    durable: boolean
  }): Promise<{ databaseUrl(name: string): string; createDatabase(name: string): Promise<unknown> }>
}

let server: Promise<{ create(name: string): Promise<string> }> | undefined

/**
 * A fresh, empty database for one test, on the server of COMITY_TEST_SERVER (a superuser's URL), else on an embedded one
 * that this process starts once and that ends with it.
 */
export async function testDatabase(prefix: string): Promise<string> {
  server ??= process.env.COMITY_TEST_SERVER === undefined ? embedded() : existing(process.env.COMITY_TEST_SERVER)
  return (await server).create(`${prefix.replaceAll('-', '_')}_${randomUUID().slice(0, 8)}`)
}

async function existing(url: string): Promise<{ create(name: string): Promise<string> }> {
  const server = await givenServer(url)
  return { create: (name) => server.createDatabase(name) }
}

async function embedded(): Promise<{ create(name: string): Promise<string> }> {
  const name = '@comity/embedded-postgres'
  const launcher = (await import(name).catch((cause: unknown) => {
    throw new NoTestServer({}, { cause })
  })) as Launcher
  const launched = await launcher.launchPostgres({ durable: false })
  return {
    async create(database) {
      await launched.createDatabase(database)
      return launched.databaseUrl(database)
    },
  }
}
