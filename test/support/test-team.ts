import type { Team } from 'comity'
import { type TestTeam, type TestTeamOptions, testTeam as testTeamAnywhere } from 'comity/testing'
import { freshDatabase } from './postgres.ts'

/** `testTeam` of comity/testing, on the server that all tests of a run share, in a database that has the numbered migrations already. */
export async function testTeam<Tx>(config: Team<Tx>, options: TestTeamOptions<Tx>): Promise<TestTeam<Tx>> {
  return testTeamAnywhere(config, { ...options, url: options.url ?? (await freshDatabase({ migrated: true })).url })
}
