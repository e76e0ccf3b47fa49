import { type DeadLetter, listDeadLetters, type Page } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { ago, count, text } from '../../cell.ts'
import { type CommonOptions, declare, type ExitCode, eachTeam, withConfig, withJson } from '../../command.ts'
import { moreText, type PageChoice, pageAsked, withPage } from '../../page-options.ts'
import { type SelectionOptions, selectionOf, withSelection } from '../../selection-options.ts'
import { type Cell, type Column, renderTable, terminalWidth } from '../../table.ts'

const HELP = `
TRIED is how long ago the head was tried last, BEHIND how many messages of the key wait behind it.

Exit codes: 0 = there is none; 1 = error; 3 = there are some.

Example:
  $ comity dead-letters --subscription crm.marketing-email-sent --tenant agency-7`

export function listCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('list').description('the dead letters, what was tried longest ago first').addHelpText('after', HELP)
  return declare(withJson(withConfig(withPage(withSelection(command)))), run, finish)
}

const COLUMNS: readonly Column[] = [
  { title: 'SUBSCRIPTION', align: 'left', flexible: true },
  { title: 'KEY', align: 'left', flexible: true },
  { title: 'TENANT', align: 'left', flexible: true },
  { title: 'TRIED', align: 'right' },
  { title: 'BEHIND', align: 'right' },
  { title: 'ERROR', align: 'left', flexible: true },
]

async function run(options: CommonOptions & SelectionOptions & PageChoice): Promise<ExitCode> {
  const reports = await eachTeam(options, async (team) => ({
    team: team.name,
    ...(await listDeadLetters(team.environment, { ...selectionOf(options), ...pageAsked(options) })),
  }))
  if (options.json) console.log(JSON.stringify({ teams: reports }))
  else for (const report of reports) console.log(pageText(report.team, report))
  return reports.some(({ items }) => items.length > 0) ? 3 : 0
}

function pageText(team: string, page: Page<DeadLetter>): string {
  if (page.items.length === 0) return `${pc.bold(team)}: no dead letters`
  const rows = page.items.map((letter): readonly Cell[] => [
    text(letter.subscription),
    text(letter.key),
    text(letter.tenant),
    ago(letter.triedAt),
    count(letter.behind, pc.yellow),
    text(`${letter.errorCode ?? '?'}: ${letter.error ?? ''}`, pc.red),
  ])
  return renderTable(COLUMNS, [pc.bold(team), ...rows], terminalWidth()) + moreText(page)
}
