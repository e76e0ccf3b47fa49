import { type Clock, type Logger, type Loop, loop } from '../../foundation/index.ts'
import { numberArray, textArray } from './binary-array.ts'
import type { BusConnection } from './bus-connection.ts'
import { isPassing } from './bus-errors.ts'
import type { Lease, Receiver } from './receiver.ts'

export interface UpkeepOptions {
  readonly bus: BusConnection
  readonly clock: Clock
  readonly leaseMs: number
  readonly poll: { readonly min: number; readonly max: number }
  readonly logger: Logger
}

interface WatchRow {
  readonly subscription: number
  readonly epoch: string
  readonly heads: string
}
interface RenewRow {
  readonly subscription: number
  readonly holder: string
  readonly epoch: string
  readonly share: number
  readonly bucket: number | null
  readonly term: string
  readonly position: string
}

/** After news, polling stays eager for this long before it slows down. */
const EAGER = 50

/**
 * One loop per transport instance looks after all of its receivers: a cheap look (what is new, who joined or left) every
 * 5 to 250 ms, and a renewal of all leases every quarter of their life, or at once when the look says that something moved.
 * It runs only while somebody receives.
 */
export class Upkeep {
  readonly #options: UpkeepOptions
  readonly #receivers = new Set<Receiver>()
  #loop: Loop | undefined
  #turning: Promise<'busy' | 'idle'> | undefined
  #renewAt = Number.NEGATIVE_INFINITY
  #newsAt = Number.NEGATIVE_INFINITY

  constructor(options: UpkeepOptions) {
    this.#options = options
  }

  add(receiver: Receiver): void {
    this.#receivers.add(receiver)
    this.#renewAt = Number.NEGATIVE_INFINITY
    if (this.#loop) {
      this.#loop.wake()
      return
    }
    this.#loop = loop({
      name: 'postgres transport: upkeep',
      runOnce: () => {
        this.#turning = this.#turn()
        return this.#turning
      },
      poll: this.#options.poll,
      onTrouble: (error) => {
        for (const each of this.#receivers) {
          if (error === undefined || isPassing(error)) each.trouble(error as Error | undefined)
          else each.fail(error as Error)
        }
      },
      clock: this.#options.clock,
      logger: this.#options.logger,
    })
    void this.#loop.start()
  }

  /** Resolves when no statement that speaks for the receiver is under way (or a second later: a lost bus answers none). */
  async delete(receiver: Receiver): Promise<void> {
    this.#receivers.delete(receiver)
    const turn = this.#turning
    if (this.#receivers.size === 0) this.close()
    const enough = new AbortController()
    await Promise.race([turn?.catch(() => undefined), this.#options.clock.sleep(1000, enough.signal)])
    enough.abort()
  }

  close(): void {
    void this.#loop?.stop()
    this.#loop = undefined
  }

  wake(): void {
    this.#renewAt = Number.NEGATIVE_INFINITY
    this.#loop?.wake()
  }

  /** This instance itself sent to the topic: no need to wait for a look. */
  sent(topic: string): void {
    for (const receiver of this.#receivers) if (receiver.topic === topic) receiver.news()
  }

  async #turn(): Promise<'busy' | 'idle'> {
    const receivers = [...this.#receivers]
    const now = this.#options.clock.monotonic()
    if (now >= this.#renewAt) await this.#renew(receivers)
    else if (await this.#look(receivers)) {
      this.#newsAt = now
      await this.#renew(receivers)
    }
    return this.#options.clock.monotonic() - this.#newsAt < EAGER ? 'busy' : 'idle'
  }

  /** Says whether leases have to be looked at. */
  async #look(receivers: readonly Receiver[]): Promise<boolean> {
    const subscriptions = [...new Set(receivers.map((receiver) => receiver.subscription))]
    const rows = await this.#options.bus.rows<WatchRow>('select * from comity_bus.watch($1::integer[])', [numberArray(subscriptions)])
    const found = new Map(rows.map((row) => [row.subscription, row]))
    let moved = false
    for (const receiver of receivers) {
      const row = found.get(receiver.subscription)
      if (row === undefined) {
        receiver.removed()
        continue
      }
      if (row.epoch !== receiver.epoch) moved = true
      if (row.heads === receiver.heads) continue
      receiver.heads = row.heads
      this.#newsAt = this.#options.clock.monotonic()
      receiver.news()
    }
    return moved
  }

  async #renew(receivers: readonly Receiver[]): Promise<void> {
    const { clock, leaseMs } = this.#options
    const asked = clock.monotonic()
    const rows = await this.#options.bus.rows<RenewRow>('select * from comity_bus.renew($1::integer[], $2::text[], $3::integer)', [
      numberArray(receivers.map((receiver) => receiver.subscription)),
      textArray(receivers.map((receiver) => receiver.holder)),
      leaseMs,
    ])
    const byHolder = groupByHolder(rows)
    for (const receiver of receivers) {
      const own = byHolder.get(receiver.holder)
      if (own === undefined) {
        receiver.removed()
        continue
      }
      receiver.epoch = own[0]?.epoch
      receiver.held(own.flatMap(toLease), own[0]?.share ?? 0, asked + leaseMs)
    }
    // Whoever waits for a dead consumer's buckets asks more often.
    const short = receivers.some((receiver) => receiver.short)
    this.#renewAt = asked + leaseMs / (short ? 10 : 4)
  }
}

function groupByHolder(rows: readonly RenewRow[]): Map<string, RenewRow[]> {
  const groups = new Map<string, RenewRow[]>()
  for (const row of rows) {
    const group = groups.get(row.holder)
    if (group) group.push(row)
    else groups.set(row.holder, [row])
  }
  return groups
}

function toLease(row: RenewRow): Lease[] {
  return row.bucket === null ? [] : [{ bucket: row.bucket, term: Number(row.term), position: Number(row.position) }]
}
