import type { Delivery, DeliveryHandler, DeliveryResult } from '../../transport/transport.ts'

/**
 * What is kept back on its way to a handler: some keys, or everything. While a key is held, whatever comes for it waits behind what waits
 * already, so that its order holds. When receiving ends, nothing is held any more.
 */
export class Holds {
  readonly #signal: AbortSignal
  readonly #keys = new Map<string, Promise<void>>()
  readonly #ends = new Set<() => void>()
  #all: Promise<void> | undefined

  constructor(signal: AbortSignal) {
    this.#signal = signal
    const endAll = (): void => {
      for (const end of this.#ends) end()
    }
    signal.addEventListener('abort', endAll, { once: true })
  }

  /** Answers false where it is held already. */
  hold(key: string, ms: number): boolean {
    if (this.#keys.has(key)) return false
    this.#keys.set(
      key,
      this.pause(ms, () => this.#keys.delete(key)),
    )
    return true
  }

  /** Answers false where all are held already. */
  holdAll(ms: number): boolean {
    if (this.#all !== undefined) return false
    this.#all = this.pause(ms, () => {
      this.#all = undefined
    })
    return true
  }

  /** Ends after so long, or when receiving ends. `onEnd` runs in the same turn in which those who wait go on: nobody comes between. */
  pause(ms: number, onEnd: () => unknown = () => undefined): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        this.#ends.delete(end)
        onEnd()
        resolve()
      }
      const timer = setTimeout(end, ms)
      if (this.#signal.aborted) end()
      else this.#ends.add(end)
    })
  }

  /** Hands them over, those of held keys later than the others. The answer at index i belongs to the delivery at index i. */
  async through(deliveries: readonly Delivery[], handler: DeliveryHandler): Promise<readonly DeliveryResult[]> {
    const all = this.#all
    if (all !== undefined) return all.then(() => this.through(deliveries, handler))
    const groups = new Map<Promise<void> | undefined, number[]>()
    for (const [i, { message }] of deliveries.entries()) {
      const held = this.#keys.get(message.key)
      const group = groups.get(held)
      if (group) group.push(i)
      else groups.set(held, [i])
    }
    const results: DeliveryResult[] = new Array(deliveries.length).fill('later')
    await Promise.all(
      [...groups].map(async ([held, indexes]) => {
        const hand = async (): Promise<readonly DeliveryResult[]> =>
          this.#signal.aborted ? [] : handler(indexes.map((i) => deliveries[i] as Delivery))
        const answers = await (held === undefined ? hand() : held.then(hand))
        for (const [n, i] of indexes.entries()) results[i] = answers[n] ?? 'later'
      }),
    )
    return results
  }
}
