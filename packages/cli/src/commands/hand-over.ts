import { type HandOverOutcome, type HandOverRecord, listHandOvers } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { type ActOptions, act, withAct } from '../act.ts'
import { actPatiently } from '../act-patiently.ts'
import { ago, text } from '../cell.ts'
import { withTeam } from '../choose-team.ts'
import { type CommonOptions, declare, type ExitCode, eachTeam, withConfig, withJson } from '../command.ts'
import { confirm } from '../confirm.ts'
import { loadTeams } from '../load-config.ts'
import { type Column, type Row, renderTable, terminalWidth } from '../table.ts'

const HELP = `
The entity keeps its name, its topic and its versions. The team that gets it keeps a copy of all of it before, and makes that its own table with
"comity migrate" after. docs/handing-over.md is the runbook.

Example:
  $ comity hand-over give crm.customer --to accounts --reason 'the new team'
  $ comity hand-over list`

const GIVE_HELP = `
From now on what is written in the old table is withheld, and named by "comity withheld". It can not be taken back: the other team would have to
hand it over in its turn. Run it as the owner of the table.

Exit codes: 0 = handed over; 1 = error, refused or not confirmed.

Example:
  $ comity hand-over give crm.customer --to accounts --reason 'the new team' --yes crm.customer`

const ACCEPT_HELP = `
After a hand-over nobody can fill the copy any more. Put its rows right by hand, then say so; "comity migrate" takes the entity over with it.

Exit codes: 0 = accepted; 1 = error, also where there is nothing to accept.

Example:
  $ comity hand-over accept accounts.crm-customer --reason 'three rows added by hand'`

const LIST_HELP = `
TOLD: every reader has been told, or will be before anything of the next team. TAKEN: the next team publishes it. Each is known to one of the two.

Example:
  $ comity hand-over list --json`

export function handOverCommand(finish: (code: ExitCode) => void): Command {
  const give = new Command('give')
    .description('give an entity of this team to another team')
    .argument('<entity>', 'e.g. crm.customer')
    .requiredOption('--to <team>', 'who gets it: it keeps a copy of all its fields')
    .option('--yes <entity>', 'do it; its name confirms it')
    .addHelpText('after', GIVE_HELP)
  const accept = new Command('accept')
    .description('say that a copy is whole although filling it has ended otherwise')
    .argument('<copy>', 'e.g. accounts.crm-customer')
    .addHelpText('after', ACCEPT_HELP)
  const list = new Command('list').description('what has changed hands, as each team knows it').addHelpText('after', LIST_HELP)
  return new Command('hand-over')
    .description('move an entity from one team to another, with its topic and its versions')
    .addCommand(declare(withJson(withConfig(list)), listAll, finish), { isDefault: true })
    .addCommand(declare(withAct(give), giveOne, finish))
    .addCommand(declare(withAct(accept), acceptOne, finish))
    .addHelpText('after', HELP)
}

interface GiveOptions extends ActOptions {
  readonly to: string
  readonly yes?: string
}

async function giveOne(options: GiveOptions, entity: string): Promise<ExitCode> {
  const teams = await loadTeams(options)
  const team =
    teams.find(({ declaration }) => declaration.owns.some((owned) => owned.entity.name === entity)) ?? (teams[0] as (typeof teams)[number])
  try {
    const what = `this hands ${entity} over from ${team.name} to ${options.to}`
    if (options.dryRun) {
      console.log(options.json ? JSON.stringify({ team: team.name, dryRun: true, entity, to: options.to }) : what)
      return 0
    }
    await confirm({ what, yes: entity, given: options.yes, json: options.json })
    const outcome = await actPatiently<HandOverOutcome>(team, 'hand-over', { entity, to: options.to }, options)
    if (options.json) console.log(JSON.stringify({ team: team.name, ...outcome }))
    else {
      console.log(`${pc.bold(team.name)}: ${entity} is ${options.to}'s above version ${outcome.version}`)
      console.log(`Next, with the release of ${options.to} that owns it: "comity provision", "comity migrate", deploy`)
    }
    return 0
  } finally {
    for (const one of teams) await one.stop()
  }
}

function acceptOne(options: ActOptions, replica: string): Promise<ExitCode> {
  return withTeam(options, { command: 'hand-over accept', subscription: replica }, async (team) => {
    const what = `this takes ${replica} for whole`
    if (options.dryRun) console.log(options.json ? JSON.stringify({ team: team.name, dryRun: true, replica }) : what)
    else {
      const outcome = await act<object>(team, 'accept-copy', { replica }, options)
      console.log(options.json ? JSON.stringify({ team: team.name, ...outcome }) : `${pc.bold(team.name)}: ${replica} is taken for whole`)
    }
    return 0
  })
}

const COLUMNS: readonly Column[] = [
  { title: 'TEAM', align: 'left' },
  { title: 'ENTITY', align: 'left', flexible: true },
  { title: 'FROM', align: 'left' },
  { title: 'TO', align: 'left' },
  { title: 'ABOVE', align: 'right' },
  { title: 'SINCE', align: 'right' },
  { title: 'TOLD', align: 'right' },
  { title: 'TAKEN', align: 'right' },
]

async function listAll(options: CommonOptions): Promise<ExitCode> {
  const known = await eachTeam(options, async ({ name, environment }) =>
    (await listHandOvers(environment)).map((record) => ({ team: name, ...record })),
  )
  const found = known.flat()
  if (options.json) console.log(JSON.stringify(found))
  else console.log(found.length === 0 ? 'nothing has changed hands' : renderTable(COLUMNS, found.map(row), terminalWidth()))
  return 0
}

function row({ team, entity, from, to, version, at, toldAt, takenAt }: HandOverRecord & { readonly team: string }): Row {
  return [text(team), text(entity), text(from), text(to), text(String(version)), ago(at), ago(toldAt), ago(takenAt)]
}
