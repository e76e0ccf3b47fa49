import { teamOfSource } from '@comity/contract'
import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'
import type { IncomingMessage } from '../transport/transport.ts'
import type { Gate } from './gate.ts'
import type { Message } from './message.ts'

/* By name, and once: what comes again was told of before. What a handler had done before its owner lost it is named as that. */
const DISCARD = `
  insert into comity.discarded (subscription, message, key, time, reason)
  select $1::text, m.message, m.key, clock_timestamp(), m.reason from unnest($2::text::text[], $3::text::text[], $4::text::text[]) m(message, key, reason)
  where not exists (select from comity.discarded d where d.message = m.message and d.subscription = $1::text)
    and not exists (select from comity.lost_handled h where h.message = m.message and h.subscription = $1::text)`

export type TurnedAway = 'erased' | 'lost'

/**
 * Why a message is not to be handled, whoever brings it (a replay, a redelivery, a retry); undefined: it is. Its owner has lost the history that it
 * belongs to; or has erased what it says, after it was said: a deletion says nothing of anybody, and a handler must hear of it.
 */
export function reasonToTurnAway(incoming: IncomingMessage, { erased, lost }: Pick<Gate, 'erased' | 'lost'>): TurnedAway | undefined {
  const version = versionOf(incoming)
  if (lost.has(version)) return 'lost'
  const upTo = erased.get(incoming.key)
  return upTo === undefined || incoming.attributes['ce-comitykind'] === 'deleted' || version > upTo ? undefined : 'erased'
}

export async function recordTurnedAway(
  sql: Queryable,
  subscription: string,
  reasons: ReadonlyMap<Pick<Message, 'incoming'>, TurnedAway | undefined>,
): Promise<void> {
  const gone = [...reasons].flatMap(([{ incoming }, reason]) => (reason === undefined ? [] : [{ ...incoming, reason }]))
  if (gone.length === 0) return
  const column = (name: 'id' | 'key' | 'reason'): string => arrayLiteral(gone.map((one) => one[name]))
  await sql.query(DISCARD, [subscription, column('id'), column('key'), column('reason')])
}

/** As the envelope has it; what can't be read counts as the oldest. */
export function versionOf({ attributes }: IncomingMessage): number {
  const version = Number(attributes['ce-comityversion'])
  return Number.isSafeInteger(version) && version > 0 ? version : 0
}

/** Who published it, as it says; empty where that can't be read. */
export function publisherOf({ attributes }: IncomingMessage): string {
  return teamOfSource(attributes['ce-source'] ?? '') ?? ''
}
