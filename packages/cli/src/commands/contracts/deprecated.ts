import { Command } from 'commander'
import pc from 'picocolors'
import { type CommonOptions, declare, type ExitCode, withConfig, withJson } from '../../command.ts'
import { type Cell, type Column, renderTable, terminalWidth } from '../../table.ts'
import { checkedTeams } from './checked.ts'

const HELP = `
A contract says what will no longer be sent, and from which day: deprecated: { phone: '2027-01-31' }. Nothing ends by itself.

Exit codes: 0 = nothing that is deprecated has a reader; 1 = error; 3 = something has.

Example:
  $ comity contracts deprecated --team crm`

export function deprecatedCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('deprecated').description('what is deprecated, from when, and who still reads it').addHelpText('after', HELP)
  return declare(withJson(withConfig(command)), run, finish)
}

const COLUMNS: readonly Column[] = [
  { title: 'CONTRACT', align: 'left' },
  { title: 'FIELD', align: 'left' },
  { title: 'FROM', align: 'left' },
  { title: 'STILL READ BY', align: 'left', flexible: true },
]

async function run(options: CommonOptions): Promise<ExitCode> {
  const teams = (await checkedTeams(options)).map(({ team, contracts }) => ({
    team,
    deprecated: contracts.flatMap(({ contract, deprecated }) => deprecated.map((one) => ({ contract, ...one }))),
  }))
  if (options.json) console.log(JSON.stringify({ teams }))
  else
    for (const { team, deprecated } of teams) {
      const rows = deprecated.map(({ contract, field, from, readers }): readonly Cell[] => [
        { text: contract },
        { text: field === '' ? '(the whole)' : field },
        { text: from },
        readers.length === 0 ? { text: 'nobody', paint: pc.green } : { text: readers.join(', '), paint: pc.yellow },
      ])
      console.log(
        rows.length === 0 ? `${pc.bold(team)}: nothing is deprecated` : renderTable(COLUMNS, [pc.bold(team), ...rows], terminalWidth()),
      )
    }
  return teams.some(({ deprecated }) => deprecated.some(({ readers }) => readers.length > 0)) ? 3 : 0
}
