import { type Logger, logEvent, silentLogger } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import type { DeliveryHandler, IncomingMessage } from '../transport/transport.ts'
import type { Answer, SystemType } from './contracts.ts'
import { readSystemMessage } from './system-message.ts'

/** By the broker's time: what an operating team that was away finds waiting is not news of now. */
const newest = (column: 'heartbeat' | 'declaration', at: 'heard_at' | 'declared_at'): string => `
  insert into comity.teams as t (team, ${column}, ${at}) values ($1::text, $2::text::jsonb, $3::text::timestamptz)
  on conflict (team) do update set ${column} = excluded.${column}, ${at} = excluded.${at}
  where t.${at} is null or t.${at} <= excluded.${at}`
const HEARTBEAT = newest('heartbeat', 'heard_at')
const DECLARATION = newest('declaration', 'declared_at')

const ANSWER = `
  insert into comity.answers (command, team, kind, outcome, error, done_at)
  values ($1::text::uuid, $2::text, $3::text, $4::text::jsonb, $5::text::jsonb, $6::text::timestamptz) on conflict do nothing`

export interface HeardOptions {
  /** The operating team, whose database keeps it. */
  readonly team: string
  /** The team that says it. */
  readonly sender: string
  readonly database: Queryable
  readonly logger?: Logger
}

/** Keeps the newest heartbeat of a team: of what was delivered together only the last is written. */
export function heartbeatsHeard(options: HeardOptions): DeliveryHandler {
  return keepNewest(options, 'comity.heartbeat', HEARTBEAT)
}
/** Keeps the newest declaration of a team. */
export function declarationsHeard(options: HeardOptions): DeliveryHandler {
  return keepNewest(options, 'comity.declaration', DECLARATION)
}

function keepNewest(options: HeardOptions, type: SystemType, sql: string): DeliveryHandler {
  const { sender, database } = options
  return async (deliveries) => {
    const last = deliveries.findLast(({ message }) => read(options, message, type) !== undefined)?.message
    if (last !== undefined) await database.query(sql, [sender, last.data, last.sentAt.toISOString()])
    return deliveries.map(() => 'ack')
  }
}

/** Keeps the answers to this team's commands; those to others are theirs. */
export function answersHeard(options: HeardOptions): DeliveryHandler {
  const { team, sender, database } = options
  return async (deliveries) => {
    for (const { message } of deliveries) {
      const answer = message.key === team ? read<Answer>(options, message, 'comity.answer') : undefined
      if (answer === undefined) continue
      const json = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value))
      await database.query(ANSWER, [answer.command, sender, answer.kind, json(answer.outcome), json(answer.error), answer.doneAt])
    }
    return deliveries.map(() => 'ack')
  }
}

/** Undefined, with a line in the log, for what is not to be read: it must not stop what follows. */
function read<Data>({ sender, logger = silentLogger }: HeardOptions, message: IncomingMessage, type: SystemType): Data | undefined {
  try {
    return readSystemMessage<Data>(message, type, sender)
  } catch (error) {
    logEvent(logger, 'comity.control.unreadable', { sender, type, error })
    return undefined
  }
}
