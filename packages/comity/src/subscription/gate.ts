import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'

/**
 * What a transaction that consumes must know before it begins, read under its lane's lock: an act of an operator counts from its
 * commit, in every process.
 */
export interface Gate {
  /** False: the subscription is paused, goes back over history (as each does when its database was restored), or has done so since its messages were received. */
  readonly open: boolean
  /** Which of the keys have a line: what comes for them joins it. */
  readonly waiting: ReadonlySet<string>
  /** Which of the tenants are paused. */
  readonly paused: ReadonlySet<string>
  /** Of keys that their owner has erased, the version up to which. */
  readonly erased: ReadonlyMap<string, number>
  /** Which of the versions belong to a history that their owner has lost. */
  readonly lost: ReadonlySet<number>
}

const GATE = `
  select s.generation = $4::int and s.seek is null and comity.life_begun()
      and not exists (select from comity.pauses p where p.subscription = s.name and p.tenant = '' and not (p.by = 'breaker' and $5::int = 1)) as open,
    (select coalesce(json_agg(w.key), '[]'::json)::text from unnest($2::text::text[]) k(key)
      join comity.waiting_keys w on w.subscription = s.name and w.key = k.key) as waiting,
    (select coalesce(json_agg(p.tenant), '[]'::json)::text from comity.pauses p
      where p.subscription in (s.name, '') and p.tenant <> '' and p.tenant = any ($3::text::text[])) as paused,
    (select coalesce(json_object_agg(e.key, e.version), '{}'::json)::text from (
      select e.key, max(e.version) as version from comity.erased e where e.topic = s.topic and e.key = any ($2::text::text[]) group by e.key) e) as erased,
    (select coalesce(json_agg(v.version), '[]'::json)::text from unnest($6::text::text[], $7::text::bigint[]) v(owner, version)
      where exists (select from comity.lost l where l.owner = v.owner and l.below > v.version and l.above < v.version)) as lost
  from comity.subscriptions s where s.name = $1::text`

export interface GateQuestion {
  readonly subscription: string
  readonly generation: number
  readonly keys: readonly string[]
  /** Who published each of the messages, and their versions. */
  readonly owners: readonly string[]
  readonly versions: readonly number[]
  readonly tenants: readonly string[]
  /** A try of the breaker, which passes its own pause. */
  readonly probing: boolean
}

/** Under the lane's lock the answer about keys stays true until the end of the transaction. */
export async function gateOf(sql: Queryable, question: GateQuestion): Promise<Gate> {
  const { subscription, generation, keys, tenants, owners, versions, probing } = question
  const { rows } = await sql.query<{ open: boolean; waiting: string; paused: string; erased: string; lost: string }>(GATE, [
    subscription,
    arrayLiteral(keys),
    arrayLiteral(tenants),
    generation,
    probing ? 1 : 0,
    arrayLiteral(owners),
    arrayLiteral(versions.map(String)),
  ])
  const row = rows[0]
  // Removed while it was consumed.
  if (row === undefined) return { open: false, waiting: new Set(), paused: new Set(), erased: new Map(), lost: new Set() }
  const erased = new Map(Object.entries(JSON.parse(row.erased) as Record<string, number>))
  return { open: row.open, waiting: setOf(row.waiting), paused: setOf(row.paused), erased, lost: new Set(JSON.parse(row.lost) as number[]) }
}

function setOf(json: string): ReadonlySet<string> {
  return new Set(JSON.parse(json) as string[])
}
