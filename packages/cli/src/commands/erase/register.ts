import { type ErasureRegister, erasureRegister } from 'comity/admin'
import { Command, Option } from 'commander'
import pc from 'picocolors'
import { ago, text } from '../../cell.ts'
import { type CommonOptions, declare, type ExitCode, eachTeam, withConfig, withJson } from '../../command.ts'
import { renderTable, terminalWidth } from '../../table.ts'
import { countsOf, receiptText } from './receipt-text.ts'
import { registerCsv } from './register-csv.ts'

interface RegisterOptions extends CommonOptions {
  readonly csv?: boolean
}

const HELP = `
Who reads which fields, as each team says itself at its start and every hour; and what was erased, with a receipt of each.
--csv prints one table: its column "record" says whether a line is a holder, an erasure, a receipt, or one that is missing.

Exit codes: 0 = shown; 1 = error; 3 = a receipt is missing.

Example:
  $ comity erase register --csv > register.csv`

export function registerCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('register')
    .description('who holds which fields of what this team publishes, and what was erased')
    .argument('[topic]', 'only of this one, e.g. crm.customer')
    .addOption(new Option('--csv', 'print one table, to keep').conflicts('json'))
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(command)), run, finish)
}

async function run(options: RegisterOptions, topic?: string): Promise<ExitCode> {
  const registers = await eachTeam(options, (team) => erasureRegister(team.environment, topic === undefined ? {} : { topic }))
  if (options.json) console.log(JSON.stringify({ teams: registers }))
  else if (options.csv) console.log(registerCsv(registers))
  else for (const register of registers) print(register)
  return registers.some(({ erasures }) => erasures.some(({ missing }) => missing.length > 0)) ? 3 : 0
}

function print({ team, holders, erasures }: ErasureRegister): void {
  const rows = holders.map(({ topic, subscription, kind, fields, heardAt, goneAt }) => [
    ...[text(topic), text(subscription), text(kind), text(fields.join(', ')), ago(heardAt), text(goneAt === null ? '' : 'gone', pc.dim)],
  ])
  console.log(renderTable(COLUMNS, [pc.bold(team), ...rows], terminalWidth()))
  for (const { topic, key, erasedAt, removed, receipts, missing, announcedAt } of erasures) {
    console.log(
      `\nerased ${erasedAt.slice(0, 16)}Z: ${topic} ${text(key).text}: ${countsOf(removed)}${announcedAt === null ? pc.yellow(', not announced yet') : ''}`,
    )
    for (const receipt of receipts) console.log(`  ${receiptText(receipt)}`)
    for (const other of missing) console.log(pc.red(`  ${other}: has not answered`))
  }
}

const COLUMNS = [
  { title: 'TOPIC', align: 'left' },
  { title: 'HELD AS', align: 'left', flexible: true },
  { title: 'KIND', align: 'left' },
  { title: 'FIELDS', align: 'left', flexible: true },
  { title: 'SAID', align: 'right' },
  { title: '', align: 'left' },
] as const
