import type { Subscription as CoreSubscription } from '@nats-io/transport-node'
import { type Clock, type Logger, type Loop, loop } from 'comity/transport'
import { type Connection, isPassing } from './connection.ts'
import { instanceOf, joined, type LeaseTable, released, taken } from './lease-table.ts'
import { newsOf } from './names.ts'
import type { Receiver } from './receiver.ts'
import { TeamStore } from './team-store.ts'

export interface UpkeepOptions {
  readonly team: string
  /** This instance of the transport; its receivers' holders begin with it. */
  readonly instance: string
  readonly connection: Connection
  readonly clock: Clock
  readonly leaseMs: number
  readonly logger: Logger
}

/** What was last seen of another instance's heartbeat, and since when it is the same. */
interface Pulse {
  readonly revision: number
  readonly since: number
}

/** A seek, or a receiver that joins or leaves, is seen by the others after this long at the latest, in milliseconds. */
const LOOK = 500

/**
 * One loop per transport instance and team keeps the leases of all its receivers: a heartbeat of the instance (one key), then a look at each
 * receiver's table, which makes its leases valid for `leaseMs` from the moment *before* the heartbeat, by this process's own clock.
 *
 * Another instance is dead when its heartbeat was the same at two looks that are `leaseMs` apart. So nobody's clock is compared with anybody's.
 * It is safe because a turn that ends later than the leases it would prolong prolongs nothing: whoever was that late gives everything back
 * first, by compare-and-set on the table, and takes it anew under later terms.
 */
export class Upkeep {
  readonly #options: UpkeepOptions
  readonly #store: TeamStore
  readonly #receivers = new Set<Receiver>()
  readonly #pulses = new Map<string, Pulse>()
  #loop: Loop | undefined
  #turning: Promise<unknown> | undefined
  #beats = 0
  #beatAt = Number.NEGATIVE_INFINITY
  #news: CoreSubscription | undefined

  constructor(options: UpkeepOptions) {
    this.#options = options
    this.#store = new TeamStore(options.connection, options.team)
  }

