import { randomUUID } from 'node:crypto'
import { Latency } from '../backfill/latency.ts'
import type { CopyingHandler, CopyingSpeaker, Heard } from '../control/copying-channel.ts'
import { sayAboutCopy } from '../control/copying-channel.ts'
import { copyTopic } from '../control/copying-topics.ts'
import { type Clock, type Logger, type Loop, logEvent, loop, silentLogger, systemClock } from '../foundation/index.ts'
import type { Database } from '../postgres/database.ts'
import { answerAudit } from './answer-audit.ts'
import { AUDIT_ASKED, AUDIT_TOLD, AUDIT_VERSION, type AuditAnswer, type AuditAsked, type AuditTold } from './contracts.ts'
import { LONGEST_REST } from './in-slices.ts'
import { knowCopy, tellWanted } from './wanted.ts'

/** Questions that wait for an answer, at most; who is not answered asks again. */
const MOST_WAITING = 100

/**
 * The owner's side of audits: questions are taken, and answered one at a time, each slice of rows with a rest as long as the work was, so that audits take
 * no more than half of one connection; and not while the owner's own small statements take too long. Nothing is recorded: a question that gets lost here is asked again.
 */
export function ownerAudits(options: {
  readonly team: string
  readonly database: Database
  readonly speaker: CopyingSpeaker
  /** Which life of the database this is; undefined while this process may not speak for its team. */
  readonly life: () => number | undefined
  /** Milliseconds that a small statement of the owner's may take, before answers wait, for half a minute at most. */
  readonly latency: number
  readonly clock?: Clock
  readonly logger?: Logger
}): { readonly handler: CopyingHandler<AuditAsked>; readonly loop: Loop } {
  const { team, database, speaker, life, clock = systemClock, logger = silentLogger } = options
  const waiting = new Map<string, Heard<AuditAsked>>()
  const latency = new Latency(options.latency, clock)
  let working: string | undefined
  /** Since when it works without a rest, and when who asks last heard of it. */
  let began = 0
  let signAt = 0
  let lookedAt = Number.NEGATIVE_INFINITY
  let lookedIn: number | undefined

  async function runOnce(signal: AbortSignal): Promise<'busy' | 'idle'> {
    const now = life()
    if (now === undefined) return 'idle'
    if (now !== lookedIn || clock.monotonic() - lookedAt >= LOOK_EVERY) {
      lookedAt = clock.monotonic()
      lookedIn = now
      await tellWanted(database, speaker)
    }
    const next = waiting.values().next().value
    if (next === undefined) return 'idle'
    const { id } = next.data
    waiting.delete(id)
    working = id
    began = signAt = clock.monotonic()
    try {
      const onWaiting = (holders: readonly object[]) => tell(next, [{ kind: 'waiting', for: JSON.stringify(holders) }])
      await makeRoom(next, signal)
      began = clock.monotonic()
      const between = (worked: number): Promise<void> => rest(next, worked, signal)
      await tell(next, await answerAudit(next, { database, signal, clock, onWaiting, between }))
    } catch (error) {
      if (!signal.aborted) logEvent(logger, 'comity.audit.not_answered', { subscription: next.replica, error })
    } finally {
      working = undefined
    }
    await clock.sleep(Math.min(LONGEST_REST, clock.monotonic() - began), signal)
    return 'busy'
  }

  /** Between two slices of an answer. */
  async function rest(heard: Heard<AuditAsked>, worked: number, signal: AbortSignal): Promise<void> {
    await clock.sleep(Math.min(LONGEST_REST, worked), signal)
    await makeRoom(heard, signal)
    // Who asks is patient with an owner that is at it.
    if (clock.monotonic() - signAt >= SIGN_EVERY) await sign(heard)
    began = clock.monotonic()
  }

  async function sign(heard: Heard<AuditAsked>): Promise<void> {
    await tell(heard, [{ kind: 'waiting', for: '[]' }])
    signAt = clock.monotonic()
  }

  async function makeRoom(heard: Heard<AuditAsked>, signal: AbortSignal): Promise<void> {
    const until = clock.monotonic() + LONGEST_ROOM
    for (let told = false; ; ) {
      const began = clock.monotonic()
      await knowCopy(database, heard.replica)
      latency.observe(clock.monotonic() - began)
      if (!latency.isAbove || clock.monotonic() > until) return
      // So it is with an owner that is busy.
      if (!told) await sign(heard)
      told = true
      await latency.makeRoom(signal)
    }
  }

  async function tell({ replica, data }: Heard<AuditAsked>, parts: readonly AuditAnswer[]): Promise<void> {
    const answer = randomUUID()
    await sayAboutCopy(
      speaker,
      copyTopic(replica),
      parts.map((told, i) => {
        const message: AuditTold = { v: AUDIT_VERSION, id: data.id, answer, part: i + 1, parts: parts.length, told }
        return { contract: AUDIT_TOLD, replica, data: message }
      }),
    )
  }

  const answering = loop({ name: `answers to audits by ${team}`, poll: { min: 0, max: 1000 }, clock, logger, runOnce })
  return {
    loop: answering,
    handler: {
      contract: AUDIT_ASKED,
      async handle(messages) {
        for (const heard of messages) {
          const { id } = heard.data
          if (id !== working && (waiting.has(id) || waiting.size < MOST_WAITING)) waiting.set(id, heard)
        }
        answering.wake()
        return messages.map(() => 'ack')
      },
    },
  }
}

/** Between two signs of life while an answer is made, in milliseconds. */
const SIGN_EVERY = 5000
/** So that an audit of an owner that is always busy ends, too. In milliseconds. */
const LONGEST_ROOM = 30_000
/** Between two looks at what has happened here, in milliseconds. */
const LOOK_EVERY = 30_000
