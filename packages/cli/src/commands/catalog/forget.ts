import { Command } from 'commander'
import pc from 'picocolors'
import { type ActOptions, act } from '../../act.ts'
import { declare, type ExitCode, eachTeam, withConfig, withJson } from '../../command.ts'

const HELP = `
A team that was dissolved stays in the map of the others, as silent, with what it kept: nobody can tell that it will not be back. This takes it out of
the map of each team of this configuration. If it speaks again, it is there again.

Exit codes: 0 = forgotten; 1 = error, also where it was heard within three minutes, or never.

Example:
  $ comity catalog forget billing --reason 'dissolved, its copies are dropped'`

export function forgetCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('forget')
    .description('take a team that is no more out of the map')
    .argument('<team>')
    .requiredOption('-r, --reason <text>', 'why; it is recorded')
    .option('--author <name>', 'who; default: $COMITY_AUTHOR, or the user of this system')
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(command)), run, finish)
}

async function run(options: ActOptions, gone = ''): Promise<ExitCode> {
  const results = await eachTeam(options, async (team) => {
    const outcome = await act<{ readonly team: string }>(team, 'forget-team', { team: gone }, options)
    if (!options.json) console.log(`${pc.bold(team.name)}: ${outcome.team} is out of its map`)
    return { team: team.name, forgotten: outcome.team }
  })
  if (options.json) console.log(JSON.stringify(results))
  return 0
}
