import { type DeadLetterGroup, deadLetterGroups, type Page } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { ago, count, text } from '../../cell.ts'
import { type CommonOptions, declare, type ExitCode, eachTeam, withConfig, withJson } from '../../command.ts'
import { moreText, type PageChoice, pageAsked, withPage } from '../../page-options.ts'
import { type SelectionOptions, selectionOf, withSelection } from '../../selection-options.ts'
import { type Cell, type Column, renderTable, terminalWidth } from '../../table.ts'

const HELP = `
A group has the same error class, code, and first frame of your own code: one cause, most of the time.

Exit codes: 0 = there is none; 1 = error; 3 = there are some.

Example:
  $ comity dead-letters groups --subscription crm.marketing-email-sent`

export function groupsCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('groups').description('the dead letters by what failed, the largest group first').addHelpText('after', HELP)
  return declare(withJson(withConfig(withPage(withSelection(command)))), run, finish)
}

const COLUMNS: readonly Column[] = [
  { title: 'FINGERPRINT', align: 'left' },
  { title: 'COUNT', align: 'right' },
  { title: 'TENANTS', align: 'right' },
  { title: 'FIRST', align: 'right' },
  { title: 'LAST', align: 'right' },
  { title: 'ERROR', align: 'left', flexible: true },
  { title: 'WHERE', align: 'left', flexible: true },
]

async function run(options: CommonOptions & SelectionOptions & PageChoice): Promise<ExitCode> {
  const reports = await eachTeam(options, async (team) => ({
    team: team.name,
    ...(await deadLetterGroups(team.environment, { ...selectionOf(options), ...pageAsked(options) })),
  }))
  if (options.json) console.log(JSON.stringify({ teams: reports }))
  else for (const report of reports) console.log(pageText(report.team, report))
  return reports.some(({ items }) => items.length > 0) ? 3 : 0
}

function pageText(team: string, page: Page<DeadLetterGroup>): string {
  if (page.items.length === 0) return `${pc.bold(team)}: no dead letters`
  const rows = page.items.map((group): readonly Cell[] => [
    text(group.fingerprint),
    count(group.count, pc.red),
    count(group.totalTenants, pc.yellow),
    ago(group.firstSeen),
    ago(group.lastSeen),
    text(`${group.errorCode ?? '?'}: ${group.sample?.error ?? ''}`, pc.red),
    text(group.frame === '' ? null : group.frame),
  ])
  return renderTable(COLUMNS, [pc.bold(team), ...rows], terminalWidth()) + moreText(page)
}
