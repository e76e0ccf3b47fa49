import type { JsonValue } from '@comity/contract'
import { checkKey } from '@comity/contract'
import { contractsPublishedBy } from '../../catalog/declaration.ts'
import { eraseOwn, type OwnRemoved } from '../../erasure/erase-own.ts'
import { ErasureNotOwned } from '../../erasure/errors.ts'
import type { Queryable } from '../../postgres/database.ts'
import { EntityHandedOver } from '../errors.ts'
import type { Operation } from './operation.ts'

export interface EraseArguments {
  /** The name of an entity or an event of this team. */
  readonly topic: string
  readonly key: string
  /** Deletes the state at its owner too, if it is still there; else that refuses the erasure. */
  readonly delete?: boolean
}
export interface EraseOutcome extends OwnRemoved {
  /** The operation's id: by it the register and the receipts name the erasure. */
  readonly erasure: string
  readonly topic: string
  readonly key: string
  /** Everything of the key up to it is erased. */
  readonly version: number
}

/**
 * Erases one key of this team's: its payloads here, and then at every team that reads something of it; each answers with a receipt. Throws
 * COMITY_ERASURE_NOT_OWNED, COMITY_ERASURE_STATE_THERE, COMITY_ERASURE_WAITS.
 */
export const erase: Operation<EraseArguments> = {
  kind: 'erase',
  arguments: {
    type: 'object',
    properties: { topic: { type: 'string', minLength: 1 }, key: { type: 'string', minLength: 1 }, delete: { type: 'boolean' } },
    required: ['topic', 'key'],
    additionalProperties: false,
  },
  async run(sql, { declaration, environment, id, author }, { topic, key, delete: deletes = false }): Promise<JsonValue> {
    await requireOwned(sql, declaration, topic)
    checkKey(key)
    const erased = await eraseOwn(environment.database, sql, { id, topic, key, delete: deletes, author })
    const outcome: EraseOutcome = { erasure: id, topic, key, ...erased }
    return JSON.parse(JSON.stringify(outcome))
  },
}

/** Throws COMITY_ERASURE_NOT_OWNED, COMITY_ENTITY_HANDED_OVER. */
export async function requireOwned(sql: Queryable, declaration: Parameters<typeof contractsPublishedBy>[0], topic: string): Promise<void> {
  const topics = contractsPublishedBy(declaration).map(({ name }) => name)
  if (!topics.includes(topic)) throw new ErasureNotOwned({ topic, team: declaration.team, topics: topics.join(', ') || 'nothing' })
  const next = (await sql.query<{ next: string | null }>('select comity.handed_to($1::text) as next', [topic])).rows[0]?.next
  if (next != null) throw new EntityHandedOver({ entity: topic, team: next })
}
