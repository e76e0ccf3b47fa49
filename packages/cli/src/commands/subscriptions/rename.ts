import { Command } from 'commander'
import pc from 'picocolors'
import { type ActOptions, act, withAct } from '../../act.ts'
import { withTeam } from '../../choose-team.ts'
import { declare, type ExitCode } from '../../command.ts'

const HELP = `
Its lines, its inbox and its position at the broker come along, so that nothing is handled twice. Rename first, then deploy the
code that declares the new name; or deploy first: a fresh registration that has consumed nothing gives way.

Exit codes: 0 = done; 1 = error.

Example:
  $ comity subscriptions rename crm.marketing-email-sent crm.write-back --reason 'a better name'`

export function renameCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('rename')
    .description('give a subscription another name; adopt an orphan')
    .argument('<old>', 'e.g. crm.marketing-email-sent')
    .argument('<new>', 'e.g. crm.write-back')
    .addHelpText('after', HELP)
  return declare(withAct(command), run, finish)
}

function run(options: ActOptions, from: string, to: string): Promise<ExitCode> {
  return withTeam(options, { command: 'subscriptions rename', subscription: from }, async (team) => {
    if (!options.dryRun) await act(team, 'rename-subscription', { from, to }, options)
    if (options.json) console.log(JSON.stringify({ team: team.name, ...(options.dryRun ? { dryRun: true } : {}), from, to }))
    else console.log(`${pc.bold(team.name)}: ${options.dryRun ? 'this renames' : 'renamed'} ${from} to ${to}`)
    return 0
  })
}
