import type { Delivery, DeliveryResult, OutgoingMessage, Transport } from '../../transport/transport.ts'

export interface ObserveOptions {
  readonly prefetch?: number
  /** Decides on each message; default: `ack`. */
  readonly answer?: (message: OutgoingMessage, seenBefore: number) => Promise<'ack' | 'later'> | 'ack' | 'later'
}

/** A receive in the background that writes down what it sees. */
export class Observer {
  /** Every delivery, in the order of the calls. */
  readonly seen: Delivery[] = []
  /** Ids that were acknowledged. */
  readonly acknowledged: Set<string> = new Set()
  readonly troubles: (Error | undefined)[] = []
  /** Deliveries that are being handled, and the most there were at once. */
  running = 0
  mostRunning = 0
  /** Settles as the call of `receive` does. */
  readonly ended: Promise<void>
  readonly #abort = new AbortController()
  readonly #changed: () => void
  readonly #answer: NonNullable<ObserveOptions['answer']>

  constructor(transport: Transport, subscription: string, options: ObserveOptions, changed: () => void) {
    this.#changed = changed
    this.#answer = options.answer ?? (() => 'ack')
    this.ended = transport.receive(subscription, (deliveries) => this.#handle(deliveries), {
      signal: this.#abort.signal,
      ...(options.prefetch === undefined ? {} : { prefetch: options.prefetch }),
      onTrouble: (error) => {
        this.troubles.push(error)
        changed()
      },
    })
    this.ended.then(changed, changed)
  }

  get ids(): readonly string[] {
    return this.seen.map((delivery) => delivery.message.id)
  }

  times(id: string): number {
    return this.seen.filter((delivery) => delivery.message.id === id).length
  }

  /** Aborts without waiting for the end. */
  abort(): void {
    this.#abort.abort()
  }

  async stop(): Promise<void> {
    this.#abort.abort()
    await this.ended
  }

  async #handle(deliveries: readonly Delivery[]): Promise<readonly DeliveryResult[]> {
    this.running += deliveries.length
    this.mostRunning = Math.max(this.mostRunning, this.running)
    const before = deliveries.map((delivery) => this.times(delivery.message.id))
    this.seen.push(...deliveries)
    this.#changed()
    try {
      const results = await Promise.all(deliveries.map((delivery, n) => this.#answer(delivery.message, before[n] ?? 0)))
      for (const [n, delivery] of deliveries.entries()) if (results[n] === 'ack') this.acknowledged.add(delivery.message.id)
      return results
    } finally {
      this.running -= deliveries.length
      this.#changed()
    }
  }
}
