import type { Team } from 'comity'
import { type UninstallReport, uninstall } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { type CommonOptions, declare, type ExitCode, withConfig, withJson } from '../command.ts'
import { ConfirmationDiffers, TeamNotNamed } from '../errors.ts'
import { loadTeams } from '../load-config.ts'

interface UninstallOptions extends CommonOptions {
  readonly yes?: string
}

const HELP = `
Without --yes it only says what it would do. The team's own tables stay as they are, and replicas stay as plain tables.
Run it as the owner of the schema comity, with "comity run" stopped.

Exit codes: 0 = done, or nothing is installed; 1 = error; 2 = to be confirmed with --yes.

Example:
  $ comity uninstall --yes crm`

export function uninstallCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('uninstall')
    .description("take everything of Comity out of a team's database")
    .option('--yes <team>', "do it; the team's name confirms it")
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(command)), run, finish)
}

async function run(options: UninstallOptions): Promise<ExitCode> {
  const teams = await loadTeams(options)
  if (teams.length > 1) throw new TeamNotNamed({ command: 'uninstall', teams: teams.map(({ name }) => name).join(', ') })
  const team = teams[0] as Team
  if (options.yes !== undefined && options.yes !== team.name) throw new ConfirmationDiffers({ given: options.yes, team: team.name })
  try {
    const plan = await uninstall(team.declaration, team.environment, { dryRun: true })
    const confirmed = options.yes !== undefined
    if (!options.json) say(team, plan, confirmed)
    const report = confirmed ? await uninstall(team.declaration, team.environment) : plan
    const done = confirmed || plan.steps.length === 0
    if (options.json) console.log(JSON.stringify({ team: team.name, done, ...report }))
    else if (confirmed && plan.steps.length > 0) console.log(`\n${pc.green('done')}`)
    return done ? 0 : 2
  } finally {
    await team.stop()
  }
}

function say({ name }: Team, plan: UninstallReport, confirmed: boolean): void {
  if (plan.steps.length === 0) {
    console.log(`${pc.bold(name)}: nothing of Comity is in this database`)
    return
  }
  console.log(`${pc.bold(name)}: this takes everything of Comity out of the database`)
  section('To do', plan.steps)
  section(pc.red('Lost with it'), plan.losses)
  section('Stays', plan.remains)
  if (!confirmed) console.log(`\nNothing was changed. To do it: ${pc.bold(`comity uninstall --yes ${name}`)}`)
}

function section(title: string, lines: readonly string[]): void {
  if (lines.length > 0) console.log(`\n${title}:\n${lines.map((line) => `  ${line}`).join('\n')}`)
}
