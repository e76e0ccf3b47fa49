import { BucketWindow } from '../bucket-window.ts'
import { Deliveries, type DeliveriesOptions } from '../deliveries.ts'
import { SubscriptionUnknown } from '../errors.ts'
import type { DeliveryHandler, SubscriptionStats } from '../transport.ts'
import type { BucketLog } from './bucket-log.ts'

type FlowControl = Pick<DeliveriesOptions, 'prefetch' | 'prefetchBytes'>

/**
 * A queue that is nothing but a position per bucket, and the receivers among whom the buckets are shared: shares differ
 * by one at most, who joined first has the larger. A bucket that moves is free only when nothing of it is at a handler any more.
 */
export class MemorySubscription {
  readonly name: string
  readonly team: string
  readonly topic: string
  readonly positions: number[]
  readonly #logs: readonly BucketLog[]
  readonly #owners: (MemoryReceiver | undefined)[]
  readonly #receivers: MemoryReceiver[] = []
  readonly #onMoved: () => void
  #terms = 0

  constructor(
    plan: { readonly name: string; readonly team: string; readonly topic: string },
    logs: readonly BucketLog[],
    onMoved: () => void,
  ) {
    this.name = plan.name
    this.team = plan.team
    this.topic = plan.topic
    this.#logs = logs
    this.#onMoved = onMoved
    this.positions = logs.map((log) => log.last)
    this.#owners = logs.map(() => undefined)
  }

  /** Delivers until `end` is called on the receiver. */
  join(handler: DeliveryHandler, flow: FlowControl): MemoryReceiver {
    const receiver = new MemoryReceiver(handler, flow, {
      fill: () => this.#fill(receiver),
      moved: (window) => {
        this.positions[window.bucket] = window.position
        this.#onMoved()
      },
      leave: () => this.#leave(receiver),
    })
    this.#receivers.push(receiver)
    this.#balance()
    return receiver
  }

  wake(): void {
    for (const receiver of this.#receivers) receiver.wake()
  }

  /** Removed: whoever receives it fails. */
  remove(): void {
    for (const receiver of [...this.#receivers]) receiver.fail(new SubscriptionUnknown({ subscription: this.name }))
  }

  /** Every owner keeps its buckets and starts over from the new positions. */
  seek(position: (log: BucketLog) => number): void {
    for (const [bucket, log] of this.#logs.entries()) {
      this.positions[bucket] = position(log)
      const owner = this.#owners[bucket]
      if (owner) this.#give(bucket, owner)
    }
  }

  stats(): SubscriptionStats {
    let backlog = 0
    let oldest: Date | undefined
    for (const [bucket, log] of this.#logs.entries()) {
      const position = this.positions[bucket] ?? 0
      backlog += log.last - position
      const first = log.at(Math.max(position + 1, log.first))
      if (first && (oldest === undefined || first.message.sentAt < oldest)) oldest = first.message.sentAt
    }
    return { subscription: this.name, backlog, ...(oldest ? { oldestSentAt: oldest } : {}) }
  }

  #give(bucket: number, receiver: MemoryReceiver): void {
    this.#owners[bucket] = receiver
    receiver.deliveries.open(new BucketWindow(bucket, ++this.#terms, this.positions[bucket] ?? 0))
    receiver.wake()
  }

  #leave(receiver: MemoryReceiver): void {
    const index = this.#receivers.indexOf(receiver)
    if (index < 0) return
    this.#receivers.splice(index, 1)
    for (const [bucket, owner] of this.#owners.entries()) {
      if (owner !== receiver) continue
      receiver.deliveries.close(bucket)
      this.#owners[bucket] = undefined
    }
    this.#balance()
  }

  #balance(): void {
    const count = this.#receivers.length
    for (const [rank, receiver] of this.#receivers.entries()) {
      const share = Math.floor(this.#logs.length / count) + (rank < this.#logs.length % count ? 1 : 0)
      const held = [...receiver.deliveries.windows.values()].filter((window) => !window.closing)
      for (const window of held.slice(share)) this.#release(window, receiver)
    }
    for (const [rank, receiver] of this.#receivers.entries()) {
      const share = Math.floor(this.#logs.length / count) + (rank < this.#logs.length % count ? 1 : 0)
      let wanted = share - [...receiver.deliveries.windows.values()].filter((window) => !window.closing).length
      for (let bucket = 0; bucket < this.#owners.length && wanted > 0; bucket++) {
        if (this.#owners[bucket] !== undefined) continue
        this.#give(bucket, receiver)
        wanted--
      }
    }
  }

  #release(window: BucketWindow, receiver: MemoryReceiver): void {
    window.closing = true
    void window.drained().then(() => {
      if (receiver.deliveries.windows.get(window.bucket) !== window) return
      receiver.deliveries.close(window.bucket)
      this.#owners[window.bucket] = undefined
      this.#balance()
    })
  }

  #fill(receiver: MemoryReceiver): void {
    const windows = [...receiver.deliveries.windows.values()].filter((window) => receiver.deliveries.mayGrow(window))
    const room = receiver.deliveries.room
    const share = Math.max(1, Math.ceil(room / Math.max(1, windows.length)))
    for (const window of windows) {
      const log = this.#logs[window.bucket] as BucketLog
      window.fetchedTo = Math.max(window.fetchedTo, log.first - 1)
      for (let n = 0; n < share && window.fetchedTo < log.last; n++) {
        const { message, size } = log.at(window.fetchedTo + 1) as { message: never; size: number }
        window.add(window.fetchedTo + 1, size, message)
      }
    }
  }
}

/** One call of `receive`. */
export class MemoryReceiver {
  readonly deliveries: Deliveries
  /** Settles when it has ended: rejects if the subscription was removed under it. */
  readonly ended: Promise<void>
  readonly #fill: () => void
  readonly #leave: () => void
  #woken = false
  #ending: Promise<void> | undefined
  #settle: (error?: Error) => void

  constructor(
    handler: DeliveryHandler,
    flow: FlowControl,
    subscription: { fill: () => void; moved: (window: BucketWindow) => void; leave: () => void },
  ) {
    this.#fill = subscription.fill
    this.#leave = subscription.leave
    this.#settle = () => undefined
    this.ended = new Promise((resolve, reject) => {
      this.#settle = (error) => (error ? reject(error) : resolve())
    })
    this.deliveries = new Deliveries({
      handler,
      ...flow,
      mayDeliver: () => true,
      onMoved: subscription.moved,
      onRoom: () => this.wake(),
    })
  }

  /** Never inside the caller: a send does not run the handlers of its receivers. */
  wake(): void {
    if (this.#woken || this.#ending !== undefined) return
    this.#woken = true
    setImmediate(() => {
      this.#woken = false
      if (this.#ending !== undefined) return
      const before = this.deliveries.room
      this.#fill()
      if (this.deliveries.room < before) this.deliveries.pump()
    })
  }

  end(): Promise<void> {
    this.#ending ??= this.deliveries.stop().then(() => {
      this.#leave()
      this.#settle()
    })
    return this.#ending
  }

  /** Gone without a goodbye: its answers count for nothing from now on. */
  crash(): void {
    void this.deliveries.stop()
    this.#ending ??= Promise.resolve()
    this.#leave()
    this.#settle()
  }

  fail(error: Error): void {
    this.#ending ??= this.deliveries.stop().then(() => this.#settle(error))
    this.#leave()
  }
}
