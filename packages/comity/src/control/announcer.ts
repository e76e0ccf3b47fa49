import { createHash, randomUUID } from 'node:crypto'
import { type Clock, type Logger, type Loop, libraryVersion, logEvent, loop, silentLogger, systemClock } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import { acquireLease, type Lease } from '../postgres/lease.ts'
import type { OutgoingMessage, Transport } from '../transport/transport.ts'
import { CONTROL_VERSION, type DeclarationReport, type SystemType } from './contracts.ts'
import { lookAtTeam, statusLine } from './heartbeat.ts'
import { systemMessage } from './system-message.ts'
import { type SystemKind, systemTopic } from './system-topics.ts'

const ANNOUNCED = `
  insert into comity.announced (what, hash, at) values ('declaration', $1::text, clock_timestamp())
  on conflict (what) do update set hash = excluded.hash, at = excluded.at`

/** Between two looks at the team, in milliseconds; how late the change of another process's status is told. */
const LOOK_EVERY = 5000
/** After the first declaration of a leadership, in milliseconds. */
const DECLARE_AGAIN = 60_000
/** Between two heartbeats that say nothing new, in milliseconds. */
export const HEARTBEAT_EVERY = 15_000

/**
 * Tells the others what this team is and does, for all of its processes.
 *
 *   standing by ──lease acquired──▶ announcing ──lease lost or released──▶ standing by
 *
 * Announcing sends the declaration at first and a minute later, when it is another one, and every hour; a heartbeat every fifteen seconds, and at
 * once when a status changes. A process that is not cleared (a copy of a live database) says nothing. What can't be sent is
 * dropped: the next heartbeat says more.
 */
export function announcer(options: {
  readonly team: string
  readonly holder: string
  readonly database: Queryable
  readonly transport: Transport
  /** Of the broker: with the namespace. */
  readonly topicNamed: (name: string) => string
  readonly mayAnnounce: () => boolean
  readonly cleared: (signal: AbortSignal) => Promise<AbortSignal>
  readonly declared: Omit<DeclarationReport, 'v' | 'library'>
  readonly clock?: Clock
  readonly logger?: Logger
}): Loop {
  const { team, holder, database, transport, clock = systemClock, logger = silentLogger } = options
  const self = { team, library: libraryVersion() }
  const declaration: DeclarationReport = { v: CONTROL_VERSION, ...self, ...options.declared }
  const hash = createHash('sha256').update(JSON.stringify(declaration)).digest('hex').slice(0, 16)
  let lease: Lease | undefined
  /** Of this leadership, by the monotonic clock: when the declaration is to be said anew, whatever was said. */
  let declareAt: number[] = []
  let said = ''
  let saidAt = Number.NEGATIVE_INFINITY
  let failing = false

  async function runOnce(signal: AbortSignal): Promise<'busy' | 'idle'> {
    if (!options.mayAnnounce()) await options.cleared(signal)
    if (signal.aborted || !options.mayAnnounce() || !(await leads())) return 'idle'
    const { heartbeat, declared } = await lookAtTeam(database, self)
    if (declared !== hash || clock.monotonic() >= (declareAt[0] ?? Number.POSITIVE_INFINITY)) {
      if (!(await send('comity.declaration', 'declaration', declaration))) return 'idle'
      await database.query(ANNOUNCED, [hash])
      declareAt = declareAt.slice(1)
    }
    const status = statusLine(heartbeat)
    if (status === said && clock.monotonic() - saidAt < HEARTBEAT_EVERY - LOOK_EVERY / 2) return 'idle'
    if (!(await send('comity.heartbeat', 'heartbeat', heartbeat))) return 'idle'
    said = status
    saidAt = clock.monotonic()
    return 'idle'
  }

  async function leads(): Promise<boolean> {
    // At the second look after an acquisition, too, it is held for longer than until the next one.
    if (lease !== undefined && lease.validFor() < LOOK_EVERY + 2000 && !(await lease.renew())) lease = undefined
    if (lease !== undefined) return true
    lease = await acquireLease(database, { name: 'control', holder, duration: '15s', clock })
    // Twice: where all teams start together, the subscriptions of an operating team may be made after the first time.
    declareAt = [Number.NEGATIVE_INFINITY, clock.monotonic() + DECLARE_AGAIN]
    return lease !== undefined
  }

  async function send(type: SystemType, kind: SystemKind, data: unknown): Promise<boolean> {
    const message: OutgoingMessage = systemMessage({ type, team, id: randomUUID(), key: team, data, now: clock.now() })
    try {
      const [result] = await transport.send(options.topicNamed(systemTopic(team, kind)), [message])
      failing = false
      return result?.status === 'stored'
    } catch (error) {
      // Once: a team that was not provisioned after an upgrade works as before, and nobody hears of it.
      if (!failing) logEvent(logger, 'comity.control.not_sent', { kind, error })
      failing = true
      return false
    }
  }

  const base = loop({ name: `announcer of ${team}`, poll: { min: LOOK_EVERY, max: LOOK_EVERY }, runOnce, clock, logger })
  const stop = base.stop.bind(base)
  return Object.defineProperties(base, {
    stop: {
      async value() {
        await stop()
        await lease?.release().catch(() => undefined)
      },
    },
  }) as Loop
}
