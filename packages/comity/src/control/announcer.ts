import { createHash } from 'node:crypto'
import { type Clock, type Logger, type Loop, libraryVersion, loop, silentLogger, systemClock } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import { acquireLease, type Lease } from '../postgres/lease.ts'
import type { Transport } from '../transport/transport.ts'
import { catalogVoice } from './catalog-voice.ts'
import { type CatalogContract, CONTROL_VERSION, type DeclarationReport } from './contracts.ts'
import { lookAtTeam, statusLine } from './heartbeat.ts'
import { systemSender } from './system-sender.ts'
import { systemTopic } from './system-topics.ts'

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
 * once when a status changes. To the map of all teams it says what {@link catalogVoice} does. A process that is not cleared (a copy of a live database) says nothing. What can't be sent is
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
  /** The contracts that are this team's own. */
  readonly contracts: readonly Omit<CatalogContract, 'v' | 'team'>[]
  readonly clock?: Clock
  readonly logger?: Logger
}): Loop {
  const { team, holder, database, transport, clock = systemClock, logger = silentLogger } = options
  const self = { team, library: libraryVersion() }
  const declaration: DeclarationReport = { v: CONTROL_VERSION, ...self, ...options.declared }
  const hash = hashOf(declaration)
  const speaking = { team, transport, topicNamed: options.topicNamed, failing: new Set<string>(), clock, logger }
  const send = systemSender({ kind: 'heartbeat', ...speaking })
  const catalog = catalogVoice({
    ...{ declaration, contracts: options.contracts, hash: hashOf([declaration, options.contracts]), database, clock },
    send: systemSender({ kind: 'catalog', ...speaking }),
  })
  let lease: Lease | undefined
  /** Of this leadership, by the monotonic clock: when the declaration is to be said anew, whatever was said. */
  let declareAt: number[] = []
  let said = ''
  let saidAt = Number.NEGATIVE_INFINITY

  async function runOnce(signal: AbortSignal): Promise<'busy' | 'idle'> {
    if (!options.mayAnnounce()) await options.cleared(signal)
    if (signal.aborted || !options.mayAnnounce() || !(await leads())) return 'idle'
    const { heartbeat, declared, catalogued } = await lookAtTeam(database, self)
    await catalog.tell({ catalogued, state: heartbeat.state })
    if (declared !== hash || clock.monotonic() >= (declareAt[0] ?? Number.POSITIVE_INFINITY)) {
      if (!(await send(systemTopic(team, 'declaration'), 'comity.declaration', declaration))) return 'idle'
      await database.query(ANNOUNCED, [hash])
      declareAt = declareAt.slice(1)
    }
    const status = statusLine(heartbeat)
    if (status === said && clock.monotonic() - saidAt < HEARTBEAT_EVERY - LOOK_EVERY / 2) return 'idle'
    if (!(await send(systemTopic(team, 'heartbeat'), 'comity.heartbeat', heartbeat))) return 'idle'
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

function hashOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16)
}
