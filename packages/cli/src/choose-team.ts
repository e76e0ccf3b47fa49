import type { Team } from 'comity'
import { TeamNotNamed } from './errors.ts'
import { type ConfigChoice, loadTeams } from './load-config.ts'

/**
 * Runs `work` with the one team that is meant: the one that `--team` names, the owner of the subscription (its name's part before the
 * first dot), or the only one there is. Throws COMITY_TEAM_NOT_NAMED.
 */
export async function withTeam<Result>(
  options: ConfigChoice,
  given: { readonly command: string; readonly subscription?: string | undefined },
  work: (team: Team) => Promise<Result>,
): Promise<Result> {
  const teams = await loadTeams(options)
  const owner = given.subscription?.split('.', 1)[0]
  const team = teams.length === 1 ? teams[0] : teams.find(({ name }) => name === owner)
  if (team === undefined) throw new TeamNotNamed({ command: given.command, teams: teams.map(({ name }) => name).join(', ') })
  try {
    return await work(team)
  } finally {
    for (const one of teams) await one.stop()
  }
}
