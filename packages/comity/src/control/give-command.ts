import { randomUUID } from 'node:crypto'
import type { JsonValue } from '@comity/contract'
import { type Clock, type Duration, parseDuration, systemClock } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import type { Transport } from '../transport/transport.ts'
import { type Answer, CONTROL_VERSION, type Command } from './contracts.ts'
import { CommandNotSent, CommandUnanswered, NotOperated } from './errors.ts'
import { systemMessage } from './system-message.ts'
import { systemTopic } from './system-topics.ts'

export interface CommandOptions {
  /** What to do, e.g. `ping`. */
  readonly kind: string
  readonly arguments?: Readonly<Record<string, JsonValue>>
  /** Who wants it, e.g. `ann@example.com`. */
  readonly author: string
  readonly reason: string
  /** A UUID; the same one again asks for the same answer, and does nothing twice. Default: a new one. */
  readonly id?: string
  /** How long to wait for the answer. Default '30s'. */
  readonly timeout?: Duration
}
/** What a team answered: an outcome, or the error it failed with. */
export type CommandAnswer = Omit<Answer, 'v' | 'to'>

const ANSWER = `
  select team, kind, outcome::text as outcome, error::text as error,
    to_char(done_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as done_at
  from comity.answers where command = $1::text::uuid`

/**
 * Sends a command to a team that this one operates, and waits for its answer, which the running processes of this team receive.
 * Throws COMITY_NOT_OPERATED, COMITY_COMMAND_NOT_SENT, and COMITY_COMMAND_UNANSWERED when the time is over: the command stays valid.
 */
export async function giveCommand(
  from: {
    readonly team: string
    readonly operates: readonly string[]
    readonly database: Queryable
    readonly transport: Transport
    readonly topicNamed: (name: string) => string
    readonly clock?: Clock
  },
  to: string,
  options: CommandOptions,
): Promise<CommandAnswer> {
  const { team, operates, database, transport, topicNamed, clock = systemClock } = from
  const { kind, author, reason, id = randomUUID(), timeout = '30s' } = options
  if (!operates.includes(to)) throw new NotOperated({ team, other: to, operates: operates.join(', ') || 'nobody' })
  const limit = parseDuration(timeout, 'command.timeout')
  const now = clock.now()
  const data: Command = {
    ...{ v: CONTROL_VERSION, id, to, kind, author, reason, arguments: options.arguments ?? {}, requestedAt: now.toISOString() },
  }
  const message = systemMessage({ type: 'comity.command', team, id, key: to, data, now })
  const [result] = await transport.send(topicNamed(systemTopic(team, 'commands')), [message])
  if (result?.status !== 'stored')
    throw new CommandNotSent({ team: to, reason: result?.status === 'refused' ? result.reason : String(result?.status) })

  const end = clock.monotonic() + limit
  for (let wait = 10; ; wait = Math.min(500, wait * 1.5)) {
    const answer = await answerTo(database, id)
    if (answer !== undefined) return answer
    const left = end - clock.monotonic()
    if (left <= 0) throw new CommandUnanswered({ team: to, kind, command: id, limit: timeout })
    await clock.sleep(Math.min(wait, left))
  }
}

async function answerTo(database: Queryable, command: string): Promise<CommandAnswer | undefined> {
  const { rows } = await database.query<{ team: string; kind: string; outcome: string | null; error: string | null; done_at: string }>(
    ANSWER,
    [command],
  )
  const row = rows[0]
  if (row === undefined) return undefined
  return {
    ...{ command, team: row.team, kind: row.kind, doneAt: row.done_at },
    ...(row.outcome === null ? {} : { outcome: JSON.parse(row.outcome) }),
    ...(row.error === null ? {} : { error: JSON.parse(row.error) }),
  }
}
