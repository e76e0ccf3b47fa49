import type { Team } from 'comity'
import { teamRoles, teamRolesSql } from 'comity/admin'
import { rolesSql } from 'comity/transport'
import { Command, Option } from 'commander'
import pc from 'picocolors'
import { type CommonOptions, declare, type ExitCode, eachTeam, withConfig, withJson } from '../command.ts'
import { BusNotInPostgres } from '../errors.ts'
import { databaseName, transportUrl } from '../urls.ts'

interface MigrateCommandOptions extends CommonOptions {
  readonly print?: boolean
  readonly check?: boolean
  readonly roles?: true | 'database' | 'bus'
}

const HELP = `
Run it as the owner of the tables, before the new code starts. Running it again, or two of it at once, is fine.

Exit codes: 0 = done, or nothing is pending; 1 = error; 2 = something is pending (--check).

Example:
  $ CRM_URL=postgres://owner@db/crm comity migrate --check || CRM_URL=postgres://owner@db/crm comity migrate
  $ comity migrate --roles database | psql postgres://admin@db/crm`

export function migrateCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('migrate')
    .description("bring each team's database up to date: schema comity, contracts, capture triggers, views, replica tables")
    .addOption(new Option('--print', 'change nothing; print the SQL, for psql').conflicts(['check', 'roles']))
    .addOption(new Option('--check', 'change nothing; say what is pending').conflicts('roles'))
    .addOption(
      new Option('--roles [where]', 'change nothing; print the least rights of each role, as SQL for the database or the bus').choices([
        'database',
        'bus',
      ]),
    )
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(command)), run, finish)
}

async function run(options: MigrateCommandOptions): Promise<ExitCode> {
  if (options.roles !== undefined) return printRoles(options, options.roles)
  const { print = false, check = false } = options
  const reports = await eachTeam(options, async (team) => {
    const report = await team.migrate({ print, check })
    if (print && !options.json)
      console.log(
        `-- ${team.name}: ${report.pending.length === 0 ? 'nothing is pending' : `${report.pending.length} pending`}\n${report.sql}`,
      )
    else if (!options.json) {
      say(team, check ? report.pending : report.applied, check)
      for (const note of report.notes) console.log(`${pc.bold(team.name)}: ${pc.yellow('note:')} ${note}`)
    }
    return { team: team.name, ...report }
  })
  if (options.json) console.log(JSON.stringify({ teams: reports }))
  return check && reports.some(({ pending }) => pending.length > 0) ? 2 : 0
}

function say({ name }: Team, lines: readonly string[], pending: boolean): void {
  if (lines.length === 0) console.log(`${pc.bold(name)}: ${pending ? 'nothing is pending' : 'up to date'}`)
  for (const line of lines) console.log(`${pc.bold(name)}: ${pending ? 'to do: ' : ''}${line}`)
}

async function printRoles(options: MigrateCommandOptions, where: true | 'database' | 'bus'): Promise<ExitCode> {
  const scripts = await eachTeam(options, async (team) => ({
    team: team.name,
    roles: teamRoles(team.name, team.environment.namespace),
    ...(where === 'bus' ? {} : { database: databaseRoles(team) }),
    ...(where === 'database' ? {} : { bus: busRoles(team, where === 'bus') }),
  }))
  if (options.json) {
    console.log(JSON.stringify({ teams: scripts }))
    return 0
  }
  for (const { team, database, bus } of scripts) {
    if (database !== undefined) console.log(`-- The database of ${team}: run this there after "comity migrate"\n${database}`)
    if (bus !== undefined) console.log(`-- The bus, for ${team}: run this in its database after "comity provision"\n${bus}`)
  }
  return 0
}

function databaseRoles(team: Team): string {
  const database = databaseName(team)
  return teamRolesSql(team.declaration, { namespace: team.environment.namespace, ...(database === undefined ? {} : { database }) })
}

/** A team has one role on the bus, which writer and runner may share: only the runner connects there. */
function busRoles(team: Team, asked: boolean): string | undefined {
  const url = transportUrl(team)
  if (url === undefined) {
    if (asked) throw new BusNotInPostgres({ team: team.name, transport: team.environment.transport.name })
    return undefined
  }
  const { namespace } = team.environment
  const member = namespace === '' ? team.name : `${namespace}.${team.name}`
  return rolesSql([{ role: teamRoles(team.name, namespace).bus, team: member }], { database: url.database })
}
