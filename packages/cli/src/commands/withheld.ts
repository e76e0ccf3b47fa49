import type { Team } from 'comity'
import { listWithheld, retryWithheld, type WithheldChange } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { text } from '../cell.ts'
import { type CommonOptions, declare, type ExitCode, eachTeam, withConfig, withJson } from '../command.ts'
import { type Cell, type Column, renderTable, terminalWidth } from '../table.ts'

const HELP = `
A change is withheld when it breaks its contract or a limit of the broker; the business write has succeeded all the same.
A row of a captured table is put right by writing it: its next valid state takes the place of what is withheld. An event
waits here, and the later events of its key behind it, until its contract or the limit is put right and it is retried.

Exit codes: 0 = nothing is withheld; 1 = error; 3 = something is.

Example:
  $ comity withheld crm.customer
  $ comity withheld retry marketing.email-sent customer-17`

const RETRY_HELP = `
The relay of the running team sends them, whole keys in order.

Exit codes: 0 = all are sent; 1 = error, or nothing was withheld; 2 = the relay has not come to them yet; 3 = some are still
withheld.`

export function withheldCommand(finish: (code: ExitCode) => void): Command {
  const list = new Command('list')
    .description('the changes that could not be published, and why')
    .argument('[topic]', 'only of this one')
    .argument('[key]', 'only of this one')
  const retry = new Command('retry')
    .description('send them, after their cause was put right')
    .argument('[topic]', 'only of this one')
    .argument('[key]', 'only of this one')
    .addHelpText('after', RETRY_HELP)
  return new Command('withheld')
    .description('list the changes that could not be published, and send them when their cause was put right')
    .addCommand(declare(withJson(withConfig(list)), showWithheld, finish), { isDefault: true })
    .addCommand(declare(withJson(withConfig(retry)), sendWithheld, finish))
    .addHelpText('after', HELP)
}

const COLUMNS: readonly Column[] = [
  { title: 'TOPIC', align: 'left' },
  { title: 'KEY', align: 'left' },
  { title: 'VERSION', align: 'right' },
  { title: 'SINCE', align: 'left' },
  { title: 'CODE', align: 'left' },
  { title: 'WHY', align: 'left', flexible: true },
]

async function showWithheld(options: CommonOptions, topic?: string, key?: string): Promise<ExitCode> {
  const reports = await eachTeam(options, async (team) => ({
    team: team.name,
    withheld: await listWithheld(team.environment, selection(topic, key)),
  }))
  if (options.json) console.log(JSON.stringify({ teams: reports }))
  else for (const { team, withheld } of reports) console.log(listText(team, withheld))
  return reports.some(({ withheld }) => withheld.length > 0) ? 3 : 0
}

function listText(team: string, withheld: readonly WithheldChange[]): string {
  if (withheld.length === 0) return `${pc.bold(team)}: nothing is withheld`
  const rows = withheld.map(({ topic, key, version, withheldAt, code, path, reason }): readonly Cell[] => [
    { text: topic },
    text(key),
    { text: String(version) },
    { text: withheldAt },
    { text: code, paint: pc.red },
    { text: path === '' ? reason : `${path}: ${reason}` },
  ])
  return renderTable(COLUMNS, [pc.bold(team), ...rows], terminalWidth())
}

async function sendWithheld(options: CommonOptions, topic?: string, key?: string): Promise<ExitCode> {
  const reports = await eachTeam(options, async (team) => ({
    team: team.name,
    ...(await retryWithheld(team.environment, selection(topic, key))),
  }))
  if (options.json) console.log(JSON.stringify({ teams: reports }))
  else for (const report of reports) console.log(retryText(report))
  if (reports.some(({ withheld }) => withheld > 0)) return 3
  return reports.some(({ pending }) => pending > 0) ? 2 : 0
}

function retryText({ team, sent, withheld, pending }: { team: Team['name']; sent: number; withheld: number; pending: number }): string {
  const parts = [
    `${sent} sent`,
    ...(withheld > 0 ? [pc.red(`${withheld} still withheld, see "comity withheld"`)] : []),
    ...(pending > 0 ? [pc.yellow(`${pending} wait for the relay: is "comity run" running?`)] : []),
  ]
  return `${pc.bold(team)}: ${parts.join(', ')}`
}

function selection(topic: string | undefined, key: string | undefined): { topic?: string; key?: string } {
  return { ...(topic === undefined ? {} : { topic }), ...(key === undefined ? {} : { key }) }
}
