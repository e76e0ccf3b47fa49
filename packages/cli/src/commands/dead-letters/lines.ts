import { estimateLines, type JobKind } from 'comity/admin'
import { Command } from 'commander'
import { BULK_EXIT_CODES, type BulkOptions, runBulk, withBulk } from '../../bulk.ts'
import { withTeam } from '../../choose-team.ts'
import { declare, type ExitCode } from '../../command.ts'
import { numberOf } from '../../page-options.ts'
import { given, type SelectionOptions, selectionOf, withSelection } from '../../selection-options.ts'

interface LinesOptions extends BulkOptions, SelectionOptions {
  readonly staged?: boolean
  readonly rate?: string
  readonly stopAbove?: string
}

export function retryCommand(finish: (code: ExitCode) => void): Command {
  return command('retry', 'retries', finish)
    .description('run the lines of dead letters again, each in order')
    .addHelpText(
      'after',
      `
A job of the running team does it, crash-safe. --staged tries one line first, then 10, then 100, then all, and stops as soon
as more than --stop-above of a stage failed again.
${BULK_EXIT_CODES}

Example:
  $ comity dead-letters retry -s crm.marketing-email-sent --staged --rate 50 --reason 'deployed the fix' --yes 214`,
    )
}

export function skipCommand(finish: (code: ExitCode) => void): Command {
  return command('skip', 'skips the heads of', finish)
    .description('end the dead letters by name, without their effect, and run what waits behind them')
    .addHelpText(
      'after',
      `
What is skipped is kept in comity.discarded with author and reason; its effect does not happen.
${BULK_EXIT_CODES}

Example:
  $ comity dead-letters skip -s crm.marketing-email-sent -k customer-17 --reason 'customer is gone' --yes 1`,
    )
}

export function discardCommand(finish: (code: ExitCode) => void): Command {
  return command('discard', 'discards', finish)
    .description('end the dead letters and what waits behind them by name, without their effect')
    .addHelpText(
      'after',
      `
What is discarded is kept in comity.discarded with author and reason; its effect does not happen.
${BULK_EXIT_CODES}

Example:
  $ comity dead-letters discard --tenant agency-7 --reason 'agency has left' --dry-run`,
    )
}

function command(kind: JobKind, verb: string, finish: (code: ExitCode) => void): Command {
  const made = withBulk(withSelection(new Command(kind)), 'lines')
    .option('--staged', 'in stages: 1, 10, 100, all')
    .option('--rate <lines>', 'lines a second at most')
    .option('--stop-above <share>', 'stop when more than this share of a stage failed again; default 0.1')
  return declare(made, (options: LinesOptions) => run(kind, verb, options), finish)
}

function run(kind: JobKind, verb: string, options: LinesOptions): Promise<ExitCode> {
  return withTeam(options, { command: `dead-letters ${kind}`, subscription: options.subscription }, async (team) => {
    const selection = selectionOf(options)
    const estimate = await estimateLines(team.environment.database, selection)
    const how = given({
      staged: options.staged,
      rate: options.rate === undefined ? undefined : numberOf('--rate', options.rate),
      stopAbove: options.stopAbove === undefined ? undefined : numberOf('--stop-above', options.stopAbove),
    })
    // One line that is tried again needs no second thought.
    const yes = kind === 'retry' && estimate.lines === 1 ? undefined : String(estimate.lines)
    return runBulk(team, { kind, verb, arguments: { ...selection, ...how }, estimate, yes }, options)
  })
}
