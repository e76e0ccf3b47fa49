import { randomUUID } from 'node:crypto'
import { type Clock, type Logger, logEvent, silentLogger, systemClock } from '../foundation/index.ts'
import type { Transport } from '../transport/transport.ts'
import type { SystemType } from './contracts.ts'
import { systemMessage } from './system-message.ts'

/** Sends one message, and answers whether the broker has it. */
export type SystemSender = (topic: string, type: SystemType, data: unknown) => Promise<boolean>

/** Speaks for a team about itself. What can't be sent is dropped: whoever says it says it again. @param kind what it is called in the log */
export function systemSender(options: {
  readonly team: string
  readonly kind: string
  readonly transport: Transport
  /** Of the broker: with the namespace. */
  readonly topicNamed: (name: string) => string
  readonly clock?: Clock
  readonly logger?: Logger
}): SystemSender {
  const { team, kind, transport, topicNamed, clock = systemClock, logger = silentLogger } = options
  let failing = false

  return async (topic, type, data) => {
    const message = systemMessage({ type, team, id: randomUUID(), key: team, data, now: clock.now() })
    try {
      const [result] = await transport.send(topicNamed(topic), [message])
      failing = false
      return result?.status === 'stored'
    } catch (error) {
      // Once: a team that was not provisioned after an upgrade works as before, and nobody hears of it.
      if (!failing) logEvent(logger, 'comity.control.not_sent', { kind, error })
      failing = true
      return false
    }
  }
}
