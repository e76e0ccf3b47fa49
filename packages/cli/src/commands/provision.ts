import type { Team } from 'comity'
import { brokerAccess } from 'comity/admin'
import { Command, Option } from 'commander'
import pc from 'picocolors'
import { type CommonOptions, declare, type ExitCode, eachTeam, withConfig, withJson } from '../command.ts'

interface ProvisionOptions extends CommonOptions {
  readonly plan?: boolean
  readonly access?: true | string
}

const HELP = `
Run it as the broker's operator. Where the broker is a Postgres database, its schema is brought up to date as well.
What exists and is as it should be is left alone; running it again, or two of it at once, is fine.
--access asks the broker nothing: it prints what each team's identity may do, and nothing beyond, for whoever administers
the broker. Which forms there are depends on the broker; a Postgres bus has its own: comity migrate --roles bus.

Exit codes: 0 = done, or nothing is missing; 1 = error; 2 = something is missing (--plan).

Example:
  $ BUS_URL=postgres://operator@bus/bus comity provision --plan`

export function provisionCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('provision')
    .description('create what is missing at the broker: topics and subscriptions')
    .addOption(new Option('--plan', 'change nothing; say what is missing').conflicts('access'))
    .option('--access [form]', "change nothing; print each team's least rights at the broker")
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(command)), run, finish)
}

async function run(options: ProvisionOptions): Promise<ExitCode> {
  if (options.access !== undefined) return printAccess(options, options.access === true ? undefined : options.access)
  const { plan = false } = options
  const reports = await eachTeam(options, async (team) => {
    const steps = await team.provision({ dryRun: plan })
    if (!options.json) {
      if (steps.length === 0) console.log(`${pc.bold(team.name)}: nothing is missing`)
      for (const { action, name, detail } of steps)
        console.log(
          `${pc.bold(team.name)}: ${plan ? 'to do: ' : ''}${action.replace('-', ' ')} ${name}${detail === undefined ? '' : ` (${detail})`}`,
        )
    }
    return { team: team.name, steps }
  })
  if (options.json) console.log(JSON.stringify({ teams: reports }))
  return plan && reports.some(({ steps }) => steps.length > 0) ? 2 : 0
}

async function printAccess(options: ProvisionOptions, form: string | undefined): Promise<ExitCode> {
  // The broker is not asked anything: that a team's connections are closed already does not matter.
  const teams: Team[] = []
  await eachTeam(options, async (team) => void teams.push(team))
  const written = await brokerAccess(teams, form)
  if (options.json) console.log(JSON.stringify({ brokers: written }))
  else for (const { text } of written) console.log(text)
  return 0
}
