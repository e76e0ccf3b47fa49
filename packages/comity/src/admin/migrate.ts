import type { Declaration } from '../catalog/declaration.ts'
import type { Environment } from '../catalog/environment.ts'
import { logEvent } from '../foundation/index.ts'
import { runWithLockTimeout } from '../outbox/capture/index.ts'
import {
  applyMigrations,
  loadMigrations,
  type Migration,
  type MigrationPlan,
  pendingMigrations,
  printMigrations,
  type Queryable,
  quoteLiteral,
} from '../postgres/index.ts'
import { captureSteps } from './capture-steps.ts'
import { OtherNamespace, OtherTeamsDatabase } from './errors.ts'
import { refusePublishedStates, registrationSteps } from './registration.ts'
import { replicaNotes } from './replica-steps.ts'
import type { Step } from './step.ts'
import { refuseEarlyTakeOver } from './take-over.ts'

export interface MigrateOptions {
  /** Change nothing; answer the SQL. */
  readonly print?: boolean
  /** Change nothing; answer what is pending. */
  readonly check?: boolean
}

export interface MigrationReport {
  /** What was done, in words; with `check` or `print` nothing was. */
  readonly applied: readonly string[]
  /** What is still to be done. */
  readonly pending: readonly string[]
  /** What is there and not declared, and is left as it is: with the command that takes it away. */
  readonly notes: readonly string[]
  /** With `print`: a script for psql. */
  readonly sql: string
}

/** A newer major of the schema is refused; everything else lives side by side in a rolling deploy. */
const MAJOR = 1

/** The numbered list of a team's database. */
export async function teamMigrations(): Promise<MigrationPlan> {
  return { schema: 'comity', major: MAJOR, migrations: await loadMigrations(new URL('../../migrations/', import.meta.url)) }
}

/**
 * All DDL of a team in its own database: the schema `comity`, contracts, capture triggers, contract views, replica tables.
 * Run it as the tables' owner. Running it again, or two of it at once, is fine.
 */
export async function migrate(declaration: Declaration, environment: Environment, options: MigrateOptions = {}): Promise<MigrationReport> {
  const { database } = environment
  const plan = await teamMigrations()
  const pending = await pendingMigrations(database, plan)

  if (options.check || options.print) {
    const { steps, notes } = await foresee(declaration, environment, pending)
    return {
      notes,
      applied: [],
      pending: [...pending.map(({ name }) => `apply ${name}`), ...steps.map(({ title }) => title)],
      sql: options.print ? script({ ...plan, migrations: pending }, steps) : '',
    }
  }

  const applied = (await applyMigrations(database, plan)).map((name) => `applied ${name}`)
  for (const step of await stepsFor(database, declaration, environment)) {
    const done = await runWithLockTimeout(database, step.sql).catch(async (error: unknown) => {
      // Another process that migrates may have done it meanwhile: then nothing of it is left to do.
      const left = await stepsFor(database, declaration, environment)
      if (left.some(({ title }) => title === step.title)) throw step.explain?.(error) ?? error
      return 'elsewhere'
    })
    if (done === 'elsewhere') continue
    logEvent(environment.logger, 'comity.migrated', { step: step.title })
    applied.push(step.title)
  }
  return { applied, pending: [], notes: await replicaNotes(database, declaration), sql: '' }
}

/** The steps after the pending migrations, found out in a transaction that applies these and is rolled back. */
async function foresee<Tx>(
  declaration: Declaration,
  environment: Environment<Tx>,
  pending: readonly Migration[],
): Promise<{ readonly steps: readonly Step[]; readonly notes: readonly string[] }> {
  const { database } = environment
  if (pending.length === 0)
    return { steps: await stepsFor(database, declaration, environment), notes: await replicaNotes(database, declaration) }
  const foreseen = new Foreseen()
  await database
    .transaction(async (tx) => {
      const sql = database.join(tx)
      await sql.query('create schema if not exists comity')
      for (const { sql: text } of pending) await sql.query(`do ${quoteLiteral(`begin execute ${quoteLiteral(text)}; end`)}`)
      foreseen.steps = await stepsFor(sql, declaration, environment)
      foreseen.notes = await replicaNotes(sql, declaration)
      throw foreseen
    })
    .catch((error: unknown) => {
      if (error !== foreseen) throw error
    })
  return foreseen
}

/** Ends the transaction of {@link foresee}; never seen outside. */
class Foreseen extends Error {
  steps: readonly Step[] = []
  notes: readonly string[] = []
}

async function stepsFor(database: Queryable, declaration: Declaration, { team, namespace }: Environment): Promise<readonly Step[]> {
  const { rows } = await database.query<{ team: string; namespace: string }>('select team, namespace from comity.database')
  const owner = rows[0]
  if (owner !== undefined && owner.team !== team) throw new OtherTeamsDatabase({ found: owner.team, team })
  if (owner !== undefined && owner.namespace !== namespace) throw new OtherNamespace({ found: owner.namespace, namespace })
  const claim: Step = {
    title: `give this database to ${team}${namespace === '' ? '' : ` in the namespace ${namespace}`}`,
    sql: [`insert into comity.database (team, namespace) values (${quoteLiteral(team)}, ${quoteLiteral(namespace)})`],
  }
  await refusePublishedStates(database, declaration)
  await refuseEarlyTakeOver(database, declaration)
  return [
    ...(owner === undefined ? [claim] : []),
    ...(await registrationSteps(database, declaration)),
    ...(await captureSteps(database, declaration)),
  ]
}

function script(plan: MigrationPlan, steps: readonly Step[]): string {
  const parts = steps.map(
    ({ title, sql }) =>
      `-- ${title}\nbegin;\nset local lock_timeout = '100ms';\n${sql.map((statement) => `${statement.trim()};`).join('\n')}\ncommit;\n`,
  )
  return [plan.migrations.length === 0 ? '' : printMigrations(plan), ...parts].join('\n')
}
