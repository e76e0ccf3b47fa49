import { ComityError } from '@comity/contract'
import {
  backoff,
  type Clock,
  type Duration,
  type Logger,
  type Loop,
  loop,
  parseDuration,
  silentLogger,
  systemClock,
} from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import { acquireLease, type Lease } from '../postgres/lease.ts'
import type { Fence, SendResult, Transport } from '../transport/transport.ts'
import { CheckpointRefused, RelayFenced } from './errors.ts'
import { OutboxReader, type OutboxRow } from './outbox-reader.ts'
import { messageOf, type Route } from './outgoing-message.ts'
import { sendWithinLimits } from './sending.ts'
import { type Prepared, type WithheldRow, Withholding, type WithholdReason } from './withholding.ts'

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
}

export interface PublishedContracts {
  /** Where a contract's messages go: one topic, or one for each audience with what that audience may see. Undefined = unknown. */
  routesOf(contract: string): readonly Route[] | undefined
  /** Why a row can't be published, or undefined if it can. Rows that our own `publish` has checked are not asked about. */
  judge(row: OutboxRow): WithholdReason | undefined
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
  /** What the database says this team publishes; asked when leading begins, and when a row of an unknown contract is met. */
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

export function relay(options: RelayOptions): Relay {
  const { team, database, transport, clock = systemClock, logger = silentLogger, batch = 1000 } = options
  const outbox = new OutboxReader(database)
  const withholding = new Withholding(database)
  const renewBelow = parseDuration(options.lease ?? '15s', 'relay.lease') * 0.6
  /** Held while leading. */
  let lease: Lease | undefined
  let checkpoint = 0
  let limit = batch
  let observedAt = Number.NEGATIVE_INFINITY
  let inFlight: Promise<void> | undefined
  let contracts: PublishedContracts
  /** Read and not yet sent or withheld; the checkpoint stays below the first of them. */
  let unsettled: readonly OutboxRow[][] = []
  let drainedWaiters: (() => void)[] = []
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
    const identity = options.identity()
    if (identity === undefined) follow('not cleared to send')
    if (identity === undefined || !(await lead())) return 'idle'
    try {
      let found: 'busy' | 'idle' = 'idle'
      for (let full = true; full && !signal.aborted && (await keep()); ) {
        const asked = limit
        const rows = await outbox.read(asked)
        limit = nextLimit(asked, rows, batch)
        await inFlight
        if (rows.length > 0) {
          found = 'busy'
          unsettled = [...unsettled, [...rows]]
          inFlight = deliver(rows, { ...identity, term: (lease as Lease).term }, signal)
          inFlight.catch(() => undefined)
        }
        full = rows.length === asked
        await settle()
      }
      return found
    } catch (error) {
      follow(error instanceof Error ? error.message : String(error))
      throw error
    }
  }

  async function lead(): Promise<boolean> {
    if (lease !== undefined) return keep()
    const acquired = await acquireLease(database, { name: 'relay', holder: options.holder, duration: options.lease ?? '15s', clock })
    if (acquired === undefined) return false
    await database.query('select comity.notice_incarnation()::text')
    const { rows } = await database.query<{ id: string }>(`select id::text as id from comity.checkpoint where source = 'outbox'`)
    checkpoint = Number(rows[0]?.id ?? 0)
    outbox.reset(checkpoint)
    await withholding.load()
    contracts = await options.contracts()
    unsettled = []
    inFlight = undefined
    lease = acquired
    logger.info({ team, term: lease.term, checkpoint }, 'leading: relaying from the checkpoint')
    return true
  }

  /** Renews in time. Answers false, and follows, when the lease is lost. */
  async function keep(): Promise<boolean> {
    if (lease === undefined) return false
    const valid = lease.validFor()
    if (valid > 0 && (valid > renewBelow || (await lease.renew()))) return true
    follow('the lease was lost')
    return false
  }

  function follow(why: string): void {
    if (lease === undefined) return
    logger.info({ team, term: lease.term, why }, 'not leading any more')
    void lease.release().catch(() => undefined)
    lease = undefined
    inFlight = undefined
  }

  /** Sends one batch, topic by topic at the same time, and records what is withheld of it. */
  async function deliver(rows: readonly OutboxRow[], fence: Fence, signal: AbortSignal): Promise<void> {
    const withheld: WithheldRow[] = []
    const held = new Map<string, number>()
    const topics = new Map<string, Prepared[]>()
    if (rows.some((row) => contracts.routesOf(row.topic) === undefined)) contracts = await options.contracts()
    for (const row of rows) {
      const reason = judge(row, held) ?? prepare(row, topics)
      if (reason === undefined) continue
      withheld.push({ row, ...reason })
      if (row.kind === 'event') held.set(`${row.topic} ${row.key}`, row.id)
    }
    const refused = await Promise.all([...topics].map(([topic, prepared]) => sendUntilStored(topic, prepared, fence, signal)))
    withheld.push(...refused.flat())
    withheld.sort((a, b) => a.row.id - b.row.id)
    await withholding.record(withheld)
    const gone = new Set(withheld.map((w) => w.row.id))
    await withholding.supersede(gone.size === 0 ? rows : rows.filter((row) => !gone.has(row.id)))
    progress.sent += rows.length - gone.size
    progress.withheld += gone.size
    unsettled = unsettled.filter((waiting) => waiting[0] !== rows[0])
  }

