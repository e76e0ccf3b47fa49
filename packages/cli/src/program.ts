import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import type { ExitCode } from './command.ts'
import { auditCommand } from './commands/audit.ts'
import { backfillCommand } from './commands/backfill.ts'
import { deadLettersCommand } from './commands/dead-letters.ts'
import { devCommand } from './commands/dev.ts'
import { doctorCommand } from './commands/doctor.ts'
import { eraseCommand } from './commands/erase.ts'
import { jobsCommand } from './commands/jobs.ts'
import { migrateCommand } from './commands/migrate.ts'
import { operationsCommand } from './commands/operations.ts'
import { pauseCommand, resumeCommand } from './commands/pause.ts'
import { provisionCommand } from './commands/provision.ts'
import { purgeCommand } from './commands/purge.ts'
import { releaseCommand } from './commands/release.ts'
import { replayCommand } from './commands/replay.ts'
import { replicaCommand } from './commands/replica.ts'
import { runCommand } from './commands/run.ts'
import { seedCommand } from './commands/seed.ts'
import { statusCommand } from './commands/status.ts'
import { subscriptionsCommand } from './commands/subscriptions.ts'
import { teamsCommand } from './commands/teams.ts'
import { tenantsCommand } from './commands/tenants.ts'
import { traceCommand } from './commands/trace.ts'
import { transportCommand } from './commands/transport.ts'
import { uninstallCommand } from './commands/uninstall.ts'
import { withheldCommand } from './commands/withheld.ts'
import { wrapHelp } from './wrap-help.ts'

/** In the order of the help: to set up, to look, to act, to develop and to leave. */
const COMMANDS = [
  ...[migrateCommand, provisionCommand, runCommand],
  ...[
    statusCommand,
    doctorCommand,
    subscriptionsCommand,
    deadLettersCommand,
    tenantsCommand,
    withheldCommand,
    backfillCommand,
    traceCommand,
  ],
  ...[pauseCommand, resumeCommand, replayCommand, purgeCommand, eraseCommand, jobsCommand, operationsCommand],
  ...[auditCommand, seedCommand, replicaCommand, transportCommand],
  ...[devCommand, teamsCommand, releaseCommand, uninstallCommand],
]

const HELP = `
The teams come from comity.config.ts, whose default export is a team, or an array of teams.

Example:
  $ comity migrate && comity provision && comity run`

/** All commands. @param finish gets the exit code of the one that was run */
export function createProgram(finish: (code: ExitCode) => void): Command {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
  const program = new Command('comity')
    .description('The event system for autonomous teams: own your data, keep true copies of the rest')
    .version(version, '--version')
    .addHelpText('after', HELP)
    .exitOverride()
    .configureOutput({
      // Errors are printed in one form, by main.
      outputError: () => undefined,
      writeOut: (text) => process.stdout.write(wrapHelp(text, process.stdout.columns ?? (Number(process.env.COLUMNS) || 80))),
    })
  for (const create of COMMANDS) {
    const command = create(finish)
    for (const one of [command, ...command.commands]) one.copyInheritedSettings(program)
    program.addCommand(command)
  }
  return program
}
