import { SERVERS_VARIABLE, startPostgresServers } from './postgres-servers.ts'

/** Vitest runs this once in its main process; the tests' processes inherit the variable. */
export default async function setup(): Promise<() => Promise<void>> {
  const servers = await startPostgresServers()
  process.env[SERVERS_VARIABLE] = servers.address
  return () => servers.close()
}
