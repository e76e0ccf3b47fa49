import { type Catalog, type CatalogContract, type CatalogTeam, readCatalog, requireInstalled } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { ago, printable, text } from '../cell.ts'
import { type CommonOptions, declare, type ExitCode, withConfig, withJson } from '../command.ts'
import { type Column, type Row, renderTable, terminalWidth } from '../table.ts'
import { withAnyTeam } from '../with-any-team.ts'
import { exportCommand } from './catalog/export.ts'
import { forgetCommand } from './catalog/forget.ts'
import { graphCommand } from './catalog/graph.ts'

const HELP = `
Every team that runs tells every other what it declares; so the database of each has the whole map. Names of fields only, never values.
UNUSED are fields that no copy holds and no handler is given. SEEN is when a team was last heard.

Exit codes: 0 = shown; 1 = error.

Example:
  $ comity catalog
  $ comity catalog graph --out teams.svg
  $ comity catalog export --asyncapi --out asyncapi.json
  $ comity who crm.customer.email`

export function catalogCommand(finish: (code: ExitCode) => void): Command {
  const show = new Command('show')
    .description('who owns, keeps and handles what')
    .addHelpText('after', '\nExit codes: 0 = shown; 1 = error.\n\nExample:\n  $ comity catalog show --json')
  return new Command('catalog')
    .description('the map of all teams: who owns, keeps and handles what; as a picture; for other tools')
    .addCommand(declare(withJson(withConfig(show)), run, finish), { isDefault: true })
    .addCommand(graphCommand(finish))
    .addCommand(exportCommand(finish))
    .addCommand(forgetCommand(finish))
    .addHelpText('after', HELP)
}

function run(options: CommonOptions): Promise<ExitCode> {
  return withAnyTeam(options, async (team) => {
    await requireInstalled(team.environment)
    const catalog = await readCatalog(team.declaration, team.environment)
    console.log(options.json ? JSON.stringify(catalog) : catalogText(catalog))
    return 0
  })
}

function catalogText(catalog: Catalog): string {
  const contracts = catalog.contracts.map(contractText)
  const differing = catalog.differing.map(
    ({ field, types }) => `  ${printable(field)}: ${types.map(({ type, contracts: of }) => `${type} in ${of.join(', ')}`).join('; ')}`,
  )
  return [
    renderTable(TEAM_COLUMNS, catalog.teams.map(teamRow), terminalWidth()),
    '',
    contracts.join('\n\n'),
    ...(differing.length === 0 ? [] : ['', pc.yellow('One name, different types:'), ...differing]),
    '',
    pc.dim(`As ${catalog.seenBy} knows it.`),
  ].join('\n')
}

const TEAM_COLUMNS: readonly Column[] = [
  { title: 'TEAM', align: 'left' },
  { title: 'VERSION', align: 'left' },
  { title: 'CONTACT', align: 'left', flexible: true },
  { title: 'COMITY', align: 'left' },
  { title: 'SEEN', align: 'right' },
  { title: 'STATE', align: 'left' },
]
function teamRow({ team, version, contact, library, seenAt, presence, state }: CatalogTeam): Row {
  const paint = { here: pc.green, silent: pc.red, unheard: pc.yellow }[presence]
  return [text(team), text(version), text(contact), text(library), ago(seenAt), text(presence === 'here' ? state : presence, paint)]
}

function contractText({ name, kind, owner, contact, fields, uses }: CatalogContract): string {
  const whom = contact === null ? '' : `, ${printable(contact)}`
  const readers = uses.map(({ team, how, subscription, table, holds, audience, current }) => {
    const what = how === 'keeps' ? `keeps ${holds.map(({ field }) => printable(field)).join(', ')} in ${table ?? 'a table'}` : how
    const older = current === false ? pc.yellow(', with another version of the contract') : ''
    return `  ${printable(team)} ${what}${audience === null ? '' : ` as ${audience}`}${subscription === null ? '' : pc.dim(` (${subscription})`)}${older}`
  })
  const unused = fields.filter((field) => field.unused).map((field) => printable(field.name))
  return [
    `${pc.bold(printable(name))} ${pc.dim(`${kind ?? 'not heard of'}, of ${owner}${whom}`)}`,
    ...(readers.length === 0 ? [pc.dim('  nobody reads it')] : readers),
    ...(unused.length === 0 || readers.length === 0 ? [] : [pc.dim(`  unused: ${unused.join(', ')}`)]),
  ].join('\n')
}
