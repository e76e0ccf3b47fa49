import { setTimeout as delay } from 'node:timers/promises'
import type { Team } from 'comity'
import {
  type Audit,
  type AuditBegun,
  type AuditFinding,
  auditFindings,
  auditOf,
  auditValues,
  type DifferingValues,
  listAudits,
  listSubscriptions,
} from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { type ActOptions, act } from '../act.ts'
import { ago, count, printable, text } from '../cell.ts'
import { withTeam } from '../choose-team.ts'
import { type CommonOptions, declare, type ExitCode, eachTeam, withConfig, withJson } from '../command.ts'
import { numberOf } from '../page-options.ts'
import { given } from '../selection-options.ts'
import { type Cell, type Column, renderTable, terminalWidth } from '../table.ts'

const HELP = `
The running team asks the owners; neither side reads the other's database, and no values leave a team. Every key that differs
is named, with its class: missing, extra, stale, ahead or different; withheld and waiting ones apart. Only --values shows values of these keys, as
they are now, to a role that may read the copy; the owner is asked for its own.

Exit codes: 0 = true; 1 = error; 2 = no process of the team works on it; 3 = drift; 4 = inconclusive.

Example:
  $ comity audit marketing.crm-customer
  $ comity audit marketing.crm-customer --repair --reason 'a row was edited by hand'
  $ comity audit list`

const RUN_HELP = `
Exit codes: 0 = true; 1 = error; 2 = no process of the team works on it; 3 = drift; 4 = inconclusive.

Example:
  $ comity audit run marketing.crm-customer --keys-only
  $ comity audit run --team marketing --repair --reason 'restored from a backup'`

interface RunOptions extends ActOptions {
  readonly repair?: boolean
  readonly keysOnly?: boolean
  readonly values?: boolean
}

export function auditCommand(finish: (code: ExitCode) => void): Command {
  const run = new Command('run')
    .description('compare a copy, or all of a team, with the owner')
    .argument('[replica]', 'e.g. marketing.crm-customer; default: each')
    .option('--repair', 'have what has drifted said anew by its owner, and look at it again')
    .option('--keys-only', 'compare only which rows there are, not their fields')
    .option('--values', 'show what differs of the keys that are named, where this role may see it')
    .option('-r, --reason <text>', 'why; it is recorded', 'to know whether the copy is true')
    .option('--author <name>', 'who; default: $COMITY_AUTHOR, or the user of this system')
    .addHelpText('after', RUN_HELP)
  const status = new Command('status')
    .description('one audit and the keys that it names; default: the newest')
    .argument('[id]')
    .option('--values', 'show what differs of the keys that are named, where this role may see it')
    .option('--limit <rows>', 'keys, at most', '100')
    .addHelpText('after', '\nExit codes: as of "comity audit run".\n\nExample:\n  $ comity audit status --team marketing')
  const list = new Command('list')
    .description('the newest audits')
    .option('--replica <name>', 'only of this copy')
    .option('--limit <rows>', 'at most', '20')
    .addHelpText('after', '\nExit codes: 0 = listed; 1 = error.\n\nExample:\n  $ comity audit list --limit 5')
  return new Command('audit')
    .description('compare copies with their owners, and repair them')
    .addCommand(declare(withJson(withConfig(run)), runAudits, finish), { isDefault: true })
    .addCommand(declare(withJson(withConfig(status)), showOne, finish))
    .addCommand(declare(withJson(withConfig(list)), listAll, finish))
    .addHelpText('after', HELP)
}

function runAudits(options: RunOptions, replica?: string): Promise<ExitCode> {
  return withTeam(options, { command: 'audit', ...(replica === undefined ? {} : { subscription: replica }) }, async (team) => {
    const args = { ...given({ replica }), repair: options.repair === true, extent: options.keysOnly ? 'keys' : 'full' }
    const { audits } = await act<AuditBegun>(team, 'audit', args, options)
    const ended: Audit[] = []
    for (const { id } of audits) {
      const audit = await follow(team, id)
      ended.push(audit)
      if (!options.json) console.log(await auditText(team, audit, 20, options.values))
    }
    if (options.json) {
      const reports = ended.map(async (audit) => ({
        ...{ ...audit, findings: (await auditFindings(team.environment, audit.id)).items },
        ...(options.values === true ? { values: await valuesOf(team, audit, 500) } : {}),
      }))
      console.log(JSON.stringify({ team: team.name, audits: await Promise.all(reports) }))
    }
    return Math.max(...ended.map(codeOf))
  })
}

/** Between two looks whether anybody is there to do it, in milliseconds. */
const LOOK_AROUND = 10_000

async function follow(team: Team, id: string): Promise<Audit> {
  for (let lookedAt = performance.now(); ; ) {
    const audit = await auditOf(team.environment, id)
    if (audit.state === 'ended') return audit
    if (performance.now() - lookedAt > LOOK_AROUND) {
      if (!(await isRunning(team))) return audit
      lookedAt = performance.now()
    }
    await delay(100)
  }
}
async function isRunning({ declaration, environment }: Team): Promise<boolean> {
  return (await listSubscriptions(declaration, environment)).some(({ processes }) => processes.length > 0)
}

