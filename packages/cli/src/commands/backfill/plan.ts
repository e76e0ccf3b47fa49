import { planBackfill } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { type CommonOptions, declare, type ExitCode, withConfig, withJson } from '../../command.ts'
import { TeamNotNamed } from '../../errors.ts'
import { loadTeams } from '../../load-config.ts'

const HELP = `
Reads the owner's database, so the configuration must name both teams. It prints rows of the owner: run it where these may be seen.

Exit codes: 0 = shown; 1 = error, or the owner would refuse it.

Example:
  $ comity backfill plan marketing.crm-customer`

export function planCommand(finish: (code: ExitCode) => void): Command {
  const made = new Command('plan')
    .description('a dry run: ten rows as the copy would get them, and an estimate')
    .argument('<copy>', 'e.g. marketing.crm-customer')
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(made)), plan, finish)
}

async function plan(options: CommonOptions, replica: string): Promise<ExitCode> {
  const teams = await loadTeams(options)
  try {
    const named = (name: string | undefined) => {
      const team = teams.find((one) => one.name === name)
      if (team === undefined) throw new TeamNotNamed({ command: 'backfill plan', teams: teams.map((one) => one.name).join(', ') })
      return team
    }
    const keeper = named(replica.split('.', 1)[0])
    const owner = keeper.declaration.keeps.find(({ name }) => name === replica)?.entity.owner
    const found = await planBackfill(
      { declaration: keeper.declaration, replica },
      (owner === undefined ? keeper : named(owner)).environment,
    )
    if (options.json) console.log(JSON.stringify(found))
    else {
      console.log(
        `${pc.bold(replica)}: about ${found.estimate.toLocaleString('en')} rows of ${found.entity}, with ${found.fields.join(', ')}; the first of them:`,
      )
      for (const row of found.rows) console.log(row === null ? pc.yellow('  withheld: it breaks its contract') : `  ${JSON.stringify(row)}`)
    }
    return 0
  } finally {
    for (const team of teams) await team.stop()
  }
}
