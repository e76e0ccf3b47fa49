import { bucketOf } from '@comity/contract'
import { backoff, logEvent, type Service, service, silentLogger, systemClock } from '../foundation/index.ts'
import type { HandOver } from '../transport/marks.ts'
import type { IncomingMessage } from '../transport/transport.ts'
import { Breaker, type Sample } from './breaker.ts'
import { LagUnknown, PausedMeanwhile } from './errors.ts'
import { describeError, isUnfit } from './failure.ts'
import { type LineRun, type LineRunner, runLine } from './line-run.ts'
import { Lines } from './lines.ts'
import { type Message, type Outcome, readMessage } from './message.ts'
import { noteHandOver } from './owners.ts'
import { Pace } from './pace.ts'
import type { Permit } from './permits.ts'
import { claimProbe, closeBreaker, ENOUGH, openBreaker, TRY_LASTS, Tries } from './probe.ts'
import { Rate } from './rate.ts'
import { type Registered, registrationOf } from './registration.ts'
import { RETRY } from './retry-policy.ts'
import { finishSeek } from './seek.ts'
import { Session } from './session.ts'
import type { SubscriptionOptions } from './subscription-options.ts'
import type { Desired, SubscriptionProgress } from './subscription-progress.ts'
import { TenantShares } from './tenant-shares.ts'

/**
 * One subscription of a team in this process: `verify → decode → lane → dedupe → handle → record → acknowledge`.
 * The transport delivers; a lane per key hash keeps the order; the consumer (a handler or a replica) does the work in
 * the lane's transaction; only what is committed is acknowledged.
 *
 *   looking ──nothing in the way──▶ receiving (a session) ──paused, sent back, lost──▶ looking
 *      ├──its row names a place──▶ the broker's position goes there ──▶ looking
 *      └──paused──▶ waiting; by the breaker: now and then a session that takes one message at a time ──▶ looking
 */
export interface Subscription extends Service {
  readonly progress: SubscriptionProgress
  /**
   * Resolves when everything that was sent to the topic before this call has ended here, in any process.
   * What waits is not caught up: its count is answered.
   */
  caughtUp(options?: { readonly signal?: AbortSignal }): Promise<{ readonly waiting: number }>
  /** Runs the line of a key again, in order, until it is empty or its head fails. */
  retry(key: string, signal?: AbortSignal): Promise<LineRun>
  /** Lines that go on by themselves: what has arrived meanwhile, the end of a pause, room for a tenant. */
  readonly lines: Lines
  /** What the database says now: a session that it contradicts is over. */
  heed(desired: Desired): void
  /** The owner says that another team speaks for its entity from now on: resolves when that counts here. */
  changeHands(handOver: HandOver): Promise<void>
  /** The counts of all processes: too many failures open the breaker. */
  observe(sample: Sample): Promise<void>
}

