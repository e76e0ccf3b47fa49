import { listSubscriptions } from 'comity/admin'
import { Command, Option } from 'commander'
import pc from 'picocolors'
import { type ActOptions, withAct } from '../../act.ts'
import { actPatiently } from '../../act-patiently.ts'
import { withTeam } from '../../choose-team.ts'
import { declare, type ExitCode } from '../../command.ts'
import { confirm } from '../../confirm.ts'
import { TableNotChosen } from '../../errors.ts'

interface DropOptions extends ActOptions {
  readonly yes?: string
  readonly keepTable?: boolean
  readonly dropTable?: boolean
}

const HELP = `
Its subscription, its queue at the broker, its lines, tombstones and backfills go. Of its table you choose: kept, it is a plain table that
nothing changes any more. A copy that the code still declares is refused: take it out of the code, and deploy that first.

Exit codes: 0 = done; 1 = error, or not confirmed.

Example:
  $ comity replica drop marketing.crm-old --keep-table --reason 'replaced' --yes marketing.crm-old`

export function dropCommand(finish: (code: ExitCode) => void): Command {
  const made = new Command('drop')
    .description('take away a copy that no code keeps any more')
    .argument('<copy>', 'e.g. marketing.crm-old')
    .addOption(new Option('--keep-table', 'leave its table as a plain table').conflicts('dropTable'))
    .option('--drop-table', 'drop its table')
    .option('--yes <copy>', 'do it; the name of the copy confirms it')
    .addHelpText('after', HELP)
  return declare(withAct(made), run, finish)
}

function run(options: DropOptions, replica: string): Promise<ExitCode> {
  return withTeam(options, { command: 'replica drop', subscription: replica }, async (team) => {
    if (!options.keepTable && !options.dropTable) throw new TableNotChosen({ replica })
    const table = options.dropTable ? 'drop' : 'keep'
    const found = (await listSubscriptions(team.declaration, team.environment)).find(({ name }) => name === replica)
    const messages = found?.waiting ?? 0
    const what = `this takes ${replica} away with ${messages} waiting messages, and ${table}s its table`
    if (options.dryRun) {
      console.log(options.json ? JSON.stringify({ team: team.name, dryRun: true, replica, table, waiting: messages }) : what)
      return 0
    }
    await confirm({ what, yes: replica, given: options.yes, json: options.json })
    const outcome = await actPatiently<{ readonly table: string }>(team, 'drop-replica', { replica, table, messages }, options)
    const words = `${replica} is gone; its table ${outcome.table} ${table === 'keep' ? 'stays as a plain table' : 'is dropped'}`
    console.log(options.json ? JSON.stringify({ team: team.name, ...outcome }) : `${pc.bold(team.name)}: ${words}`)
    return 0
  })
}
