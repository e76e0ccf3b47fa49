import { Command } from 'commander'
import pc from 'picocolors'
import { type CommonOptions, declare, type ExitCode, eachTeam, withConfig, withJson } from '../command.ts'

interface ProvisionOptions extends CommonOptions {
  readonly plan?: boolean
}

const HELP = `
Run it as the broker's operator. Where the broker is a Postgres database, its schema is brought up to date as well.
What exists is left as it is; running it again, or two of it at once, is fine.

Exit codes: 0 = done, or nothing is missing; 1 = error; 2 = something is missing (--plan).

Example:
  $ BUS_URL=postgres://operator@bus/bus comity provision`

export function provisionCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('provision')
    .description('create what is missing at the broker: topics and subscriptions')
    .option('--plan', 'change nothing; say what is missing')
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(command)), run, finish)
}

async function run(options: ProvisionOptions): Promise<ExitCode> {
  const { plan = false } = options
  const reports = await eachTeam(options, async (team) => {
    const steps = await team.provision({ dryRun: plan })
    if (!options.json) {
      if (steps.length === 0) console.log(`${pc.bold(team.name)}: nothing is missing`)
      for (const { action, name } of steps)
        console.log(`${pc.bold(team.name)}: ${plan ? 'to do: ' : ''}${action.replace('-', ' ')} ${name}`)
    }
    return { team: team.name, steps }
  })
  if (options.json) console.log(JSON.stringify({ teams: reports }))
  return plan && reports.some(({ steps }) => steps.length > 0) ? 2 : 0
}
