import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'
import type { IncomingMessage } from '../transport/transport.ts'
import type { Message } from './message.ts'

/* By name, and once: what comes again was told of before. */
const DISCARD = `
  insert into comity.discarded (subscription, message, key, time, reason)
  select $1::text, m.message, m.key, clock_timestamp(), 'erased' from unnest($2::text::text[], $3::text::text[]) m(message, key)
  where not exists (select from comity.discarded d where d.message = m.message and d.subscription = $1::text)`

/**
 * Whether the owner has erased what this message says: a replay, a redelivery or a retry of a message that is older than the erasure must not
 * bring it back. A deletion says nothing of anybody, and a handler must hear of it. What can't be read counts as the oldest.
 */
export function isErased({ key, attributes }: IncomingMessage, erased: ReadonlyMap<string, number>): boolean {
  const version = erased.get(key)
  if (version === undefined || attributes['ce-comitykind'] === 'deleted') return false
  const own = Number(attributes['ce-comityversion'])
  return !(own > version)
}

export async function recordErased(sql: Queryable, subscription: string, messages: readonly Pick<Message, 'incoming'>[]): Promise<void> {
  const ids = arrayLiteral(messages.map(({ incoming }) => incoming.id))
  await sql.query(DISCARD, [subscription, ids, arrayLiteral(messages.map(({ incoming }) => incoming.key))])
}
