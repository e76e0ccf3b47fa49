import { arrayLiteral } from '../postgres/array-literal.ts'
import { sqlStateOf } from '../postgres/classify-error.ts'
import type { Queryable } from '../postgres/database.ts'
import { TooOldToProve } from './errors.ts'
import type { Message } from './message.ts'

const RECORD = `
  insert into comity.inbox (subscription, generation, message, time)
  select $1::text, $2::int, m.message, m.time
  from unnest($3::text::text[], $4::text::timestamptz[]) m(message, time)
  on conflict do nothing
  returning message`

/** A sender's clock may be ahead by this much, in milliseconds; the inbox's newest leaf takes it. */
const FUTURE = 7 * 86_400_000

/**
 * Records that the effects of these messages happen in this transaction, and answers the ids whose effect has not
 * happened before. Throws COMITY_TOO_OLD_TO_PROVE for a time whose records are gone (its leaf was dropped).
 */
export async function recordFresh(
  sql: Queryable,
  subscription: string,
  generation: number,
  messages: readonly Message[],
): Promise<ReadonlySet<string>> {
  const latest = Date.now() + FUTURE
  for (const { envelope } of messages) if (Date.parse(envelope.time) > latest) throw await outside(sql, envelope.time)
  try {
    const { rows } = await sql.query<{ message: string }>(RECORD, [
      subscription,
      generation,
      arrayLiteral(messages.map(({ envelope }) => envelope.id)),
      arrayLiteral(messages.map(({ envelope }) => envelope.time)),
    ])
    return new Set(rows.map((row) => row.message))
  } catch (error) {
    if (sqlStateOf(error) !== NO_PARTITION) throw error
    throw new TooOldToProve({ time: (messages[0] as Message).envelope.time, floor: 'its oldest leaf' }, { cause: error })
  }
}

const RECORDED = `
  select i.message from unnest($3::text::text[], $4::text::timestamptz[]) m(message, time)
    join comity.inbox i on i.subscription = $1::text and i.generation = $2::int and i.message = m.message and i.time = m.time`

/** The ids of those messages whose effect has happened. */
export async function recorded(
  sql: Queryable,
  subscription: string,
  generation: number,
  messages: readonly Message[],
): Promise<ReadonlySet<string>> {
  const { rows } = await sql.query<{ message: string }>(RECORDED, [
    subscription,
    generation,
    arrayLiteral(messages.map(({ envelope }) => envelope.id)),
    arrayLiteral(messages.map(({ envelope }) => envelope.time)),
  ])
  return new Set(rows.map((row) => row.message))
}

/** check_violation: "no partition of relation found for row". */
const NO_PARTITION = '23514'

async function outside(sql: Queryable, time: string): Promise<Error> {
  const { rows } = await sql.query<{ floor: string }>('select comity.inbox_floor()::text as floor')
  return new TooOldToProve({ time, floor: rows[0]?.floor ?? '' })
}