  add(receiver: Receiver): void {
    this.#receivers.add(receiver)
    if (this.#loop) {
      this.#loop.wake()
      return
    }
    const { leaseMs, clock, logger } = this.#options
    this.#loop = loop({
      name: 'nats transport: upkeep',
      runOnce: () => {
        const turn = this.#turn()
        this.#turning = turn.catch(() => undefined)
        return turn
      },
      poll: { min: 1, max: Math.min(leaseMs / 4, LOOK) },
      onTrouble: (error) => {
        for (const each of this.#receivers) {
          if (error === undefined || isPassing(error)) each.trouble(error as Error | undefined)
          else each.fail(error as Error)
        }
      },
      clock,
      logger,
    })
    void this.#loop.start()
  }

  /** Resolves when no turn that speaks for the receiver is under way (or a second later: a lost server answers none). */
  async delete(receiver: Receiver): Promise<void> {
    this.#receivers.delete(receiver)
    const turn = this.#turning
    if (this.#receivers.size === 0) {
      void this.#loop?.stop()
      this.#loop = undefined
      this.#news?.unsubscribe()
      this.#news = undefined
    }
    const enough = new AbortController()
    await Promise.race([turn, this.#options.clock.sleep(1000, enough.signal)])
    enough.abort()
  }

  wake(): void {
    for (const receiver of this.#receivers) receiver.lookAt = Number.NEGATIVE_INFINITY
    this.#loop?.wake()
  }

  lost(error: Error): void {
    for (const receiver of this.#receivers) receiver.trouble(error)
  }

  back(): void {
    for (const receiver of this.#receivers) receiver.restart()
    this.wake()
  }

  /** The instance is gone for good: nobody need wait for its silence. */
  async close(): Promise<void> {
    await this.#store.purge(`instances.${this.#options.instance}`)
  }

  async #turn(): Promise<number> {
    const { clock, leaseMs } = this.#options
    await this.#listen()
    const began = clock.monotonic()
    if (began - this.#beatAt >= leaseMs / 5) {
      await this.#store.set(`instances.${this.#options.instance}`, ++this.#beats)
      this.#beatAt = began
    }
    const due = [...this.#receivers].filter((receiver) => receiver.lookAt <= began && !receiver.isEnding)
    const beating = new Map<string, Promise<boolean>>()
    await Promise.all(due.map((receiver) => alone(receiver, this.#look(receiver, beating))))
    await Promise.all(due.map((receiver) => alone(receiver, receiver.checkStalls())))
    for (const receiver of this.#receivers) if (receiver.validUntil > clock.monotonic()) receiver.trouble(undefined)
    const next = Math.min(...[...this.#receivers].map((receiver) => receiver.lookAt), this.#beatAt + leaseMs / 4)
    return Math.max(1, next - clock.monotonic())
  }

  async #look(receiver: Receiver, beating: Map<string, Promise<boolean>>): Promise<void> {
    const { clock, leaseMs } = this.#options
    const asked = clock.monotonic()
    const found = await receiver.subscription.find()
    if (found?.value.id !== receiver.id) return receiver.removed()
    const isLate = clock.monotonic() >= receiver.validUntil
    // Under the terms that we know, nobody else has moved these.
    const own = receiver.acknowledged
    if (isLate) receiver.dropAll()
    // Whoever was away itself cannot say who was silent.
    if (isLate && receiver.validUntil > Number.NEGATIVE_INFINITY) this.#pulses.clear()
    const dead = await this.#dead(found.value, beating)
    const acknowledged = new Map(
      await Promise.all(dead.map(async (holder) => [holder, await receiver.subscription.acknowledged(holder)] as const)),
    )
    const next = (table: LeaseTable): LeaseTable => {
      let changed = table
      for (const [holder, positions] of acknowledged) {
        if (changed.holders.includes(holder)) changed = released(changed, holder, { buckets: 'all', positions, leave: true })
      }
      if (isLate && changed.holders.includes(receiver.holder))
        changed = released(changed, receiver.holder, { buckets: 'all', positions: own, leave: false })
      return taken(joined(changed, receiver.holder), receiver.holder)
    }
    const table = next(found.value) === found.value ? found.value : await receiver.subscription.change(next)
    if (table?.id !== receiver.id) return receiver.removed()
    if (table !== found.value) this.#wakeOthers(receiver)
    for (const holder of dead) void receiver.subscription.forget(holder).catch(() => undefined)
    if (receiver.isEnding) return
    receiver.held(table, this.#beatAt + leaseMs)
    // Whoever waits for a dead process's buckets asks more often.
    receiver.lookAt = asked + Math.min(leaseMs / (receiver.short ? 10 : 4), LOOK)
  }

  async #dead(table: LeaseTable, beating: Map<string, Promise<boolean>>): Promise<readonly string[]> {
    const others = table.holders.filter((holder) => instanceOf(holder) !== this.#options.instance)
    const alive = await Promise.all(
      others.map((holder) => {
        const instance = instanceOf(holder)
        const asked = beating.get(instance) ?? this.#isBeating(instance)
        beating.set(instance, asked)
        return asked
      }),
    )
    return others.filter((_, n) => !alive[n])
  }

  async #isBeating(instance: string): Promise<boolean> {
    const { clock, leaseMs } = this.#options
    const revision = (await this.#store.get<number>(`instances.${instance}`))?.revision ?? 0
    const now = clock.monotonic()
    const pulse = this.#pulses.get(instance)
    if (pulse?.revision !== revision) {
      this.#pulses.set(instance, { revision, since: now })
      return true
    }
    return now - pulse.since < leaseMs
  }

  /** Receivers of the same subscription in this very instance: what we publish ourselves, we do not hear. */
  #wakeOthers(changed: Receiver): void {
    for (const receiver of this.#receivers) {
      if (receiver === changed || receiver.subscription.name !== changed.subscription.name) continue
      receiver.lookAt = Number.NEGATIVE_INFINITY
      this.#loop?.wake()
    }
  }

  async #listen(): Promise<void> {
    if (this.#news && !this.#news.isClosed()) return
    const client = await this.#options.connection.client()
    this.#news = client.subscribe(newsOf(this.#options.team, '*'), {
      callback: (_, { subject }) => {
        for (const receiver of this.#receivers) {
          if (newsOf(receiver.subscription.team, receiver.subscription.name) === subject) receiver.lookAt = Number.NEGATIVE_INFINITY
        }
        this.#loop?.wake()
      },
    })
  }
}

/** What cannot pass ends this receiver, and no other. */
async function alone(receiver: Receiver, work: Promise<void>): Promise<void> {
  try {
    await work
  } catch (error) {
    if (isPassing(error)) throw error
    receiver.fail(error as Error)
  }
}
