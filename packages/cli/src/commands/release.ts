import { release } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { type CommonOptions, declare, type ExitCode, withConfig, withJson } from '../command.ts'
import { loadTeams } from '../load-config.ts'

const HELP = `
For a change of a published column: release, alter the table, then "comity migrate". What is written between the two is not
announced, so compare the copies afterwards.

Example:
  $ comity release crm.customer && psql -c 'alter table customers alter column phone type text' && comity migrate`

export function releaseCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('release')
    .description('stop capturing the table of one entity, so that its published columns can be altered')
    .argument('<entity>', 'e.g. crm.customer')
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(command)), run, finish)
}

async function run(options: CommonOptions, entity: string): Promise<ExitCode> {
  // The owner's name is the part before the dot, unless its contract names another.
  const teams = await loadTeams(options)
  const team =
    teams.find(({ declaration }) => declaration.owns.some((owned) => owned.entity.name === entity)) ?? (teams[0] as (typeof teams)[number])
  try {
    await release(entity, team.environment)
  } finally {
    await team.stop()
  }
  if (options.json) console.log(JSON.stringify({ team: team.name, released: entity }))
  else console.log(`${pc.bold(team.name)}: ${entity} is not announced until the next "comity migrate"`)
  return 0
}