  function judge(row: OutboxRow, held: ReadonlyMap<string, number>): WithholdReason | undefined {
    const follows = row.kind === 'event' ? (held.get(`${row.topic} ${row.key}`) ?? withholding.heldBy(row)) : undefined
    if (follows !== undefined)
      return { code: 'COMITY_FOLLOWS_WITHHELD', reason: `an earlier event of this key is withheld (${follows})`, follows }
    if (contracts.routesOf(row.topic) === undefined)
      return { code: 'COMITY_NOT_PUBLISHED_HERE', reason: `the database does not know ${row.topic}: run "comity migrate"` }
    return row.checked ? undefined : contracts.judge(row)
  }

  /** Adds the row's messages to their topics; or says why it can't be a message, for no row may stop the relay. */
  function prepare(row: OutboxRow, topics: Map<string, Prepared[]>): WithholdReason | undefined {
    try {
      const routes = contracts.routesOf(row.topic) ?? []
      const made = routes.map((route) => [route.topic, { row, message: messageOf(team, row, route) }] as const)
      for (const [topic, prepared] of made) {
        const sameTopic = topics.get(topic)
        if (sameTopic) sameTopic.push(prepared)
        else topics.set(topic, [prepared])
      }
      return undefined
    } catch (error) {
      const reason = error instanceof ComityError ? error.message.split('\n', 1)[0] : undefined
      return { code: 'COMITY_INVALID_DATA', reason: reason ?? 'its headers or its payload are not JSON' }
    }
  }

  /** Resolves when the transport has stored each message or said that it never will; those come back as withheld. */
  async function sendUntilStored(topic: string, prepared: readonly Prepared[], fence: Fence, signal: AbortSignal): Promise<WithheldRow[]> {
    const messages = prepared.map((one) => one.message)
    for (let failures = 0; ; ) {
      try {
        const results = await sendWithinLimits(transport, topic, messages, { fence })
        if (results.some((result) => result.status === 'stale')) throw new RelayFenced({ team })
        progress.troubleSince = undefined
        return results.flatMap((result, i) => refusal(result, (prepared[i] as Prepared).row) ?? [])
      } catch (error) {
        if (error instanceof RelayFenced || signal.aborted || !(await keep())) throw error
        progress.troubleSince ??= clock.now()
        logger.warn({ team, topic, failures, error: (error as Error).message }, 'the broker did not take a batch; sending it again')
        await clock.sleep(backoff(failures++, { min: 50, max: 5000 }) + 10, signal)
      }
    }
  }

  /** Moves the checkpoint to where everything is settled: never past a version that may still appear, or is not sent yet. */
  async function settle(): Promise<void> {
    const firstUnsettled = unsettled[0]?.[0]?.id ?? Number.POSITIVE_INFINITY
    const target = Math.min(outbox.settled, firstUnsettled - 1)
    if (target > checkpoint) {
      const { rows } = await database.query<{ id: string }>(MOVE_CHECKPOINT, [String(target), String(lease?.term)])
      if (rows.length === 0) throw new CheckpointRefused({ term: lease?.term ?? 0 })
      checkpoint = target
    }
    if (clock.monotonic() - observedAt < (outbox.unsettled ? OBSERVE_BUSY : OBSERVE_IDLE)) return
    observedAt = clock.monotonic()
    if (!(await outbox.observe())) follow('the database has begun another life')
  }

  /** A clean stop waits for the batch in flight, moves the checkpoint past it, and lets the next leader start at once. */
  async function stopLeading(): Promise<void> {
    if (lease === undefined) return
    await inFlight?.then(settle).catch(() => undefined)
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

/** Large payloads make batches short, so that two of them always fit into memory. */
function nextLimit(limit: number, rows: readonly OutboxRow[], most: number): number {
  const characters = rows.reduce((sum, row) => sum + (row.payload?.length ?? 0), 0)
  return characters > BATCH_CHARACTERS ? Math.max(1, limit >> 2) : Math.min(most, limit * 2)
}
const BATCH_CHARACTERS = 4_000_000

function refusal(result: SendResult, row: OutboxRow): WithheldRow | undefined {
  if (result.status === 'refused') return { row, code: 'COMITY_REFUSED_BY_BROKER', reason: result.reason }
  if (result.status === 'blocked')
    return { row, code: 'COMITY_FOLLOWS_WITHHELD', reason: 'an earlier message of this key was refused by the broker' }
  return undefined
}
