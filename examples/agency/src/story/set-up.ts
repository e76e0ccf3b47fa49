/**
 * What an operator does once, before anything runs: a server, a database and roles for each team and for the bus, `comity migrate` and
 * `comity provision`. Nothing is a superuser afterwards but the director, who reads all sides in the end to compare them.
 */
import type { EmbeddedPostgres } from '@comity/embedded-postgres'
import type { Team } from 'comity'
import { teamRoles, teamRolesSql } from 'comity/admin'
import { rolesSql } from 'comity/transport'
import pg from 'pg'
import billing from '../billing/comity.config.ts'
import * as billingTables from '../billing/tables.ts'
import crm from '../crm/comity.config.ts'
import * as crmTables from '../crm/tables.ts'
import dataAnalysis from '../data-analysis/comity.config.ts'
import * as dataAnalysisTables from '../data-analysis/tables.ts'
import marketing from '../marketing/comity.config.ts'
import * as marketingTables from '../marketing/tables.ts'

/** They are there from the beginning. */
export type Founder = 'crm' | 'marketing' | 'data-analysis'
export type TeamName = Founder | 'billing'

interface Member {
  readonly team: Team
  readonly tables: string
  /** How its configuration names its database's URL. */
  readonly variable: string
  /** Rights on its own tables, for its own roles. Comity's part is printed by `comity migrate --roles`. */
  readonly grants: string
}

const members: Readonly<Record<TeamName, Member>> = {
  crm: {
    team: crm,
    tables: crmTables.tables,
    variable: 'CRM_URL',
    grants: `
      grant select, update on customers to crm_runner;
      grant insert on third_party_log to crm_runner;
      create role crm_clerk login; -- knows nothing of Comity
      grant select, insert, update, delete on customers to crm_clerk;`,
  },
  marketing: {
    team: marketing,
    tables: marketingTables.tables,
    variable: 'MARKETING_URL',
    grants: 'grant select, insert, update on campaigns, sends to marketing_writer;',
  },
  'data-analysis': {
    team: dataAnalysis,
    tables: dataAnalysisTables.tables,
    variable: 'DATA_ANALYSIS_URL',
    grants: `
      grant insert on campaigns, emails_sent, emails_delivered to data_analysis_runner;
      grant select on campaign_years to data_analysis_runner;
      create role data_analysis_analyst login;
      grant select on campaigns, emails_sent, emails_delivered to data_analysis_analyst;
      grant select, insert on campaign_years to data_analysis_analyst;`,
  },
  billing: { team: billing, tables: billingTables.tables, variable: 'BILLING_URL', grants: '' },
}

/** One team, ready to be started, and what an operator knows of it. */
export interface Ready {
  readonly name: TeamName
  /** The same declaration with its own roles' URLs; never started here: for `status()`. */
  readonly team: Team
  /** What its process gets: its own roles' URLs, and nothing of any other team. */
  readonly env: Readonly<Record<string, string>>
  /** The superuser's connections to its database. */
  readonly database: pg.Pool
  /** Connections as somebody who works for that team; whoever takes them ends them. */
  poolAs(role: string): pg.Pool
}
export type Teams = Readonly<Record<Founder, Ready>> & { readonly billing?: Ready }
export interface Installation extends AsyncDisposable {
  readonly teams: Teams
  /** The superuser's connections to the bus, where that is a Postgres. */
  readonly bus: pg.Pool | undefined
  /** Billing, later than the others. */
  join(): Promise<Ready>
}

/** @param broker URL of another broker than the embedded default */
export async function setUp(postgres: EmbeddedPostgres, broker?: string): Promise<Installation> {
  if (broker === undefined) await createDatabase(postgres, 'bus')
  const bus = broker === undefined ? poolOf(postgres.databaseUrl('bus')) : undefined
  const add = async (name: TeamName): Promise<Ready> => {
    await createDatabase(postgres, name)
    await migrate(postgres, name, broker ?? postgres.databaseUrl('bus', 'bus_owner'))
    await bus?.query(rolesSql([{ role: teamRoles(name, '').bus, team: name }], { database: 'bus' }))
    return ready(postgres, name, broker)
  }
  const teams: { -readonly [Name in keyof Teams]: Teams[Name] } = {
    crm: await add('crm'),
    marketing: await add('marketing'),
    'data-analysis': await add('data-analysis'),
  }
  return {
    teams,
    bus,
    async join() {
      teams.billing = await add('billing')
      return teams.billing
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(Object.values(teams).map(({ team }) => team.stop()))
      await Promise.all([bus, ...Object.values(teams).map(({ database }) => database)].map((pool) => pool?.end()))
    },
  }
}

/** A database that belongs to an ordinary role of its own. */
async function createDatabase(postgres: EmbeddedPostgres, name: string): Promise<void> {
  const url = await postgres.createDatabase(databaseOf(name))
  const database = poolOf(url)
  await database.query(`create role ${databaseOf(name)}_owner login; alter database ${databaseOf(name)} owner to ${databaseOf(name)}_owner`)
  await database.end()
}

async function migrate(postgres: EmbeddedPostgres, name: TeamName, operator: string): Promise<void> {
  const { team, tables, grants } = members[name]
  const own = postgres.databaseUrl(databaseOf(name), `${databaseOf(name)}_owner`)
  const owner = poolOf(own)
  await owner.query(tables)
  const asOwner = team.with({ database: own, transport: operator })
  await asOwner.migrate()
  await asOwner.provision()
  await asOwner.stop()

  const superuser = poolOf(postgres.databaseUrl(databaseOf(name))) // it alone may create roles
  await superuser.query(teamRolesSql(team.declaration, { namespace: '', database: databaseOf(name) }))
  await superuser.query(grants)
  await Promise.all([owner.end(), superuser.end()])
}

function ready(postgres: EmbeddedPostgres, name: TeamName, broker: string | undefined): Ready {
  const { team, variable } = members[name]
  const { writer, runner, bus } = teamRoles(name, '')
  const url = postgres.databaseUrl(databaseOf(name), runner)
  const transport = broker ?? postgres.databaseUrl('bus', bus)
  return {
    name,
    team: team.with({ database: url, transport }),
    env: { [variable]: url, [`${variable.slice(0, -3)}WRITER_URL`]: postgres.databaseUrl(databaseOf(name), writer), BUS_URL: transport },
    database: poolOf(postgres.databaseUrl(databaseOf(name))),
    poolAs: (role) => poolOf(postgres.databaseUrl(databaseOf(name), role)),
  }
}

function databaseOf(team: string): string {
  return team.replaceAll('-', '_')
}

function poolOf(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 3, application_name: 'director' })
  pool.on('error', () => undefined) // the server ends before us when something goes wrong
  return pool
}
