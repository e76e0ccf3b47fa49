import { randomUUID } from 'node:crypto'
import { type Clock, type Logger, logEvent, silentLogger, systemClock } from '../foundation/index.ts'
import type { Transport } from '../transport/transport.ts'
import type { SystemType } from './contracts.ts'
import { systemMessage } from './system-message.ts'

/** Sends one message, and answers whether the broker has it. */
export type SystemSender = (topic: string, type: SystemType, data: unknown) => Promise<boolean>

/** Speaks for a team about itself. What can't be sent is dropped: whoever says it says it again. */
export function systemSender(options: {
  readonly team: string
  /** What it is called in the log. */
  readonly kind: string
  /** The kinds that can't be sent now, of all senders of the process: the log says it of the first. */
  readonly failing: Set<string>
  readonly transport: Transport
  /** Of the broker: with the namespace. */
  readonly topicNamed: (name: string) => string
  readonly clock?: Clock
  readonly logger?: Logger
}): SystemSender {
  const { team, kind, failing, transport, topicNamed, clock = systemClock, logger = silentLogger } = options

  return async (topic, type, data) => {
    const message = systemMessage({ type, team, id: randomUUID(), key: team, data, now: clock.now() })
    try {
      const [result] = await transport.send(topicNamed(topic), [message])
      failing.delete(kind)
      return result?.status === 'stored'
    } catch (error) {
      // Once: a team that was not provisioned after an upgrade works as before, and nobody hears of it.
      if (failing.size === 0) logEvent(logger, 'comity.control.not_sent', { kind, error })
      failing.add(kind)
      return false
    }
  }
}
