import { listOperations, type OperationRecord } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { ago, text } from '../cell.ts'
import { type CommonOptions, declare, type ExitCode, eachTeam, withConfig, withJson } from '../command.ts'
import { numberOf } from '../page-options.ts'
import { given } from '../selection-options.ts'
import { type Cell, type Column, renderTable, terminalWidth } from '../table.ts'

interface OperationsOptions extends CommonOptions {
  readonly kind?: string
  readonly limit: string
}

const HELP = `
Every act is recorded with its author and reason: of this command line, of commands of an operating team, and what the library
did by itself.

Exit codes: 0 = listed; 1 = error.

Example:
  $ comity operations --kind pause --limit 10`

export function operationsCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('operations')
    .description('what was done to the teams, by whom and why')
    .option('--kind <kind>', 'only these, e.g. pause')
    .option('--limit <rows>', 'the newest, at most', '20')
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(command)), run, finish)
}

const COLUMNS: readonly Column[] = [
  { title: 'AGO', align: 'right' },
  { title: 'BY', align: 'left', flexible: true },
  { title: 'KIND', align: 'left' },
  { title: 'WHAT', align: 'left', flexible: true },
  { title: 'WHY', align: 'left', flexible: true },
]

async function run(options: OperationsOptions): Promise<ExitCode> {
  const asked = { limit: numberOf('--limit', options.limit), ...given({ kind: options.kind }) }
  const reports = await eachTeam(options, async (team) => ({ team: team.name, operations: await listOperations(team.environment, asked) }))
  if (options.json) console.log(JSON.stringify({ teams: reports }))
  else for (const { team, operations } of reports) console.log(listText(team, operations))
  return 0
}

function listText(team: string, operations: readonly OperationRecord[]): string {
  if (operations.length === 0) return `${pc.bold(team)}: nothing was done`
  const rows = operations.map(({ requestedAt, author, kind, arguments: args, error, reason }): readonly Cell[] => [
    ago(requestedAt),
    text(author),
    text(kind, error === null ? pc.green : pc.red),
    text(error === null ? said(args) : `${error.code} ${said(args)}`),
    text(reason),
  ])
  return renderTable(COLUMNS, [pc.bold(team), ...rows], terminalWidth())
}

/** Names and counts; what a message was given is not shown. */
function said(args: OperationRecord['arguments']): string {
  const entries = Object.entries(typeof args === 'object' && args !== null ? args : {}).filter(([name]) => name !== 'data')
  return entries.map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`).join(' ')
}
