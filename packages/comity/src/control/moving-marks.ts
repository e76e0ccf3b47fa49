import { type Clock, type Logger, type Loop, logEvent, loop, silentLogger, systemClock } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import type { Fence, MovingTransport } from '../transport/index.ts'
import type { Brokers } from './brokers.ts'
import { marked } from './transport-moves.ts'

/**
 * While a team moves between brokers, whoever relays says so on each topic that the team owns, through the new broker: so that a topic on
 * which nothing happens proves as well that its owner publishes to both.
 */
export function movingMarks(options: {
  readonly team: string
  readonly database: Queryable
  readonly transport: MovingTransport
  readonly brokers: Brokers
  /** As the broker names them. */
  readonly topics: readonly string[]
  /** Who leads now; undefined in a process that does not. */
  readonly fence: () => Fence | undefined
  /** Milliseconds. */
  readonly every: number
  readonly clock?: Clock
  readonly logger?: Logger
}): Loop {
  const { team, database, transport, brokers, topics, fence, every, clock = systemClock, logger = silentLogger } = options
  return loop({
    name: `marks of ${team}`,
    poll: { min: every, max: every },
    clock,
    logger,
    async runOnce() {
      for (const topic of topics) {
        const speaker = fence()
        if (speaker === undefined) return 'idle'
        await transport.mark(topic, speaker).catch((error: unknown) => logEvent(logger, 'comity.move.not_marked', { topic, error }))
      }
      if (fence() !== undefined) await marked(database, brokers)
      return 'idle'
    },
  })
}
