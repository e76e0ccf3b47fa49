import {
  type Clock,
  type Duration,
  type Logger,
  type Loop,
  logEvent,
  loop,
  Pulse,
  parseDuration,
  silentLogger,
  systemClock,
} from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import { acquireLease, type Lease } from '../postgres/lease.ts'
import type { Fence, Transport } from '../transport/transport.ts'
import { type Batch, Delivery, type PublishedContracts } from './delivery.ts'
import { CheckpointRefused } from './errors.ts'
import { HandedOver } from './handed-over.ts'
import { OutboxReader, type OutboxRow } from './outbox-reader.ts'
import { Withholding } from './withholding.ts'

/**
 * The relay: outbox → transport, a pipe. One process of a team has the lease and leads; the others wait for it.
 *
 *   following ──lease acquired──▶ leading ──lease lost, fenced, checkpoint refused, another life of the database──▶ following
 *
 * Leading starts from the durable checkpoint, so what was sent after it is sent again, in the same order, with the
 * same ids. While one batch is in flight the next is read: one event a batch when quiet, a thousand under load.
 * A transport that fails as a whole gets the same batch again, in order, until it takes it; a failing database ends the turn.
 */
export interface Relay extends Loop {
  /** For `status`: whether this process leads, and how far it is. */
  readonly progress: RelayProgress
  /** Resolves when everything committed before this call has been sent or withheld. Only in the process that leads. */
  drained(): Promise<void>
  /** Moves the checkpoint as far as it can go, soon: somebody waits for it where nothing is published. */
  settleSoon(): void
  /** Beats with every turn and every batch, also with one that the broker did not take. */
  readonly pulse: Pulse
}

export interface RelayProgress {
  readonly leading: boolean
  readonly term: number
  readonly checkpoint: number
  readonly sent: number
  readonly withheld: number
  /** Since when the broker does not take messages; undefined while it does. */
  readonly troubleSince: Date | undefined
}

export interface RelayOptions {
  readonly team: string
  readonly database: Queryable
  readonly transport: Transport
  /** This process, unique per start. */
  readonly holder: string
  /** How long another process waits after this one died. Default '15s'. */
  readonly lease?: Duration
  /** Who sends; undefined while this team may not send at all (not cleared yet, or a clone). */
  readonly identity: () => Omit<Fence, 'term'> | undefined
  /** Asked with the lease in hand, before anything is sent; false = another process must relay. */
  readonly admitted?: () => Promise<boolean>
  /** What the database says this team publishes; asked when rows are met that may be of other registrations. */
  readonly contracts: () => Promise<PublishedContracts>
  /** Messages a batch. Default 1000. */
  readonly batch?: number
  readonly poll?: { readonly min: number; readonly max: number }
  readonly clock?: Clock
  readonly logger?: Logger
}

const MOVE_CHECKPOINT = `
  update comity.checkpoint set id = $1::text::bigint, term = $2::text::bigint, moved_at = clock_timestamp()
  where source = 'outbox' and term <= $2::text::bigint returning id::text as id`

/* With the new term, so that a leader that lost its lease can't move what was read here; it may not have written anything yet. */
const TAKE_CHECKPOINT = `
  update comity.checkpoint set term = $1::text::bigint where source = 'outbox' and term <= $1::text::bigint returning id::text as id`

