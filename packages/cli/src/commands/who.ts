import { type FieldHolder, readCatalog, requireInstalled, whoHolds } from 'comity/admin'
import { Command } from 'commander'
import { ago, text } from '../cell.ts'
import { type CommonOptions, declare, type ExitCode, withConfig, withJson } from '../command.ts'
import { type Column, type Row, renderTable, terminalWidth } from '../table.ts'
import { withAnyTeam } from '../with-any-team.ts'

const HELP = `
HOW: owns = it is this team's; keeps = in a copy, in that table and column; selects = it decides which rows a copy holds; given = a handler gets
it, and may keep it anywhere. SINCE is when this team heard of it first, SEEN when that team was last heard.

Exit codes: 0 = shown; 1 = error, also where no team has declared such a field.

Example:
  $ comity who crm.customer.email
  $ comity who email --json`

export function whoCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('who')
    .description('who holds a field: which teams, in which table and column, since when')
    .argument('<field>', 'e.g. crm.customer.email; crm.customer for all its fields; email for that field of every contract')
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(command)), run, finish)
}

function run(options: CommonOptions, field = ''): Promise<ExitCode> {
  return withAnyTeam(options, async (team) => {
    await requireInstalled(team.environment)
    const holders = whoHolds(await readCatalog(team.declaration, team.environment), field)
    console.log(options.json ? JSON.stringify({ seenBy: team.name, holders }) : renderTable(COLUMNS, holders.map(row), terminalWidth()))
    return 0
  })
}

const COLUMNS: readonly Column[] = [
  { title: 'FIELD', align: 'left' },
  { title: 'TEAM', align: 'left' },
  { title: 'HOW', align: 'left' },
  { title: 'WHERE', align: 'left', flexible: true },
  { title: 'SINCE', align: 'left' },
  { title: 'SEEN', align: 'right' },
  { title: 'CONTACT', align: 'left', flexible: true },
]
function row({ contract, field, team, how, table, column, subscription, since, seenAt, contact }: FieldHolder): Row {
  const where = table === null ? subscription : column === null ? table : `${table}.${column}`
  return [text(`${contract}.${field}`), text(team), text(how), text(where), text(since), ago(seenAt), text(contact)]
}
