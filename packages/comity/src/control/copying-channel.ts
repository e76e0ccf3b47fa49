import { randomUUID } from 'node:crypto'
import { type JsonSchema, teamOfSource } from '@comity/contract'
import { type Logger, logEvent, silentLogger } from '../foundation/index.ts'
import { compile } from '../schema/index.ts'
import type { DeliveryHandler, DeliveryResult, IncomingMessage, OutgoingMessage, Transport } from '../transport/transport.ts'
import { SystemMessageUnreadable } from './errors.ts'
import { isNewer, readEnvelope, readJson, systemMessage } from './system-message.ts'

/** One kind of message about a copy. Objects are open; what has a larger `v` than this is not for us. */
export interface CopyingContract {
  /** `comity.<thing>`; of a message on these topics it decides who handles it. */
  readonly type: string
  readonly schema: JsonSchema
}

/** Who said it, about which copy. */
export interface Heard<Data> {
  /** The team, as the envelope has it: on a topic with one sender it is that one. */
  readonly from: string
  /** `<team>.<name>`: the message's key. */
  readonly replica: string
  readonly data: Data
}

/** Handles messages of one contract that came one after the other. A message that is to come again holds back all that follow it. */
export interface CopyingHandler<Data> {
  readonly contract: CopyingContract
  /** Answers what became of the first of them, and so on; after fewer answers than messages it is called with the others. */
  handle(messages: readonly Heard<Data>[]): Promise<readonly DeliveryResult[]>
}

export interface CopyingSpeaker {
  readonly team: string
  readonly transport: Transport
  /** Of the broker: with the namespace. */
  readonly topicNamed: (name: string) => string
}

/** What is to be said about one copy. */
export interface Said {
  readonly contract: CopyingContract
  readonly replica: string
  /** What it says, or the JSON text of that. */
  readonly data: unknown | JsonText
  /** The same on every resend; default: a new one. */
  readonly id?: string
}
/** JSON that was written already: a large message is not taken apart and put together again. */
export class JsonText {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** Sends, in order; resolves when all of it is durable. Throws COMITY_SYSTEM_MESSAGE_UNREADABLE where the broker takes one of them in no case. */
export async function sayAboutCopy({ team, transport, topicNamed }: CopyingSpeaker, topic: string, said: readonly Said[]): Promise<void> {
  const now = new Date()
  const messages = said.map(({ contract, replica, data, id = randomUUID() }): OutgoingMessage => {
    if (!(data instanceof JsonText)) return systemMessage({ type: contract.type, team, id, key: replica, data, now })
    return { ...systemMessage({ type: contract.type, team, id, key: replica, data: null, now }), data: data.text }
  })
  const refused = (await transport.send(topicNamed(topic), messages)).find((result) => result.status !== 'stored')
  if (refused !== undefined)
    throw new SystemMessageUnreadable({ problem: refused.status === 'refused' ? refused.reason : `it was ${refused.status}` })
}

/**
 * Reads one subscription of these topics: `read → check its sender → handle → acknowledge`. What is not to be read, and what only a newer
 * version understands, is acknowledged with a line in the log: it must not stop what follows. Calls are worked off one after the other.
 */
export function copyingHeard(options: {
  /** The only team that is believed; undefined: the team whose copy it is about. */
  readonly sender: string | undefined
  readonly handlers: readonly CopyingHandler<never>[]
  readonly logger?: Logger
}): DeliveryHandler {
  const { sender, logger = silentLogger } = options
  const handlers = new Map(options.handlers.map((handler) => [handler.contract.type, handler as CopyingHandler<unknown>]))
  let busy: Promise<unknown> = Promise.resolve()

  function read(message: IncomingMessage): { readonly type: string; readonly heard: Heard<unknown> } | undefined {
    const type = message.attributes['ce-type'] ?? ''
    try {
      const handler = handlers.get(type)
      if (handler === undefined) throw new SystemMessageUnreadable({ problem: `nothing here handles ${type || 'what has no type'}` })
      const envelope = readEnvelope(message, type)
      const from = teamOfSource(envelope.source)
      const believed = sender ?? message.key.slice(0, Math.max(0, message.key.indexOf('.')))
      if (from === undefined || from !== believed)
        throw new SystemMessageUnreadable({ problem: `it says that it comes from ${envelope.source}` })
      const data = readJson(message)
      if (isNewer(data)) return undefined
      const problem = compile(handler.contract.schema).validate(data)
      if (problem !== undefined) throw new SystemMessageUnreadable({ problem: `${problem.path} ${problem.message}` })
      return { type, heard: { from, replica: message.key, data } }
    } catch (error) {
      if (!(error instanceof SystemMessageUnreadable)) throw error
      logEvent(logger, 'comity.control.unreadable', { sender: sender ?? 'another team', type, error })
      return undefined
    }
  }

  async function handle(messages: readonly ReturnType<typeof read>[]): Promise<readonly DeliveryResult[]> {
    const results: DeliveryResult[] = []
    for (let from = 0; from < messages.length; from = results.length) {
      const first = messages[from]
      if (first === undefined) {
        results.push('ack')
        continue
      }
      const run = [first.heard]
      for (let next = from + 1; next < messages.length; next++) {
        const other = messages[next]
        if (other === undefined || other.type !== first.type) break
        run.push(other.heard)
      }
      const answers = (await handlers.get(first.type)?.handle(run)) ?? []
      const held = answers.indexOf('later')
      results.push(...(held < 0 ? answers : answers.slice(0, held)).slice(0, run.length))
      if (held >= 0 || answers.length === 0) break
    }
    return messages.map((_, i) => results[i] ?? 'later')
  }

  return async (deliveries) => {
    // Read at once: a large message is taken apart while the one before it is worked on.
    const messages = deliveries.map(({ message }) => read(message))
    const turn = busy.then(() => handle(messages))
    busy = turn.catch(() => undefined)
    return turn
  }
}
