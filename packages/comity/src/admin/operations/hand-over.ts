import { checkTeamName, type Entity } from '@comity/contract'
import type { Queryable } from '../../postgres/database.ts'
import { CopyNotAccepted, HandOverRefused } from '../errors.ts'
import { refusalOf } from '../refusal-of.ts'
import type { Operation } from './operation.ts'

export interface HandOverArguments {
  /** An entity of this team, e.g. `crm.customer`. */
  readonly entity: string
  /** The team that it goes to. */
  readonly to: string
}
export interface HandOverOutcome extends HandOverArguments {
  /** The last that was this team's to publish. */
  readonly version: number
}

const HANDED_TO = 'select comity.handed_to($1::text) as next'
const GIVE = 'select comity.hand_over($1::text, $2::text)::text as version'
const ACCEPT = `
  with newest as (select b.id, b.state from comity.asked_backfills b where b.replica = $1::text order by b.asked_at desc limit 1)
  update comity.asked_backfills b set state = 'ready', ended_at = coalesce(b.ended_at, clock_timestamp()) from newest n
  where b.id = n.id and n.state in ('incomplete', 'cancelled', 'refused') returning n.state as was`
/* What the map says of that team's copies, one row each. */
const COPIES = `
  select c.subscription, json_agg(c.field)::text as fields from comity.catalog_fields c
  where c.team = $1::text and c.contract = $2::text and c.copied_to is not null group by c.subscription`

/**
 * Gives an entity to another team, which keeps a copy of all of it: from its commit on, what is written here is withheld, and the relay tells every
 * reader. Run as the owner of the table. Throws COMITY_HAND_OVER_REFUSED; SQLSTATE 55P03 where somebody writes for long: to be tried again.
 */
export const handOver: Operation<HandOverArguments> = {
  kind: 'hand-over',
  arguments: {
    type: 'object',
    properties: { entity: { type: 'string', minLength: 1 }, to: { type: 'string', minLength: 1 } },
    required: ['entity', 'to'],
    additionalProperties: false,
  },
  async run(sql, { declaration }, { entity, to }) {
    const refuse = (problem: string, remedy: string): never => {
      throw new HandOverRefused({ entity, team: to, problem, remedy })
    }
    const owned = declaration.owns.find((one) => one.entity.name === entity)?.entity
    if (owned === undefined) return refuse(`this is ${declaration.team}, which does not own it`, 'run it at the team that owns it')
    checkTeamName(to)
    if (to === declaration.team) return refuse('it is that team’s already', 'name another team')
    const answered = declaration.answers.filter(({ contract }) => contract.entity === entity).map(({ contract }) => contract.name)
    if (answered.length > 0)
      return refuse(
        `this team answers ${answered.join(', ')}`,
        `let its askers ask ${to} under a name of its own, and deploy this team without these answers`,
      )
    // Said once more: what is to be so before was so then.
    const isAgain = (await sql.query<{ next: string | null }>(HANDED_TO, [entity])).rows[0]?.next === to
    const lacking = isAgain ? undefined : ((await lackingOf(sql, to, entity, owned.fields)) ?? (await fillingOf(sql, to, entity, owned)))
    if (lacking !== undefined) return refuse(...lacking)
    // Writers queue behind it: who is in the way of it makes it fail soon.
    await sql.query(`select set_config('lock_timeout', '100ms', true) as setting`)
    const { rows } = await sql.query<{ version: string }>(GIVE, [entity, to]).catch((error: unknown) => {
      throw refusalOf(error, 'CM015', (problem, remedy) => new HandOverRefused({ entity, team: to, problem, remedy }, { cause: error }))
    })
    const outcome: HandOverOutcome = { entity, to, version: Number(rows[0]?.version) }
    return { ...outcome }
  },
}

type Lacking = readonly [problem: string, remedy: string]

const FILLED = `
  select b.replica, b.state, b.fields::text as fields, b.subset is not null as partly from comity.backfills b
  where b.asked_by = $1::text and b.entity = $2::text order by b.asked_at desc limit 1`

/** Why its copy is not known to be whole, and what to do; after a hand-over nobody fills it any more. */
async function fillingOf(
  sql: Queryable,
  team: string,
  entity: string,
  { fields, keyFields, tenantField }: Entity,
): Promise<Lacking | undefined> {
  const { rows } = await sql.query<{ replica: string; state: string; fields: string; partly: boolean }>(FILLED, [team, entity])
  const newest = rows[0]
  const again = `run "comity backfill start" there${newest === undefined ? '' : ` for ${newest.replica}`}, and audit it`
  if (newest === undefined) return ['its copy was never filled from here', again]
  if (newest.partly) return [`${newest.replica} keeps only some of its rows`, `let ${team} keep all of them: without \`where\``]
  if (['waiting', 'running', 'paused', 'sent'].includes(newest.state)) return [`${newest.replica} is being filled`, 'wait for it']
  if (newest.state !== 'done') return [`filling ${newest.replica} has ended as ${newest.state}`, again]
  const filled = [...(JSON.parse(newest.fields) as string[]), ...keyFields, tenantField]
  const missing = fields.filter((field) => !filled.includes(field))
  return missing.length === 0 ? undefined : [`${newest.replica} was filled without ${missing.join(', ')}`, again]
}

/** What the map says that its copy has not, and what to do. */
async function lackingOf(sql: Queryable, team: string, entity: string, fields: readonly string[]): Promise<Lacking | undefined> {
  const remedy = `let ${team} keep every field of it, and run`
  const { rows } = await sql.query<{ fields: string }>(COPIES, [team, entity])
  const missing = rows
    .map((row) => {
      const kept = JSON.parse(row.fields) as string[]
      return fields.filter((field) => !kept.includes(field))
    })
    .sort((a, b) => a.length - b.length)[0]
  if (missing === undefined) return ['as far as is known here it keeps no copy of it', remedy]
  return missing.length === 0 ? undefined : [`its copy has no ${missing.join(', ')}`, remedy]
}

/** Says that a copy is whole although filling it has ended otherwise, so that its entity can be taken over: somebody has put its rows right. */
export const acceptCopy: Operation<{ readonly replica: string }> = {
  kind: 'accept-copy',
  arguments: {
    type: 'object',
    properties: { replica: { type: 'string', minLength: 1 } },
    required: ['replica'],
    additionalProperties: false,
  },
  async run(sql, _, { replica }) {
    const { rows } = await sql.query<{ was: string }>(ACCEPT, [replica])
    if (rows[0] === undefined) throw new CopyNotAccepted({ replica })
    return { replica, was: rows[0].was }
  },
}
