import { setTimeout as delay } from 'node:timers/promises'
import { type Backfill, listBackfills } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { ago, count, text } from '../../cell.ts'
import { type CommonOptions, declare, type ExitCode, eachTeam, withConfig, withJson } from '../../command.ts'
import { numberOf } from '../../page-options.ts'
import { type Cell, type Column, type Row, renderTable, terminalWidth } from '../../table.ts'

const HELP = `
SIDE: "copy" = this team is filling it, "owner" = this team says what it has. LEFT: how long it takes as it goes now.

Exit codes: 0 = shown, and none is under way; 1 = error; 2 = some are under way; 3 = the last one of a copy was refused or is incomplete.

Example:
  $ comity backfill status --watch`

interface StatusOptions extends CommonOptions {
  readonly limit: string
  readonly watch?: boolean
}

export function statusCommand(finish: (code: ExitCode) => void): Command {
  const made = new Command('status')
    .description('what is being filled, how far it is, and how it ended')
    .argument('[copy]', 'only this one, e.g. marketing.crm-customer')
    .option('--limit <rows>', 'at most', '20')
    .option('-w, --watch', 'until none is under way')
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(made)), status, finish)
}

async function status(options: StatusOptions, replica?: string): Promise<ExitCode> {
  const limit = numberOf('--limit', options.limit)
  for (let shown = ''; ; await delay(500)) {
    const teams = await eachTeam(options, async (team) => ({
      team: team.name,
      backfills: await listBackfills(team.environment, { limit, ...(replica === undefined ? {} : { replica }) }),
    }))
    const all = teams.flatMap(({ backfills }) => backfills)
    const open = all.some(isOpen)
    const done = !options.watch || !open
    const words = options.json ? JSON.stringify({ teams }) : renderTable(COLUMNS, teams.flatMap(rowsOf), terminalWidth())
    if (done || words !== shown) {
      if (options.watch && process.stdout.isTTY && !options.json && shown !== '')
        process.stdout.write(`\x1b[${shown.split('\n').length}A\x1b[J`)
      console.log(words)
      shown = words
    }
    if (done)
      return open ? 2 : newestOf(all).some(({ state }) => state === 'refused' || state === 'failed' || state === 'incomplete') ? 3 : 0
  }
}

const COLUMNS: readonly Column[] = [
  { title: 'COPY', align: 'left' },
  { title: 'SIDE', align: 'left' },
  { title: 'STATE', align: 'left' },
  { title: '', align: 'left' },
  { title: 'ROWS', align: 'right' },
  { title: 'OF', align: 'right' },
  { title: 'PER S', align: 'right' },
  { title: 'LEFT', align: 'right' },
  { title: 'ASKED', align: 'right' },
  { title: '', align: 'left', flexible: true },
]

function rowsOf({ team, backfills }: { readonly team: string; readonly backfills: readonly Backfill[] }): readonly Row[] {
  if (backfills.length === 0) return [`${pc.bold(team)}  nothing was filled`]
  return [
    pc.bold(team),
    ...backfills.map((one): readonly Cell[] => [
      text(one.replica),
      text(one.side),
      text(
        one.paused && isOpen(one) ? `${one.state}, paused` : one.state,
        one.state === 'ready' || one.state === 'done' ? pc.green : pc.yellow,
      ),
      { text: bar(one) },
      count(one.rows, pc.green),
      one.estimate === null ? { text: '?' } : count(Math.max(one.estimate, one.rows), pc.yellow),
      { text: one.rate === null ? '-' : Math.round(one.rate).toLocaleString('en') },
      { text: one.eta === null ? '-' : `${one.eta}s` },
      ago(one.askedAt),
      text(notes(one), pc.red),
    ]),
  ]
}

/** Ten places: how many of the rows that there are about. */
function bar({ rows, estimate, state }: Backfill): string {
  const share = ['settling', 'sent', 'ready', 'done', 'incomplete'].includes(state) ? 1 : estimate ? Math.min(0.99, rows / estimate) : 0
  const full = Math.round(share * 10)
  return `${'█'.repeat(full)}${'░'.repeat(10 - full)}`
}

function notes({ withheld, refused, removed, reason, waitsFor }: Backfill): string {
  return [
    ...(withheld > 0 ? [`${withheld} withheld`] : []),
    ...(refused > 0 ? [`${refused} refused`] : []),
    ...(removed > 0 ? [`${removed} removed`] : []),
    ...waitsFor.map(({ pid, prepared, seconds }) => `waits for ${pid === undefined ? `prepared ${prepared}` : `pid ${pid}`} (${seconds}s)`),
    ...(reason === null ? [] : [reason]),
  ].join(', ')
}

function isOpen({ state }: Backfill): boolean {
  return ['asking', 'filling', 'settling', 'waiting', 'running', 'paused', 'sent'].includes(state)
}

function newestOf(all: readonly Backfill[]): readonly Backfill[] {
  return [
    ...new Map([...all].sort((a, b) => a.askedAt.localeCompare(b.askedAt)).map((one) => [`${one.side} ${one.replica}`, one])).values(),
  ]
}
