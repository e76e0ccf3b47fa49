import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import type { ExitCode } from './command.ts'
import { deadLettersCommand } from './commands/dead-letters.ts'
import { devCommand } from './commands/dev.ts'
import { doctorCommand } from './commands/doctor.ts'
import { jobsCommand } from './commands/jobs.ts'
import { migrateCommand } from './commands/migrate.ts'
import { operationsCommand } from './commands/operations.ts'
import { pauseCommand, resumeCommand } from './commands/pause.ts'
import { provisionCommand } from './commands/provision.ts'
import { purgeCommand } from './commands/purge.ts'
import { releaseCommand } from './commands/release.ts'
import { replayCommand } from './commands/replay.ts'
import { runCommand } from './commands/run.ts'
import { statusCommand } from './commands/status.ts'
import { subscriptionsCommand } from './commands/subscriptions.ts'
import { tenantsCommand } from './commands/tenants.ts'
import { traceCommand } from './commands/trace.ts'
import { uninstallCommand } from './commands/uninstall.ts'
import { withheldCommand } from './commands/withheld.ts'
import { BadUsage } from './errors.ts'
import { errorText } from './print-error.ts'

/** In the order of the help: to set up, to look, to act, to develop and to leave. */
const COMMANDS = [
  ...[migrateCommand, provisionCommand, runCommand],
  ...[statusCommand, doctorCommand, subscriptionsCommand, deadLettersCommand, tenantsCommand, withheldCommand, traceCommand],
  ...[pauseCommand, resumeCommand, replayCommand, purgeCommand, jobsCommand, operationsCommand],
  ...[devCommand, releaseCommand, uninstallCommand],
]

const HELP = `
The teams come from comity.config.ts, whose default export is a team, or an array of teams.

Example:
  $ comity migrate && comity provision && comity run`

/** The command line: what follows `comity` in, exit code out. */
export async function main(args: readonly string[]): Promise<ExitCode> {
  let code: ExitCode = 0
  const finish = (given: ExitCode): void => {
    code = given
  }
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
  const program = new Command('comity')
    .description('The event system for autonomous teams: own your data, keep true copies of the rest')
    .version(version, '--version')
    .addHelpText('after', HELP)
    .exitOverride()
    // Ours are printed in one form, below.
    .configureOutput({ outputError: () => undefined })
  for (const create of COMMANDS) {
    const command = create(finish)
    for (const one of [command, ...command.commands]) one.copyInheritedSettings(program)
    program.addCommand(command)
  }
  try {
    await program.parseAsync(args, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    // Help, which was asked for or shown because no command was given.
    if (/^commander\.(help|version)/.test(error.code)) return error.exitCode
    console.error(errorText(new BadUsage({ reason: error.message.replace(/^error: /, '').replaceAll('\n', ' ') })))
    return 1
  }
  return code
}
