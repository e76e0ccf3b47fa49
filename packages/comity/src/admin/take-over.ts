import { fieldsOn } from '@comity/contract'
import type { Declaration, Owned } from '../catalog/declaration.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import { type Queryable, qualified, quoteLiteral } from '../postgres/index.ts'
import { VERSION_COLUMN } from '../replica/replica-sql.ts'
import { columnDependents } from './column-dependents.ts'
import { TakeOverRefused } from './errors.ts'

interface Copy {
  readonly name: string
  readonly table: string
  readonly columns: string
  readonly whole: boolean
  /** Why not now; null: it can be. */
  readonly problem: string | null
}
const COPY = `
  select r.name, r.table_schema || '.' || r.table_name as "table", r.columns::text as columns, r.subset is null as whole,
    comity.take_over_problem(r.topic, r.name) as problem
  from comity.replicas r where r.topic = $1::text order by r.name`

/**
 * What makes a copy the owner's table, before that is captured in the same transaction: nothing, where this team has kept no copy of its entity. Throws
 * COMITY_TAKE_OVER_REFUSED, also while the team that owned it has not handed it over.
 */
export async function takeOverSql(database: Queryable, { entity, table = '' }: Owned): Promise<readonly string[]> {
  const { rows } = await database.query<Copy>(COPY, [entity.name])
  const refuse = (problem: string, remedy: string): never => {
    throw new TakeOverRefused({ entity: entity.name, problem, remedy })
  }
  if (rows.length === 0) {
    if (!(await isUntaken(database, entity.name))) return []
    return refuse('it was handed over to this team, and its copy is gone', 'put the copy back from a backup: nobody else has it any more')
  }
  if (entity.former === undefined)
    return refuse(`this team keeps a copy of it, ${rows[0]?.name}`, "name the teams that owned it before: former: ['crm']")
  const wanted = table.includes('.') ? table : `public.${table}`
  const copy = rows.find((one) => one.table === wanted)
  const [other] = rows.filter((one) => one !== copy)
  if (copy === undefined)
    return refuse(
      `its copy is in ${rows.map((one) => one.table).join(', ')}, not in ${table || 'a table that this team owns'}`,
      'own it with the table of its copy; rename that later, in a migration of yours',
    )
  if (other !== undefined) return refuse(`there is a second copy, ${other.name}`, `drop it first: "comity replica drop ${other.name}"`)
  if (!copy.whole) return refuse(`${copy.name} keeps only some of its rows`, 'keep all of them first: leave its `where` out')
  const kept = (JSON.parse(copy.columns) as { field: string }[]).map(({ field }) => field)
  const missing = fieldsOn({ ...entity, audiences: {} }).filter((field) => !kept.includes(field))
  if (missing.length > 0) return refuse(`${copy.name} has no ${missing.join(', ')}`, 'keep every field first')
  const dependents = await columnDependents(database, tableOf(copy.table), arrayLiteral([VERSION_COLUMN]), 'drop')
  if (dependents.length > 0)
    return refuse(
      `the column ${VERSION_COLUMN} of ${copy.table} goes with it, and is used by ${dependents.join(', ')}`,
      'drop these, or make them anew without it',
    )
  if (copy.problem !== null) return refuse(copy.problem, 'run "comity migrate" again when that is over')
  return [`select comity.take_over(${quoteLiteral(entity.name)}, ${quoteLiteral(copy.name)})::text`]
}

const UNTAKEN = `
  select h.next = (select d.team from comity.database d) and h.taken_at is null as untaken
  from comity.hand_overs h where h.topic = $1::text order by h.version desc limit 1`

async function isUntaken(database: Queryable, entity: string): Promise<boolean> {
  return (await database.query<{ untaken: boolean }>(UNTAKEN, [entity])).rows[0]?.untaken === true
}

function tableOf(name: string): string {
  const [schema, table] = name.split('.') as [string, string]
  return qualified(schema, table)
}

/** Throws COMITY_TAKE_OVER_REFUSED for what must be so before anything of this declaration is registered. */
export async function refuseEarlyTakeOver(database: Queryable, { owns }: Declaration): Promise<void> {
  for (const owned of owns) await takeOverSql(database, owned)
}
