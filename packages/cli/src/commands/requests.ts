import {
  listRequests,
  type Page,
  REQUEST_STATES,
  type RequestRecord,
  type RequestState,
  type ShownRequest,
  showRequest,
} from 'comity/admin'
import { Command, Option } from 'commander'
import pc from 'picocolors'
import { ago, printable, text } from '../cell.ts'
import { withTeam } from '../choose-team.ts'
import { type CommonOptions, declare, type ExitCode, eachTeam, withConfig, withJson } from '../command.ts'
import { moreText, type PageChoice, pageAsked, withPage } from '../page-options.ts'
import { type Cell, type Column, renderTable, terminalWidth } from '../table.ts'

const HELP = `
A request is asked by one team and decided once by the owner of its entity. SIDE says which of the two this team is. "visible"
means: accepted, and the asker's own copy has the change. An overdue request is not ended: its owner decides.

Example:
  $ comity requests --overdue
  $ comity requests list --side answered --state rejected --request crm.change-customer-email`

const LIST_HELP = `
Exit codes: 0 = listed; 1 = error; 3 = with --overdue: there are some.

Example:
  $ comity requests list --state requested --limit 20`

const SHOW_HELP = `
Exit codes: 0 = shown; 1 = error, or no such request is known.

Example:
  $ comity requests show 0b0cf3f6-6a4e-4b5e-9c1c-0a8f2f3d7f10 --team marketing --data`

export function requestsCommand(finish: (code: ExitCode) => void): Command {
  const list = new Command('list')
    .description('requests of both sides, the newest first')
    .addOption(new Option('--side <side>', 'what this team has asked, or has to answer').choices(['asked', 'answered']))
    .addOption(new Option('--state <state>', 'where they are in their life').choices(REQUEST_STATES))
    .option('--overdue', 'asked, not heard of, and their deadline has passed')
    .option('--request <name>', 'of one contract, e.g. crm.change-customer-email')
    .option('--key <key>', 'about one key')
    .option('--peer <team>', 'of one other team')
    .addHelpText('after', LIST_HELP)
  const show = new Command('show')
    .description('one request: its whole life')
    .argument('<id>')
    .option('--data', 'its content too: it belongs to somebody')
    .addHelpText('after', SHOW_HELP)
  return new Command('requests')
    .description('what the teams have asked of each other, and what became of it')
    .addCommand(declare(withJson(withConfig(withPage(list))), listAll, finish), { isDefault: true })
    .addCommand(declare(withJson(withConfig(show)), showOne, finish))
    .addHelpText('after', HELP)
}

const COLUMNS: readonly Column[] = [
  { title: 'ID', align: 'left' },
  { title: 'SIDE', align: 'left' },
  { title: 'REQUEST', align: 'left', flexible: true },
  { title: 'KEY', align: 'left', flexible: true },
  { title: 'WITH', align: 'left', flexible: true },
  { title: 'STATE', align: 'left' },
  { title: 'REASON', align: 'left', flexible: true },
  { title: 'ASKED', align: 'right' },
]

interface ListOptions extends CommonOptions, PageChoice {
  readonly side?: RequestRecord['side']
  readonly state?: RequestState
  readonly overdue?: boolean
  readonly request?: string
  readonly key?: string
  readonly peer?: string
}

async function listAll(options: ListOptions): Promise<ExitCode> {
  const { side, state, overdue, request, key, peer } = options
  const reports = await eachTeam(options, async (team) => ({
    team: team.name,
    ...(await listRequests(team.environment, { side, state, overdue, request, key, peer, ...pageAsked(options) })),
  }))
  if (options.json) console.log(JSON.stringify({ teams: reports }))
  else for (const report of reports) console.log(pageText(report.team, report))
  return overdue && reports.some(({ items }) => items.length > 0) ? 3 : 0
}

const PAINT: Partial<Record<RequestState, (text: string) => string>> = { requested: pc.yellow, accepted: pc.green, visible: pc.green }

function pageText(team: string, page: Page<RequestRecord>): string {
  if (page.items.length === 0) return `${pc.bold(team)}: no requests`
  const rows = page.items.map((one): readonly Cell[] => [
    text(one.id),
    text(one.side),
    text(one.request),
    text(one.key),
    text(one.peer),
    one.overdue ? text('overdue', pc.red) : text(one.state, PAINT[one.state] ?? pc.dim),
    text(one.reason),
    ago(one.askedAt),
  ])
  return renderTable(COLUMNS, [pc.bold(team), ...rows], terminalWidth()) + moreText(page)
}

function showOne(options: CommonOptions & { readonly data?: boolean }, id: string): Promise<ExitCode> {
  return withTeam(options, { command: 'requests show' }, async ({ name, environment }) => {
    const requests = await showRequest(environment, id, { data: options.data === true })
    console.log(options.json ? JSON.stringify({ team: name, requests }) : requests.map(requestText).join('\n\n'))
    return 0
  })
}

function requestText(one: ShownRequest): string {
  const facts: readonly (readonly [string, string | null])[] = [
    [one.side === 'asked' ? 'asked of' : 'asked by', one.peer],
    ['about', `${one.entity} ${one.key}`],
    ['tenant', one.tenant],
    ['asked', one.askedAt],
    ['deadline', one.deadline === null ? null : `${one.deadline}${one.overdue ? ', overdue' : ''}`],
    ['withdrawing', one.withdrawingAt],
    ['decided', one.decidedAt],
    [one.side === 'asked' ? 'heard' : 'told', one.heardAt],
    ['version', one.version === null ? null : String(one.version)],
    ['visible', one.visibleAt],
    ['handled', one.handledAt],
    ['problem', one.problem],
    ['reason', one.reason],
    ['data', one.data === null ? null : JSON.stringify(one.data)],
    ['detail', one.detail === null ? null : JSON.stringify(one.detail)],
  ]
  const shown = facts.flatMap(([name, value]) => (value === null ? [] : [`  ${name.padEnd(12)} ${printable(value)}`]))
  return [`${pc.bold(one.request)} ${printable(one.id)}: ${one.state}`, ...shown].join('\n')
}
