import { leftOverColumns } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { type ActOptions, withAct } from '../../act.ts'
import { actPatiently } from '../../act-patiently.ts'
import { withTeam } from '../../choose-team.ts'
import { declare, type ExitCode } from '../../command.ts'
import { confirm } from '../../confirm.ts'

interface NarrowOptions extends ActOptions {
  readonly yes?: string
}

const HELP = `
What the declaration has no more is filled and kept true until this is run: readers of the old code may still use it.

Exit codes: 0 = done, or there is nothing to drop; 1 = error, or not confirmed.

Example:
  $ comity replica narrow marketing.crm-customer --reason 'nobody reads it' --yes phone,fax`

export function narrowCommand(finish: (code: ExitCode) => void): Command {
  const made = new Command('narrow')
    .description('drop the columns of a copy that nothing declares any more')
    .argument('<copy>', 'e.g. marketing.crm-customer')
    .option('--yes <columns>', 'do it; the names of the columns, with commas, confirm it')
    .addHelpText('after', HELP)
  return declare(withAct(made), run, finish)
}

function run(options: NarrowOptions, replica: string): Promise<ExitCode> {
  return withTeam(options, { command: 'replica narrow', subscription: replica }, async (team) => {
    const columns = await leftOverColumns(team.declaration, team.environment, replica)
    const names = columns.join(',')
    const what = columns.length === 0 ? `${replica} has nothing that is not declared` : `this drops ${names} of ${replica}`
    if (options.dryRun || columns.length === 0) {
      console.log(options.json ? JSON.stringify({ team: team.name, dryRun: options.dryRun ?? false, replica, columns }) : what)
      return 0
    }
    await confirm({ what, yes: names, given: options.yes, json: options.json })
    const outcome = await actPatiently<object>(team, 'narrow-replica', { replica, columns }, options)
    console.log(options.json ? JSON.stringify({ team: team.name, ...outcome }) : `${pc.bold(team.name)}: dropped ${names} of ${replica}`)
    return 0
  })
}
