import type { ContractDescription } from '@comity/contract'
import { bucketOf } from '@comity/contract'
import { backoff, type Clock, type Logger, logEvent, type Service, service, silentLogger, systemClock } from '../foundation/index.ts'
import type { Database } from '../postgres/database.ts'
import type { Delivery, DeliveryResult, IncomingMessage, Transport } from '../transport/transport.ts'
import type { Consumer } from './consumer.ts'
import { LagUnknown, NothingWaits, NotRegistered } from './errors.ts'
import { describeError } from './failure.ts'
import { Handover } from './handover.ts'
import { LaneQueue, type RetryPolicy } from './lane.ts'
import { type Message, type Outcome, readMessage } from './message.ts'
import type { Permit } from './permits.ts'
import { type LineRun, runLine } from './waiting-line.ts'

/**
 * One subscription of a team in this process: `verify → decode → lane → dedupe → handle → record → acknowledge`.
 * The transport delivers; a lane per key hash keeps the order; the consumer (a handler or a replica) does the work in
 * the lane's transaction; only what is committed is acknowledged.
 */
export interface Subscription extends Service {
  readonly progress: SubscriptionProgress
  /**
   * Resolves when everything that was sent to the topic before this call has ended here, in any process.
   * What waits is not caught up: its count is answered.
   */
  caughtUp(options?: { readonly signal?: AbortSignal }): Promise<{ readonly waiting: number }>
  /** Runs the line of a key again, in order, until it is empty or its head fails. */
  retry(key: string): Promise<LineRun>
  /** Runs every line whose head waits for something that had not arrived. @returns messages that ended */
  retryNotYet(signal: AbortSignal): Promise<number>
}

export interface SubscriptionProgress {
  /** Delivered and not ended, in this process. */
  readonly inFlight: number
  readonly ended: Readonly<Record<Outcome, number>>
  /** Since when the broker can't be reached; undefined while it can. */
  readonly troubleSince: Date | undefined
}

export interface SubscriptionOptions<Tx> {
  /** `<team>.<name>`, as in the database. */
  readonly name: string
  /** The broker's name for it; differs where a namespace prefixes it. */
  readonly brokerName?: string
  readonly contract: ContractDescription
  readonly database: Database<Tx>
  readonly transport: Transport
  readonly consumer: Consumer<Tx>
  /** When a transaction may begin. Default: at once. */
  readonly permit?: Permit
  /** Waits until this process may receive; the signal that it answers aborts when it no longer may. */
  readonly cleared?: (signal: AbortSignal) => Promise<AbortSignal>
  readonly retry?: RetryPolicy
  /** Most messages delivered and not ended. Default: 1000 for a handler, 8000 for a replica. */
  readonly prefetch?: number
  readonly clock?: Clock
  readonly logger?: Logger
}

/** A subscription's row, which "comity migrate" makes. */
interface Registered {
  readonly lanes: number
  readonly generation: number
}

/** Five tries within half a minute, then the line. */
const RETRY: RetryPolicy = { attempts: 5, wait: { min: 200, max: 8000 } }

