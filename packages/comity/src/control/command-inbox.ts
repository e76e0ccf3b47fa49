import { ComityError, type Envelope, teamOfSource } from '@comity/contract'
import { type Clock, type Logger, logEvent, silentLogger, systemClock } from '../foundation/index.ts'
import { classifyError, describeError } from '../postgres/classify-error.ts'
import type { Delivery, DeliveryHandler, DeliveryResult, IncomingMessage, Transport } from '../transport/transport.ts'
import { type Answer, CONTROL_VERSION, type Command } from './contracts.ts'
import { CommandInvalid, CommandRefused } from './errors.ts'
import { isNewer, problemOf, readEnvelope, readJson, systemMessage } from './system-message.ts'
import { systemTopic } from './system-topics.ts'

/** What became of a command, as it is recorded. */
export type Execution = Pick<Answer, 'outcome' | 'error' | 'doneAt'>

export interface CommandInboxOptions {
  readonly team: string
  /** The team that sends to this topic. */
  readonly operator: string
  /** The teams whose commands this one obeys. */
  readonly operators: readonly string[]
  /** Does what is commanded once, however often it is called with the same id, and answers what was recorded. Injected: control knows no administration. */
  readonly execute: (command: Command) => Promise<Execution>
  readonly transport: Transport
  /** Of the broker: with the namespace. */
  readonly topicNamed: (name: string) => string
  readonly clock?: Clock
  readonly logger?: Logger
}

/**
 * Commands for this team from one operating team: `read → authorise → execute → answer → acknowledge`. A delivery is acknowledged
 * after its answer was sent: a process that ends in between is followed by one that finds what was recorded, and answers that again.
 * What is no command for this team, or none at all, is acknowledged, with a line in the log; nothing stops the commands behind it.
 */
export function commandInbox(options: CommandInboxOptions): DeliveryHandler {
  const { team, operator, operators, execute, transport, clock = systemClock, logger = silentLogger } = options

  async function obey({ message }: Delivery): Promise<DeliveryResult> {
    let envelope: Envelope
    let data: unknown
    try {
      envelope = readEnvelope(message, 'comity.command')
      if (envelope.subject !== team) return 'ack'
      data = readJson(message)
    } catch (error) {
      logEvent(logger, 'comity.command.unreadable', { sender: operator, error })
      return 'ack'
    }
    const sender = teamOfSource(envelope.source)
    if (sender !== operator || !operators.includes(sender)) {
      const refusal = new CommandRefused({ source: envelope.source, team, operators: operators.join(', ') || 'nobody' })
      logEvent(logger, 'comity.command.refused', { sender: operator, error: refusal })
      return sender === undefined ? 'ack' : answer(message, data, sender, failed(refusal))
    }
    if (isNewer(data)) {
      logEvent(logger, 'comity.command.newer', { sender: operator })
      return 'ack'
    }
    const problem = problemOf('comity.command', data) ?? ((data as Command).to === team ? undefined : 'it is addressed to two teams')
    if (problem !== undefined) {
      logEvent(logger, 'comity.command.invalid', { sender: operator, reason: problem })
      return answer(message, data, sender, failed(new CommandInvalid({ problem })))
    }
    const command = data as Command
    try {
      return await answer(message, command, sender, await execute(command))
    } catch (error) {
      if (['connection', 'retryable'].includes(classifyError(error))) {
        logEvent(logger, 'comity.command.postponed', { command: command.id, error })
        return 'later'
      }
      return answer(message, command, sender, failed(error))
    }
  }

  /** Whoever can be told is told; an id that is none can't be answered. */
  async function answer(message: IncomingMessage, data: unknown, to: string, execution: Execution): Promise<DeliveryResult> {
    const { id, kind } = (data ?? {}) as Partial<Command>
    if (typeof id !== 'string' || id !== message.id) return 'ack'
    const content: Answer = { v: CONTROL_VERSION, command: id, to, team, kind: typeof kind === 'string' ? kind : '', ...execution }
    if (await send(content)) return 'ack'
    return 'later'
  }

  async function send(content: Answer): Promise<boolean> {
    const message = systemMessage({
      type: 'comity.answer',
      team,
      id: `answer-${content.command}`,
      key: content.to,
      data: content,
      now: clock.now(),
    })
    try {
      const [result] = await transport.send(options.topicNamed(systemTopic(team, 'answer')), [message])
      if (result?.status !== 'refused' || content.outcome === undefined) return true
      const { outcome: _, ...rest } = content
      return await send({
        ...rest,
        error: { code: 'COMITY_COMMAND_NOT_SENT', message: `done, but its outcome can not be sent: ${result.reason}` },
      })
    } catch (error) {
      logEvent(logger, 'comity.command.not_answered', { command: content.command, error })
      return false
    }
  }

  function failed(error: unknown): Execution {
    const code = error instanceof ComityError ? error.code : 'COMITY_COMMAND_INVALID'
    return { error: { code, message: describeError(error) }, doneAt: clock.now().toISOString() }
  }

  // One after the other: commands are few, and each may want a connection of the team's pool.
  return async (deliveries) => {
    const results: DeliveryResult[] = []
    for (const delivery of deliveries) results.push(await obey(delivery))
    return results
  }
}
