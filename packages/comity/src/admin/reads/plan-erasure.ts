import type { Declaration } from '../../catalog/declaration.ts'
import type { Environment } from '../../catalog/environment.ts'
import { requireOwned } from '../operations/erase.ts'
import { type HolderRecord, holdersOf } from './erasure-register.ts'

/** What `comity erase` would do now. */
export interface ErasurePlan {
  readonly topic: string
  readonly key: string
  /** The owner still has such a state: without `delete` the erasure is refused. */
  readonly there: boolean
  /** Rows that hold a payload of it, in the outbox, among what is withheld, and among events for later. */
  readonly outbox: number
  readonly withheld: number
  readonly scheduled: number
  /** Who is known to read it, and is asked for a receipt. */
  readonly holders: readonly HolderRecord[]
}

const PLAN = `
  select (case when c.kind = 'entity' then comity.state_key(c.topic, $2::text) end) is not null as there,
    (select count(*)::int from comity.outbox o where o.topic = c.topic and o.key = $2::text and o.payload is not null) as outbox,
    (select count(*)::int from comity.withheld w where w.topic = c.topic and w.key = $2::text and w.payload is not null) as withheld,
    (select count(*)::int from comity.scheduled s where s.topic = c.topic and s.key = $2::text) as scheduled
  from comity.contracts c where c.topic = $1::text`

/** Throws COMITY_ERASURE_NOT_OWNED, COMITY_ENTITY_HANDED_OVER. */
export async function planErasure(
  { database }: Pick<Environment, 'database'>,
  declaration: Declaration,
  { topic, key }: { readonly topic: string; readonly key: string },
): Promise<ErasurePlan> {
  await requireOwned(database, declaration, topic)
  const { rows } = await database.query<Omit<ErasurePlan, 'topic' | 'key' | 'holders'>>(PLAN, [topic, key])
  const counts = rows[0] ?? { there: false, outbox: 0, withheld: 0, scheduled: 0 }
  return { topic, key, ...counts, holders: (await holdersOf(database, topic)).filter(({ goneAt }) => goneAt === null) }
}