export function subscription<Tx>(options: SubscriptionOptions<Tx>): Subscription {
  const { name, contract, database, transport, consumer, clock = systemClock, logger = silentLogger } = options
  const { permit = (work) => work(), retry: policy = RETRY } = options
  const brokerName = options.brokerName ?? name
  const ended: Record<Outcome, number> = { applied: 0, duplicate: 0, stale: 0, waiting: 0, discarded: 0 }
  let lanes: LaneQueue<Tx>[] = []
  let registered: Registered | undefined
  let troubleSince: Date | undefined

  const read = (message: IncomingMessage): Message => readMessage(message, contract)

  async function run(signal: AbortSignal): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(Promise.all(lanes.map((lane) => lane.close())).then(() => undefined)), { once: true })
    })
    for (let failures = 0; !signal.aborted; ) {
      try {
        const mayReceive = (await options.cleared?.(signal)) ?? signal
        await open(signal)
        failures = 0
        await transport.receive(brokerName, dispatch, {
          signal: mayReceive,
          prefetch: options.prefetch ?? (consumer.kind === 'replica' ? 8000 : 1000),
          onTrouble(error) {
            troubleSince = error === undefined ? undefined : (troubleSince ?? clock.now())
            if (error) logEvent(logger, 'comity.subscription.broker_lost', { subscription: name, error: describeError(error) })
            else logEvent(logger, 'comity.subscription.broker_back', { subscription: name })
          },
        })
      } catch (error) {
        if (signal.aborted) break
        troubleSince ??= clock.now()
        logEvent(logger, 'comity.subscription.stopped_receiving', { subscription: name, error: describeError(error) })
        await clock.sleep(backoff(failures++, { min: 100, max: 10_000 }) + 50, signal)
      }
    }
    await closed
  }

  async function registration(): Promise<Registered> {
    const { rows } = await database.query<Registered>('select lanes, generation from comity.subscriptions where name = $1::text', [name])
    if (rows[0] === undefined) throw new NotRegistered({ subscription: name })
    return rows[0]
  }

  async function open(signal: AbortSignal): Promise<void> {
    if (lanes.length > 0) return
    const { lanes: count, generation } = await registration()
    lanes = Array.from(
      { length: count },
      (_, lane) =>
        new LaneQueue<Tx>({
          ...{ subscription: name, lane, generation, database, permit, consumer },
          read: (delivery) => read(delivery.message),
          retry: policy,
          signal,
          clock,
          logger,
          onEnded: (_delivery, outcome) => {
            ended[outcome]++
          },
        }),
    )
  }

  function dispatch(deliveries: readonly Delivery[]): Promise<readonly DeliveryResult[]> {
    const handover = new Handover(deliveries)
    for (const [index, delivery] of deliveries.entries()) {
      const lane = lanes[bucketOf(delivery.message.key, lanes.length)] as LaneQueue<Tx>
      lane.push(handover, index)
    }
    return handover.results
  }

  async function caughtUp({ signal }: { readonly signal?: AbortSignal } = {}): Promise<{ waiting: number }> {
    if (transport.stats === undefined) throw new LagUnknown({ transport: transport.name })
    for (let turn = 0; !signal?.aborted; turn++) {
      const [stats] = await transport.stats([brokerName])
      if (stats === undefined || stats.backlog === 0) break
      await clock.sleep(Math.min(100, 2 ** Math.min(turn, 6)), signal)
    }
    const { rows } = await database.query<{ waiting: number }>(
      `select count(*)::int as waiting from comity.waiting_keys k join comity.waiting w
         on w.subscription = k.subscription and w.key = k.key and w.seq > k.done where k.subscription = $1::text`,
      [name],
    )
    return { waiting: rows[0]?.waiting ?? 0 }
  }

  async function retry(key: string, signal: AbortSignal = new AbortController().signal): Promise<LineRun> {
    // Also before this process may receive: a line needs no broker.
    registered ??= await registration()
    const lane = { subscription: name, lane: bucketOf(key, registered.lanes), database, permit }
    return runLine({ lane, key, consumer, read, attempts: policy.attempts, clock, signal })
  }

  async function retryNotYet(signal: AbortSignal): Promise<number> {
    const { rows } = await database.query<{ key: string }>(
      `select key from comity.waiting_keys where subscription = $1::text and reason = 'not-yet' order by tried_at limit $2::int`,
      [name, LINES],
    )
    let ran = 0
    for (const { key } of rows) {
      if (signal.aborted) break
      try {
        ran += (await retry(key, signal)).ran
      } catch (error) {
        if (!(error instanceof NothingWaits)) throw error // another process was faster
      }
    }
    return ran
  }

  const base = service({ name: `subscription ${name}`, run })
  return Object.defineProperties(base, {
    progress: {
      get: (): SubscriptionProgress => ({ inFlight: lanes.reduce((sum, lane) => sum + lane.size, 0), ended: { ...ended }, troubleSince }),
    },
    caughtUp: { value: caughtUp },
    retry: { value: (key: string) => retry(key) },
    retryNotYet: { value: retryNotYet },
  }) as Subscription
}

/** Lines in one turn of retryNotYet. */
const LINES = 100
