import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import type { ExitCode } from './command.ts'
import { wrapHelp } from './wrap-help.ts'

type CreateCommand = (finish: (code: ExitCode) => void) => Command

/** In the order of the help: to set up, to look, to act, to develop and to leave. Each is loaded when it is asked for. */
const COMMANDS: Readonly<Record<string, () => Promise<CreateCommand>>> = {
  migrate: async () => (await import('./commands/migrate.ts')).migrateCommand,
  provision: async () => (await import('./commands/provision.ts')).provisionCommand,
  run: async () => (await import('./commands/run.ts')).runCommand,

  status: async () => (await import('./commands/status.ts')).statusCommand,
  doctor: async () => (await import('./commands/doctor.ts')).doctorCommand,
  subscriptions: async () => (await import('./commands/subscriptions.ts')).subscriptionsCommand,
  'dead-letters': async () => (await import('./commands/dead-letters.ts')).deadLettersCommand,
  tenants: async () => (await import('./commands/tenants.ts')).tenantsCommand,
  withheld: async () => (await import('./commands/withheld.ts')).withheldCommand,
  backfill: async () => (await import('./commands/backfill.ts')).backfillCommand,
  requests: async () => (await import('./commands/requests.ts')).requestsCommand,
  contracts: async () => (await import('./commands/contracts.ts')).contractsCommand,
  trace: async () => (await import('./commands/trace.ts')).traceCommand,
  catalog: async () => (await import('./commands/catalog.ts')).catalogCommand,
  who: async () => (await import('./commands/who.ts')).whoCommand,

  pause: async () => (await import('./commands/pause.ts')).pauseCommand,
  resume: async () => (await import('./commands/pause.ts')).resumeCommand,
  replay: async () => (await import('./commands/replay.ts')).replayCommand,
  purge: async () => (await import('./commands/purge.ts')).purgeCommand,
  erase: async () => (await import('./commands/erase.ts')).eraseCommand,
  jobs: async () => (await import('./commands/jobs.ts')).jobsCommand,
  operations: async () => (await import('./commands/operations.ts')).operationsCommand,

  audit: async () => (await import('./commands/audit.ts')).auditCommand,
  seed: async () => (await import('./commands/seed.ts')).seedCommand,
  replica: async () => (await import('./commands/replica.ts')).replicaCommand,
  transport: async () => (await import('./commands/transport.ts')).transportCommand,

  dev: async () => (await import('./commands/dev.ts')).devCommand,
  teams: async () => (await import('./commands/teams.ts')).teamsCommand,
  'hand-over': async () => (await import('./commands/hand-over.ts')).handOverCommand,
  release: async () => (await import('./commands/release.ts')).releaseCommand,
  uninstall: async () => (await import('./commands/uninstall.ts')).uninstallCommand,
}

const HELP = `
The teams come from comity.config.ts, whose default export is a team, or an array of teams.

Example:
  $ comity migrate && comity provision && comity run`

/**
 * The command that the arguments name; all commands where they name none, e.g. for the help.
 * @param finish gets the exit code of the one that was run
 */
export async function createProgram(finish: (code: ExitCode) => void, args: readonly string[] = []): Promise<Command> {
  const named = Object.hasOwn(COMMANDS, args[0] ?? '') ? COMMANDS[args[0] as string] : undefined
  const commands = await Promise.all((named === undefined ? Object.values(COMMANDS) : [named]).map((load) => load()))
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
  for (const create of commands) {
    const command = create(finish)
    for (const one of [command, ...command.commands]) one.copyInheritedSettings(program)
    program.addCommand(command)
  }
  return program
}
