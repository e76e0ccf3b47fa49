import type { Delivery } from '../transport/transport.ts'
import type { Resting } from './retry-policy.ts'

interface Attempted {
  readonly key: string
  readonly delivery: Delivery
  readonly attempts: number
}

interface Rest<Item> {
  /** The first is the one that failed. */
  readonly items: Item[]
  readonly at: Date
  readonly code: string
}

/** The keys of a lane that are between two attempts, with what has come for them meanwhile, in order. */
export class RestingKeys<Item extends Attempted> {
  readonly #rests = new Map<string, Rest<Item>>()

  get size(): number {
    let size = 0
    for (const { items } of this.#rests.values()) size += items.length
    return size
  }
  get shown(): readonly Resting[] {
    return [...this.#rests].map(([key, { items, at, code }]) => {
      const head = items[0] as Item
      return { key, message: head.delivery.message.id, attempts: head.attempts, code, at, messages: items.length }
    })
  }

  /** False: its key does not rest. */
  join(item: Item): boolean {
    const rest = this.#rests.get(item.key)
    rest?.items.push(item)
    return rest !== undefined
  }
  /** @param at when it is tried again */
  rest(items: readonly [Item, ...Item[]], at: Date, code: string): void {
    this.#rests.set(items[0].key, { items: [...items], at, code })
  }
  /** Nothing, if the lane was closed meanwhile. */
  wake(key: string): readonly Item[] {
    const items = this.#rests.get(key)?.items ?? []
    this.#rests.delete(key)
    return items
  }
  takeAll(): readonly Item[] {
    const items = [...this.#rests.values()].flatMap((rest) => rest.items)
    this.#rests.clear()
    return items
  }
}
