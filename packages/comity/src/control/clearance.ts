import { type Clock, type Logger, type Loop, logEvent, loop, silentLogger, systemClock } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import type { Identity, Transport } from '../transport/transport.ts'
import { CloneOfLiveDatabase } from './errors.ts'

/**
 * Whether this process may speak for its team. The database's life (its incarnation) is announced to the transport every few
 * seconds; while another life of the same team is alive there, this one is a copy, and it neither sends nor receives.
 *
 *   unknown ──granted──▶ cleared ──refused──▶ clone
 *      └──────refused──▶ clone ──the other is silent: granted──▶ cleared
 *
 * A transport that can't be reached changes nothing: what it has granted holds, because whoever it grants next must
 * wait until this life has been silent.
 */
export interface Clearance extends Loop {
  /** Who this process speaks as; undefined while it may not. */
  readonly identity: Identity | undefined
  /** Why it may not; undefined while that is not known or it may. */
  readonly refusal: Error | undefined
  /** Resolves when this process is cleared, with a signal that aborts when it no longer is. Never rejects; aborted with `signal`. */
  cleared(signal: AbortSignal): Promise<AbortSignal>
}

const INCARNATION = `
  select min(first_version)::text as first_version from comity.incarnations where identity = comity.identity()`

/** Two million and one: what comity.advance_versions demands before it moves. */
const PASS_HIGHEST = `
  select comity.advance_versions($1::text::bigint + 2000001) from comity.outbox_id where last_value < $1::text::bigint`

/** Between two announcements, in milliseconds; a transport believes a life silent after about three of them. */
const HEARTBEAT = 5000

export function clearance(options: {
  readonly team: string
  readonly holder: string
  readonly database: Queryable
  readonly transport: Transport
  readonly clock?: Clock
  readonly logger?: Logger
}): Clearance {
  const { team, holder, database, transport, clock = systemClock, logger = silentLogger } = options
  let identity: Identity | undefined
  let refusal: Error | undefined
  let epoch = new AbortController()
  const waiting = new Set<() => void>()

  async function runOnce(): Promise<'busy' | 'idle'> {
    await database.query('select comity.notice_incarnation()::text')
    const { rows } = await database.query<{ first_version: string }>(INCARNATION)
    const candidate: Identity = { team, holder, incarnation: Number(rows[0]?.first_version) }
    const result = (await transport.claim?.(candidate)) ?? { status: 'granted', highestVersion: 0 }
    if (result.status === 'refused') {
      const first = refusal === undefined
      refusal = new CloneOfLiveDatabase({ team, holder: result.incumbent.holder, seconds: Math.round(result.silentFor / 1000) })
      if (first) logEvent(logger, 'comity.clone', { holder: result.incumbent.holder, error: refusal })
      identity = undefined
      epoch.abort()
      return 'idle'
    }
    // A history that was lost, and a clock that is behind it: never draw a number that the broker has seen already.
    if (identity?.incarnation !== candidate.incarnation && result.highestVersion > candidate.incarnation)
      await database.query(PASS_HIGHEST, [String(result.highestVersion)])
    if (epoch.signal.aborted) epoch = new AbortController()
    identity = candidate
    refusal = undefined
    for (const resolve of waiting) resolve()
    waiting.clear()
    return 'idle'
  }

  const base = loop({ name: `clearance of ${team}`, poll: { min: 1000, max: HEARTBEAT }, runOnce, clock, logger })
  return Object.defineProperties(base, {
    identity: { get: () => identity },
    refusal: { get: () => refusal },
    cleared: {
      async value(signal: AbortSignal): Promise<AbortSignal> {
        if (identity === undefined && !signal.aborted) {
          await new Promise<void>((resolve) => {
            waiting.add(resolve)
            signal.addEventListener('abort', () => resolve(), { once: true })
          })
        }
        return AbortSignal.any([signal, epoch.signal])
      },
    },
  }) as Clearance
}