export function subscription<Tx>(options: SubscriptionOptions<Tx>): Subscription {
  const { name, contract, database, transport, consumer, clock = systemClock, logger = silentLogger } = options
  const { permit = (work) => work(), retry: policy = RETRY } = options
  const prefetch = options.prefetch ?? (consumer.kind === 'replica' ? 8000 : 1000)
  const shares = new TenantShares({ prefetch, rate: options.tenantRate, clock })
  const pace = new Pace({ most: consumer.batch, lasts: consumer.kind === 'replica' ? Number.POSITIVE_INFINITY : BATCH_LASTS, clock })
  const rate = options.rate === undefined ? undefined : new Rate(options.rate, clock)
  const breaker = options.breaker === undefined ? undefined : new Breaker(options.breaker, clock)
  const tries = new Tries()
  const ended: Record<Outcome, number> = { applied: 0, duplicate: 0, stale: 0, waiting: 0, discarded: 0 }
  let session: Session<Tx> | undefined
  let pausedTenants: ReadonlySet<string> = new Set()
  let pausedBy: 'operator' | 'breaker' | undefined
  let registered: Registered | undefined
  let lastEndedAt: Date | undefined
  let troubleSince: Date | undefined

  const read = (message: IncomingMessage): Message => readMessage(message, contract, registered?.handOvers)

  async function run(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; ) {
      try {
        const mayReceive = (await options.cleared?.(signal)) ?? signal
        if (signal.aborted) break
        const row = await registration()
        pausedBy = row.pausedBy ?? undefined
        if (row.seek !== null) await finishSeek(database, transport, { name, brokerName: brokerNameOf(row), logger })
        else if (pausedBy === undefined) await receive(row, mayReceive, 'all')
        else if (pausedBy === 'breaker' && (await claimProbe(database, name))) await receive(row, mayReceive, 'probe')
        else await clock.sleep(LOOK_AGAIN, signal)
        failures = 0
      } catch (error) {
        if (signal.aborted) break
        troubleSince ??= clock.now()
        logEvent(logger, 'comity.subscription.stopped_receiving', { subscription: name, error: describeError(error) })
        await clock.sleep(backoff(failures++, { min: 100, max: 10_000 }) + 50, signal)
      }
    }
  }

  async function registration(): Promise<Registered> {
    registered = await registrationOf(database, name)
    return registered
  }

  function brokerNameOf(row: Registered): string {
    return row.brokerName ?? options.brokerName ?? name
  }

  async function receive(row: Registered, signal: AbortSignal, what: 'all' | 'probe'): Promise<void> {
    const probing = what === 'probe'
    if (probing) tries.begin()
    else tries.reset()
    const mine = new Session<Tx>(
      {
        ...{
          subscription: name,
          lanes: row.lanes,
          generation: row.generation,
          database,
          permit,
          consumer,
          shares,
          pace,
          rate,
          clock,
          logger,
        },
        read: (delivery) => read(delivery.message),
        retry: policy,
        probing,
        replayedUntil: row.replayedUntil ?? undefined,
        mayBegin,
        onEnded({ message }, outcome, error) {
          if (outcome === 'waiting' && isUnfit(error)) lines.unreadable(message.key, message.id)
          ended[outcome]++
          lastEndedAt = clock.now()
          if (probing && tries.ended(outcome)) mine.end()
        },
        onFailed() {
          if (probing && tries.failed()) mine.end()
        },
      },
      signal,
    )
    session = mine
    if (probing)
      void clock.sleep(TRY_LASTS, mine.signal).then(() => {
        if (!mine.signal.aborted && tries.lasted()) mine.end()
      })
    // Nobody says that it works again after receiving itself had failed; it is seen by lasting.
    let lost = false
    void clock.sleep(LASTING, mine.signal).then(() => {
      if (!mine.signal.aborted && !lost) troubleSince = undefined
    })
    try {
      await transport.receive(brokerNameOf(row), mine.dispatch, {
        signal: mine.signal,
        prefetch: probing ? ENOUGH : prefetch,
        ...(options.prefetchBytes === undefined ? {} : { prefetchBytes: options.prefetchBytes }),
        onTrouble(error) {
          lost = error !== undefined
          troubleSince = error === undefined ? undefined : (troubleSince ?? clock.now())
          if (error) logEvent(logger, 'comity.subscription.broker_lost', { subscription: name, error: describeError(error) })
          else logEvent(logger, 'comity.subscription.broker_back', { subscription: name })
        },
      })
    } finally {
      mine.end()
      await mine.closed
      session = undefined
    }
    if (!probing || !tries.proven) return
    await closeBreaker(database, name)
    logEvent(logger, 'comity.breaker.closed', { subscription: name })
  }

  function mayBegin({ envelope: { tenant } }: Message): void {
    if (tenant !== undefined && pausedTenants.has(tenant)) throw new PausedMeanwhile({ subscription: name })
  }

  function heed(desired: Desired): void {
    pausedTenants = desired.pausedTenants
    // What was before a pause says nothing about what comes after it.
    if (desired.pausedBy !== undefined) breaker?.reset()
    shares.processes = desired.processes
    if (rate !== undefined) rate.perSecond = (options.rate as number) / desired.processes
    // Where it fails, the next look does it.
    if (registered !== undefined && desired.handOvers !== registered.handOvers.length) void heedOwners().catch(() => undefined)
    if (session === undefined) return
    const other = desired.generation !== session.generation || desired.seeking || desired.brokerName !== registered?.brokerName
    if (other || desired.pausedBy === 'operator' || (desired.pausedBy === 'breaker' && pausedBy === undefined)) session.end()
  }

  async function changeHands(handOver: HandOver): Promise<void> {
    await noteHandOver(database, name, contract, handOver, logger)
    await heedOwners()
  }

  /** What could not be read because of them is tried again. */
  async function heedOwners(): Promise<void> {
    const { handOvers } = await registrationOf(database, name)
    if (registered !== undefined) registered = { ...registered, handOvers }
    lines.forget()
  }

  async function observe(sample: Sample): Promise<void> {
    const reason = breaker?.observe(sample)
    if (reason === undefined) return
    breaker?.reset()
    if (await openBreaker(database, name, reason)) logEvent(logger, 'comity.breaker.opened', { subscription: name, reason })
    session?.end()
  }

  async function caughtUp({ signal }: { readonly signal?: AbortSignal } = {}): Promise<{ waiting: number }> {
    if (transport.stats === undefined) throw new LagUnknown({ transport: transport.name })
    const brokerName = brokerNameOf(registered ?? (await registration()))
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

  const runner = (lane: number, signal: AbortSignal, inTurn: Permit): LineRunner<Tx> => ({
    lane: { subscription: name, lane, database, permit: inTurn },
    replayed: registered && { generation: registered.generation, until: registered.replayedUntil ?? undefined },
    ...{ consumer, read, attempts: policy.attempts, decide: policy.decide, clock, signal },
  })

  async function retry(key: string, signal: AbortSignal = new AbortController().signal): Promise<LineRun> {
    // Also before this process may receive: a line needs no broker.
    const { lanes } = registered ?? (await registration())
    // Behind all who wait now, before all who come later.
    const inTurn: Permit = (work) => {
      const turn = shares.newestTurn
      return permit(work, () => turn)
    }
    return runLine(runner(bucketOf(key, lanes), signal, inTurn), key)
  }

  /** As if a message of this tenant had come. */
  const inTurnOf =
    (tenant: string): Permit =>
    (work) =>
      permit(
        () => {
          shares.served(tenant)
          return work()
        },
        () => shares.turnOf(tenant),
      )

  const lines = new Lines<Tx>({
    subscription: name,
    database,
    runner: (lane, signal, tenant) => runner(lane, signal, inTurnOf(tenant ?? '')),
    retry,
    shares,
    pace,
    clock,
    ...(options.arrived ? { arrived: options.arrived } : {}),
  })
  const base = service({ name: `subscription ${name}`, run })
  return Object.defineProperties(base, {
    progress: {
      get: (): SubscriptionProgress => ({
        inFlight: session?.inFlight ?? 0,
        oldestSentAt: session?.oldestSentAt,
        ended: { ...ended },
        resting: session?.resting ?? [],
        running: consumer.running?.() ?? [],
        tenants: shares.top(5),
        ...{ lastEndedAt, troubleSince, pausedBy },
      }),
    },
    caughtUp: { value: caughtUp },
    retry: { value: retry },
    lines: { value: lines },
    heed: { value: heed },
    changeHands: { value: changeHands },
    observe: { value: observe },
  }) as Subscription
}

/** A handler's, in milliseconds: what a tenant waits for the batches of others. */
const BATCH_LASTS = 25
/** Receiving that has lasted so long works, in milliseconds. */
const LASTING = 2000
/** While it is paused, in milliseconds. */
const LOOK_AGAIN = 500
