import { SERVERS_VARIABLE, startPostgresServers } from './postgres-servers.ts'

/** Vitest runs this in its main process, for each of its projects; they share the servers, and the tests' processes inherit the variable. */
export default async function setup(): Promise<() => Promise<void>> {
  if (process.env[SERVERS_VARIABLE] !== undefined) return async () => {}
  const servers = await startPostgresServers()
  process.env[SERVERS_VARIABLE] = servers.address
  return () => servers.close()
}