export function relay(options: RelayOptions): Relay {
  const { team, database, transport, clock = systemClock, logger = silentLogger, batch = 1000 } = options
  const outbox = new OutboxReader(database)
  const withholding = new Withholding(database)
  const handedOver = new HandedOver(database)
  const delivery = new Delivery({
    ...{ team, transport, withholding, handedOver, clock, logger, contracts: options.contracts },
    leads: () => keep(),
    onTrouble(error) {
      progress.troubleSince = error === undefined ? undefined : (progress.troubleSince ?? clock.now())
    },
  })
  const renewBelow = parseDuration(options.lease ?? '15s', 'relay.lease') * 0.6
  /** Held while leading. */
  let lease: Lease | undefined
  let checkpoint = 0
  let observedAt = Number.NEGATIVE_INFINITY
  let refusedAt = Number.NEGATIVE_INFINITY
  let inFlight: Promise<void> | undefined
  /** Read and not yet sent or withheld; the checkpoint stays below the first of them. */
  let unsettled: readonly OutboxRow[][] = []
  let drainedWaiters: (() => void)[] = []
  const pulse = new Pulse(clock)
  const progress = { sent: 0, withheld: 0, troubleSince: undefined as Date | undefined }

  async function runOnce(signal: AbortSignal): Promise<'busy' | 'idle'> {
    const waiters = drainedWaiters
    drainedWaiters = []
    const found = await turn(signal).catch((error: unknown) => {
      drainedWaiters.push(...waiters)
      throw error
    })
    if (found === 'idle' && lease !== undefined) for (const resolve of waiters) resolve()
    else drainedWaiters.push(...waiters)
    return found
  }

  async function turn(signal: AbortSignal): Promise<'busy' | 'idle'> {
    pulse.beat()
    const identity = options.identity()
    if (identity === undefined) follow('not cleared to send')
    if (identity === undefined || !(await lead())) return 'idle'
    try {
      let found: 'busy' | 'idle' = 'idle'
      for (let more = true; more && !signal.aborted && (await keep()); ) {
        const read = await outbox.read(batch)
        await inFlight
        if (read.rows.length > 0) {
          found = 'busy'
          send(read, identity, signal)
        }
        more = !read.complete
        await settle(identity, signal)
      }
      return found
    } catch (error) {
      follow(error instanceof Error ? error.message : String(error))
      throw error
    }
  }

  async function lead(): Promise<boolean> {
    if (lease !== undefined) return keep()
    if (clock.monotonic() - refusedAt < ASK_AGAIN) return false
    const acquired = await acquireLease(database, { name: 'relay', holder: options.holder, duration: options.lease ?? '15s', clock })
    if (acquired === undefined) return false
    if (options.admitted !== undefined && !(await options.admitted())) {
      refusedAt = clock.monotonic()
      await acquired.release()
      return false
    }
    await database.query('select comity.notice_incarnation()::text')
    await database.query('select comity.note_lost_history()::text')
    const { rows } = await database.query<{ id: string }>(TAKE_CHECKPOINT, [String(acquired.term)])
    if (rows[0] === undefined) throw new CheckpointRefused({ term: acquired.term })
    checkpoint = Number(rows[0].id)
    outbox.reset(checkpoint)
    await withholding.load()
    await handedOver.load()
    unsettled = []
    inFlight = undefined
    lease = acquired
    logEvent(logger, 'comity.relay.leading', { term: lease.term, checkpoint })
    return true
  }

  /** Renews in time. Answers false, and follows, when the lease is lost. */
  async function keep(): Promise<boolean> {
    pulse.beat()
    if (lease === undefined) return false
    const valid = lease.validFor()
    if (valid > 0 && (valid > renewBelow || (await lease.renew()))) return true
    follow('the lease was lost')
    return false
  }

  function follow(why: string): void {
    if (lease === undefined) return
    logEvent(logger, 'comity.relay.following', { term: lease.term, reason: why })
    void lease.release().catch(() => undefined)
    lease = undefined
    inFlight = undefined
  }

  function send(read: Batch, identity: Omit<Fence, 'term'>, signal: AbortSignal): void {
    const { rows } = read
    unsettled = [...unsettled, [...rows]]
    inFlight = delivery.deliver(read, { ...identity, term: (lease as Lease).term }, signal).then((stored) => {
      progress.sent += stored.length
      progress.withheld += rows.length - stored.length
      unsettled = unsettled.filter((waiting) => waiting[0] !== rows[0])
    })
    inFlight.catch(() => undefined)
  }

  /** Moves the checkpoint to where everything is settled: never past a version that may still appear, or is not sent yet. */
  async function settle(identity: Omit<Fence, 'term'>, signal: AbortSignal): Promise<void> {
    await moveCheckpoint()
    if (clock.monotonic() - observedAt < (outbox.unsettled ? OBSERVE_BUSY : OBSERVE_IDLE)) return
    observedAt = clock.monotonic()
    if (!(await outbox.observe())) return follow('the database has begun another life')
    if (await withholding.isRetryAsked()) await retry(identity, signal)
  }

  /** Sends again what was withheld, where somebody has asked for it: between two batches, so that nothing of its keys passes it. */
  async function retry(identity: Omit<Fence, 'term'>, signal: AbortSignal): Promise<void> {
    await inFlight
    const rows = await withholding.retried(batch)
    const again = { rows, registrationMark: undefined }
    const stored = await delivery.deliver(again, { ...identity, term: (lease as Lease).term }, signal)
    await withholding.retriedWith(rows, stored)
    progress.sent += stored.length
  }

  async function moveCheckpoint(): Promise<void> {
    const firstUnsettled = unsettled[0]?.[0]?.id ?? Number.POSITIVE_INFINITY
    const target = Math.min(outbox.settled, firstUnsettled - 1)
    if (target <= checkpoint) return
    const { rows } = await database.query<{ id: string }>(MOVE_CHECKPOINT, [String(target), String(lease?.term)])
    if (rows.length === 0) throw new CheckpointRefused({ term: lease?.term ?? 0 })
    checkpoint = target
  }

  /** A clean stop waits for the batch in flight, moves the checkpoint past it, and lets the next leader start at once. */
  async function stopLeading(): Promise<void> {
    if (lease === undefined) return
    await inFlight?.then(moveCheckpoint).catch(() => undefined)
    const held = lease
    follow('stopped')
    await held?.release().catch(() => undefined)
  }

  const base = loop({ name: `relay of ${team}`, poll: options.poll ?? { min: 5, max: 250 }, logger, clock, runOnce })
  const stop = base.stop.bind(base)
  return Object.defineProperties(base, {
    drained: {
      value(): Promise<void> {
        return new Promise((resolve) => {
          drainedWaiters.push(resolve)
          base.wake()
        })
      },
    },
    settleSoon: {
      value() {
        observedAt = Number.NEGATIVE_INFINITY
        base.wake()
      },
    },
    pulse: { value: pulse },
    progress: { get: (): RelayProgress => ({ leading: lease !== undefined, term: lease?.term ?? 0, checkpoint, ...progress }) },
    stop: {
      async value() {
        await stop()
        await stopLeading()
      },
    },
  }) as Relay
}

/** Between two looks at the running transactions, in milliseconds: the checkpoint is not urgent, pg_locks is not free. */
const OBSERVE_BUSY = 100
/** When everything is settled, they are looked at only to notice another life of the database. */
const OBSERVE_IDLE = 5000
/** After it was not admitted, in milliseconds: others want the lease. */
const ASK_AGAIN = 5000
