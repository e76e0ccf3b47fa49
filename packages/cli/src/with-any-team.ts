import type { Team } from 'comity'
import { type ConfigChoice, loadTeams } from './load-config.ts'

/** Runs `work` with one team of the configuration, whichever, where each of them knows the same: the one of `--team`, or the first. */
export async function withAnyTeam<Result>(options: ConfigChoice, work: (team: Team) => Promise<Result>): Promise<Result> {
  const teams = await loadTeams(options)
  try {
    return await work(teams[0] as Team)
  } finally {
    for (const team of teams) await team.stop()
  }
}
