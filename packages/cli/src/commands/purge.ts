import { estimateLines } from 'comity/admin'
import { Command } from 'commander'
import { BULK_EXIT_CODES, type BulkOptions, runBulk, withBulk } from '../bulk.ts'
import { withTeam } from '../choose-team.ts'
import { declare, type ExitCode } from '../command.ts'
import { given } from '../selection-options.ts'

interface PurgeOptions extends BulkOptions {
  readonly tenant?: string
}

const HELP = `
Everything that waits there ends without its effect, whatever it waits for: dead letters, what is paused, what could not be
taken yet. Each message is kept by name in comity.discarded. What is still at the broker stays there.
${BULK_EXIT_CODES}

Example:
  $ comity purge crm.marketing-email-sent --reason 'test data' --dry-run
  $ comity purge crm.marketing-email-sent --reason 'test data' --yes 1204`

export function purgeCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('purge')
    .description('discard everything that waits in the lines of a subscription')
    .argument('<subscription>', 'e.g. crm.marketing-email-sent')
    .option('--tenant <tenant>', 'only of this one')
    .addHelpText('after', HELP)
  return declare(withBulk(command, 'messages'), run, finish)
}

function run(options: PurgeOptions, subscription: string): Promise<ExitCode> {
  return withTeam(options, { command: 'purge', subscription }, async (team) => {
    const of = { subscription, ...given({ tenant: options.tenant }) }
    const estimate = await estimateLines(team.environment.database, { ...of, reasons: ['parked', 'paused', 'overflow', 'not-yet'] })
    const { messages } = estimate
    return runBulk(team, { kind: 'purge', verb: 'discards', arguments: { ...of, messages }, estimate, yes: String(messages) }, options)
  })
}
