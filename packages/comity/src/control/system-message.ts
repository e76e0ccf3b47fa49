import { ComityError, type Envelope, fromAttributes, sourceOf, toAttributes } from '@comity/contract'
import { compile, HARD_MAX_BYTES, parseJson } from '../schema/index.ts'
import type { IncomingMessage, OutgoingMessage } from '../transport/transport.ts'
import { CONTROL_VERSION, SCHEMAS, type SystemType } from './contracts.ts'
import { SystemMessageUnreadable } from './errors.ts'

/** A CloudEvent like every other, beside the outbox: it tells nothing that was committed, so that nothing is lost with it. */
export function systemMessage(options: {
  readonly type: string
  readonly team: string
  readonly id: string
  readonly key: string
  readonly data: unknown
  readonly now: Date
}): OutgoingMessage {
  const { type, team, id, key, data, now } = options
  const envelope: Envelope = {
    ...{ id, type, source: sourceOf(team), subject: key, time: now.toISOString(), kind: 'event' },
    // Nobody orders by it: a topic has one bucket. As the versions of the outbox, microseconds since 2026.
    version: Math.max(1, (now.getTime() - START) * 1000),
  }
  return { id, key, attributes: toAttributes(envelope), data: JSON.stringify(data) }
}
const START = Date.UTC(2026)

/** The envelope of what was received. Throws COMITY_SYSTEM_MESSAGE_UNREADABLE. */
export function readEnvelope(incoming: IncomingMessage, type: string): Envelope {
  return unreadable(() => {
    const envelope = fromAttributes(incoming.attributes)
    if (envelope.type !== type) throw new SystemMessageUnreadable({ problem: `its type is ${envelope.type}, not ${type}` })
    if (envelope.subject !== incoming.key) throw new SystemMessageUnreadable({ problem: 'its key is not its subject' })
    return envelope
  })
}

/** JSON, whatever it says. Throws COMITY_SYSTEM_MESSAGE_UNREADABLE. */
export function readJson(incoming: IncomingMessage): unknown {
  return unreadable(() => parseJson(incoming.data, HARD_MAX_BYTES))
}

/** Whether a later version wrote it: it is not ours to judge. */
export function isNewer(data: unknown): boolean {
  const v = (data as { readonly v?: unknown } | null)?.v
  return typeof v === 'number' && v > CONTROL_VERSION
}

/** What does not fit the contract of its type, in words; undefined if it fits. */
export function problemOf(type: SystemType, data: unknown): string | undefined {
  const problem = compile(SCHEMAS[type]).validate(data)
  return problem === undefined ? undefined : `${problem.path} ${problem.message}`
}

/**
 * What a team says on a topic of its own: data that fits the contract; undefined if a later version wrote it.
 * Throws COMITY_SYSTEM_MESSAGE_UNREADABLE, also when another team than the topic's says so.
 */
export function readSystemMessage<Data>(incoming: IncomingMessage, type: SystemType, sender: string): Data | undefined {
  const envelope = readEnvelope(incoming, type)
  if (envelope.source !== sourceOf(sender)) throw new SystemMessageUnreadable({ problem: `it says that it comes from ${envelope.source}` })
  const data = readJson(incoming)
  if (isNewer(data)) return undefined
  const problem = problemOf(type, data)
  if (problem !== undefined) throw new SystemMessageUnreadable({ problem })
  return data as Data
}

function unreadable<Value>(read: () => Value): Value {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof SystemMessageUnreadable || !(cause instanceof ComityError)) throw cause
    throw new SystemMessageUnreadable({ problem: cause.message.split('\n')[0] as string }, { cause })
  }
}
