import type { Delivery, DeliveryResult } from '../transport/transport.ts'

/**
 * The deliveries of one call of the transport, spread over the lanes, and answered together: one promise for the call, not
 * one for each message.
 */
export class Handover {
  readonly deliveries: readonly Delivery[]
  readonly results: Promise<readonly DeliveryResult[]>
  readonly #results: DeliveryResult[]
  #left: number
  #resolve: (results: readonly DeliveryResult[]) => void = () => undefined

  constructor(deliveries: readonly Delivery[]) {
    this.deliveries = deliveries
    this.#results = new Array(deliveries.length)
    this.#left = deliveries.length
    this.results = new Promise((resolve) => {
      this.#resolve = resolve
      if (deliveries.length === 0) resolve([])
    })
  }

  /** Once for each delivery. */
  answer(index: number, result: DeliveryResult): void {
    this.#results[index] = result
    if (--this.#left === 0) this.#resolve(this.#results)
  }
}
