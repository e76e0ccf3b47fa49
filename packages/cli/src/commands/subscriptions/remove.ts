import { listSubscriptions } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { type ActOptions, act, withAct } from '../../act.ts'
import { withTeam } from '../../choose-team.ts'
import { declare, type ExitCode } from '../../command.ts'
import { confirm } from '../../confirm.ts'

interface RemoveOptions extends ActOptions {
  readonly yes?: string
}

const HELP = `
Its lines, its inbox and its queue at the broker go; a replica's table stays as a plain table. What the code still declares is
refused: take it out of the code, and deploy that first.

Exit codes: 0 = done; 1 = error, or not confirmed.

Example:
  $ comity subscriptions remove crm.old --reason 'replaced last month' --yes crm.old`

export function removeCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('remove')
    .description('take away a subscription that no code declares any more')
    .argument('<name>', 'e.g. crm.old')
    .option('--yes <name>', 'do it; the name of the subscription confirms it')
    .addHelpText('after', HELP)
  return declare(withAct(command), run, finish)
}

function run(options: RemoveOptions, subscription: string): Promise<ExitCode> {
  return withTeam(options, { command: 'subscriptions remove', subscription }, async (team) => {
    const found = (await listSubscriptions(team.declaration, team.environment)).find(({ name }) => name === subscription)
    const messages = found?.waiting ?? 0
    const what = `this removes ${subscription} with ${messages} waiting messages, and ${found?.lag ?? 'all'} at the broker`
    if (options.dryRun) {
      console.log(options.json ? JSON.stringify({ team: team.name, dryRun: true, waiting: messages, lag: found?.lag ?? null }) : what)
      return 0
    }
    await confirm({ what, yes: subscription, given: options.yes, json: options.json })
    const outcome = await act<object>(team, 'remove-subscription', { subscription, messages }, options)
    console.log(options.json ? JSON.stringify({ team: team.name, ...outcome }) : `${pc.bold(team.name)}: removed ${subscription}`)
    return 0
  })
}