function codeOf({ verdict }: Audit): ExitCode {
  if (verdict === null) return 2
  return { true: 0, drift: 3, inconclusive: 4 }[verdict]
}

/** Of an audit that has ended, the values that still differ. */
async function valuesOf(team: Team, { id, state }: Audit, limit: number): Promise<readonly DifferingValues[]> {
  return state === 'ended' ? auditValues(team.environment, team.declaration, id, { limit }) : []
}

function showOne(options: CommonOptions & { readonly limit: string; readonly values?: boolean }, id?: string): Promise<ExitCode> {
  return withTeam(options, { command: 'audit status' }, async (team) => {
    const audit = id === undefined ? (await listAudits(team.environment, { limit: 1 }))[0] : await auditOf(team.environment, id)
    if (audit === undefined) {
      console.log(options.json ? JSON.stringify({ team: team.name, audit: null }) : `${pc.bold(team.name)}: no audits`)
      return 0
    }
    const limit = numberOf('--limit', options.limit)
    if (options.json) {
      const { items } = await auditFindings(team.environment, audit.id, { limit })
      const values = options.values === true ? { values: await valuesOf(team, audit, limit) } : {}
      console.log(JSON.stringify({ team: team.name, audit, findings: items, ...values }))
    } else console.log(await auditText(team, audit, limit, options.values))
    return codeOf(audit)
  })
}

async function auditText(team: Team, audit: Audit, limit: number, withValues = false): Promise<string> {
  const { replica, verdict, problem, ourRows, theirRows, repaired, state } = audit
  const { items, next } = await auditFindings(team.environment, audit.id, { limit })
  const values = new Map((withValues ? await valuesOf(team, audit, limit) : []).map((one) => [one.key, one]))
  const rows = ourRows === null ? '' : `, ${ourRows} rows here and ${theirRows} at the owner`
  const said =
    repaired === null ? [] : [`  ${repaired.clean ?? 0} of ${repaired.keys} keys that had drifted are as their owner has them now`]
  return [
    `${pc.bold(replica)}: ${verdict === null ? pc.yellow(`${state}; is "comity run" of ${team.name} running?`) : painted(verdict)}${rows}`,
    ...(problem === null ? [] : [`  ${printable(problem)}`]),
    ...items.flatMap((finding) => [`  ${findingText(finding)}`, ...valueLines(values.get(finding.key))]),
    ...(next === null ? [] : [`  … and more: comity audit status ${audit.id} --limit 1000`]),
    ...said,
  ].join('\n')
}

function painted(verdict: NonNullable<Audit['verdict']>): string {
  return { true: pc.green, drift: pc.red, inconclusive: pc.yellow }[verdict](verdict)
}

function valueLines(found: DifferingValues | undefined): readonly string[] {
  if (found === undefined) return []
  const { here, owner, fields } = found
  if (!here || !owner)
    return [`      ${here ? 'the owner has no such row' : owner ? 'there is no such row here' : 'neither has such a row'}`]
  const shown = (value: string | null): string => (value === null ? 'null' : JSON.stringify(value))
  return fields.map(({ field, here: own, owner: theirs }) => `      ${printable(field)}: here ${shown(own)}, at the owner ${shown(theirs)}`)
}

function findingText({ key, class: named, detail, after }: AuditFinding): string {
  const result = after === null ? '' : after === 'true' ? pc.green(' → true') : pc.red(` → ${after}`)
  return `${printable(key)}  ${named}${detail === null ? '' : ` (${printable(detail)})`}${result}`
}

const COLUMNS: readonly Column[] = [
  { title: 'AUDIT', align: 'left' },
  { title: 'COPY', align: 'left', flexible: true },
  { title: 'VERDICT', align: 'left' },
  { title: 'ROWS', align: 'right' },
  { title: 'NAMED', align: 'right' },
  { title: 'REPAIRED', align: 'right' },
  { title: 'ASKED', align: 'right' },
  { title: 'BY', align: 'left', flexible: true },
]

async function listAll(options: CommonOptions & { readonly limit: string; readonly replica?: string }): Promise<ExitCode> {
  const asked = { limit: numberOf('--limit', options.limit), replica: options.replica }
  const reports = await eachTeam(options, async (team) => ({ team: team.name, audits: await listAudits(team.environment, asked) }))
  if (options.json) console.log(JSON.stringify({ teams: reports }))
  else for (const { team, audits } of reports) console.log(listText(team, audits))
  return 0
}

function listText(team: string, audits: readonly Audit[]): string {
  if (audits.length === 0) return `${pc.bold(team)}: no audits`
  const rows = audits.map((audit): readonly Cell[] => [
    text(audit.id),
    text(audit.replica),
    text(audit.verdict ?? audit.state, audit.verdict === 'true' ? pc.green : audit.verdict === 'drift' ? pc.red : pc.yellow),
    count(audit.ourRows ?? 0, pc.green),
    count(
      Object.values(audit.classes).reduce((sum, n) => sum + n, 0),
      pc.red,
    ),
    count(audit.repaired?.clean ?? 0, pc.green),
    ago(audit.askedAt),
    text(audit.author),
  ])
  return renderTable(COLUMNS, [pc.bold(team), ...rows], terminalWidth())
}
