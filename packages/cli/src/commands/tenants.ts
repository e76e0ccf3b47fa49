import { listTenants, type Page, TENANT_SORTS, type TenantReport, type TenantSort } from 'comity/admin'
import { Command, Option } from 'commander'
import pc from 'picocolors'
import { ago, count, text } from '../cell.ts'
import { type CommonOptions, declare, type ExitCode, eachTeam, withConfig, withJson } from '../command.ts'
import { moreText, type PageChoice, pageAsked, withPage } from '../page-options.ts'
import { type Cell, type Column, renderTable, terminalWidth } from '../table.ts'

interface TenantsOptions extends CommonOptions, PageChoice {
  readonly subscription?: string
  readonly tenant?: string
  readonly sort?: TenantSort
}

const HELP = `
Those of whom something waits, is under way or is paused. WAITING is messages in lines, NOW what is under way, DEAD the lines whose head failed for good, HELD the
lines that wait for the end of a pause or for room, MOSTLY where most of it is.

Exit codes: 0 = listed; 1 = error.

Example:
  $ comity tenants --sort dead-letters --limit 20`

export function tenantsCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('tenants')
    .description('whose messages wait, whose are paused, and where')
    .argument('[tenant]', 'only this one')
    .option('-s, --subscription <name>', 'only in this subscription')
    .addOption(new Option('--sort <by>', 'the most first, but for names').choices([...TENANT_SORTS]).default('waiting'))
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(withPage(command))), run, finish)
}

const COLUMNS: readonly Column[] = [
  { title: 'TENANT', align: 'left', flexible: true },
  { title: 'WAITING', align: 'right' },
  { title: 'NOW', align: 'right' },
  { title: 'DEAD', align: 'right' },
  { title: 'HELD', align: 'right' },
  { title: 'OLDEST', align: 'right' },
  { title: 'PAUSED', align: 'left', flexible: true },
  { title: 'MOSTLY', align: 'left', flexible: true },
]

async function run({ subscription, sort, ...options }: TenantsOptions, tenant?: string): Promise<ExitCode> {
  const reports = await eachTeam(options, async (team) => ({
    team: team.name,
    ...(await listTenants(team.environment, { subscription, tenant, sort, ...pageAsked(options) })),
  }))
  if (options.json) console.log(JSON.stringify({ teams: reports }))
  else for (const report of reports) console.log(pageText(report.team, report))
  return 0
}

function pageText(team: string, page: Page<TenantReport>): string {
  if (page.items.length === 0) return `${pc.bold(team)}: nothing waits`
  const rows = page.items.map(({ tenant, waiting, inFlight, keys, oldest, paused, top }): readonly Cell[] => [
    text(tenant),
    count(waiting, pc.yellow),
    count(inFlight, pc.dim),
    count(keys.parked, pc.red),
    count(keys.paused + keys.overflow, pc.yellow),
    ago(oldest),
    text(paused.map((pause) => pause.subscription || 'everywhere').join(', ') || null),
    text(top[0]?.subscription ?? null),
  ])
  return renderTable(COLUMNS, [pc.bold(team), ...rows], terminalWidth()) + moreText(page)
}
