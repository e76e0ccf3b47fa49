import { type Clock, type Logger, logEvent } from '../foundation/index.ts'
import type { MoveProgress, MoveRecords } from './move-records.ts'
import type { DeliveryHandler, Transport } from './transport.ts'

export interface Proof {
  readonly from: Transport
  readonly to: Transport
  readonly records: MoveRecords
  readonly subscription: string
  /** How far the clocks of two brokers can be apart, and how old what a broker says of a backlog can be, in milliseconds. */
  readonly margin: number
  readonly clock: Clock
  readonly logger: Logger
  readonly signal: AbortSignal
}

/**
 * When may a subscription stop reading the old broker?
 *
 *   peeking ──a message at the new one that was sent after the move began──▶ proven ──old backlog passed──▶ switched
 *      ▲                                                                        │
 *      └──────────────── a replay or a skip moved the position ─────────────────┘
 *
 * *Proven*: only a relay that publishes to both sends to the new broker, and none that publishes to the old one alone can lead after it. So
 * what is not at the new broker was stored at the old one before this message was sent, at `sentAt`.
 * *Passed*: all of that is acknowledged, if the oldest message that is not was sent at `sentAt + margin` or later; or if there was none, in a
 * look that was made `margin` after the proof was seen. The first holds however late a broker says it. (docs/decisions/0008)
 *
 * The state is in the records, not here: whichever process sees a step takes it for all. Resolves when the subscription has switched, or with
 * the signal. A failure of a broker or of the records ends nothing: it is looked again.
 */
export async function proveCaughtUp(proof: Proof): Promise<void> {
  const { records, subscription, margin, clock, logger, signal } = proof
  const pause = Math.min(LOOK_EVERY, margin / 4)
  let known: { readonly startedAt: string; readonly at: number } | undefined
  let failing = false
  while (!signal.aborted) {
    try {
      const progress = await records.progress(subscription)
      if (progress.switched) return
      if (progress.sentAt === undefined) await look(proof, progress)
      else {
        if (known?.startedAt !== progress.startedAt) known = { startedAt: progress.startedAt, at: clock.monotonic() }
        if (await isPassed(proof, progress.sentAt, known.at)) await records.switch(subscription, progress)
      }
      failing = false
    } catch (error) {
      if (!failing && !signal.aborted) logEvent(logger, 'comity.move.not_looked', { subscription, error })
      failing = true
    }
    await clock.sleep(pause, signal)
  }
}

async function isPassed({ from, subscription, margin, clock }: Proof, sentAt: Date, seenAt: number): Promise<boolean> {
  const settled = clock.monotonic() - seenAt >= margin
  const [stats] = (await from.stats?.([subscription])) ?? []
  if (stats === undefined) return false
  if (stats.backlog === 0) return settled
  return stats.oldestSentAt !== undefined && stats.oldestSentAt.getTime() >= sentAt.getTime() + margin
}

/**
 * Looks into the new broker's queue for a message that was sent surely after the move began. It is not taken: it comes again. What was sent
 * before is acknowledged, or it would stand in the way: the old broker has it too, and had it first.
 */
async function look({ to, records, subscription, margin, clock, signal }: Proof, progress: MoveProgress): Promise<void> {
  const after = Date.parse(progress.startedAt) + margin
  const end = new AbortController()
  const until = AbortSignal.any([signal, end.signal])
  let found: Date | undefined
  const handler: DeliveryHandler = async (deliveries) =>
    deliveries.map(({ message: { sentAt } }) => {
      if (sentAt.getTime() < after) return 'ack'
      if (found === undefined || sentAt < found) found = sentAt
      end.abort()
      return 'later'
    })
  // Another process may have seen it meanwhile: the queue is shared.
  void clock.sleep(PEEK_FOR, until).then(() => end.abort())
  await to.receive(subscription, handler, { signal: until, prefetch: 100 })
  if (found !== undefined) await records.seen(subscription, found, progress)
}

/** Milliseconds. */
const LOOK_EVERY = 1000
const PEEK_FOR = 3000
