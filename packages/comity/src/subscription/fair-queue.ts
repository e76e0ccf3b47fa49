/** What a queue must know of its items. */
interface Queued {
  readonly key: string
  readonly tenant: string | undefined
  /** It goes with no other. */
  readonly alone: boolean
}

/** Whose turn it is, also over several queues: the lowest is next. */
export interface Turns {
  turnOf(tenant: string): number
  served(tenant: string): void
}

/**
 * A lane's queue. Tenants are served in turns, one message each, so that one who floods the lane delays the others by one message
 * and not by all of his. The messages of a key stay in order, whatever their tenants: a key is queued with the tenant of its first.
 */
export class FairQueue<Item extends Queued> {
  readonly #turns: Turns
  readonly #tenants = new Map<string, Item[]>()
  /** Whose turn a queued key is in, and how many of its messages are queued. */
  readonly #keys = new Map<string, { readonly tenant: string; count: number }>()
  #size = 0

  constructor(turns: Turns) {
    this.#turns = turns
  }

  /** The lowest turn of those who have something here; `Infinity` = nothing is queued. */
  get turn(): number {
    const next = this.#next
    return next === undefined ? Number.POSITIVE_INFINITY : this.#turns.turnOf(next)
  }

  get size(): number {
    return this.#size
  }

  push(item: Item): void {
    this.#queueOf(this.#enter(item)).push(item)
  }

  /** Back to the front of their tenants' queues, in this order: they were taken last. */
  unshift(items: readonly Item[]): void {
    const back = new Map<string, Item[]>()
    for (const item of items) {
      const tenant = this.#enter(item)
      const same = back.get(tenant)
      if (same) same.push(item)
      else back.set(tenant, [item])
    }
    for (const [tenant, mine] of back) this.#tenants.set(tenant, [...mine, ...(this.#tenants.get(tenant) ?? [])])
  }

  /** Up to `most`, one of each tenant in turn; one that goes alone is taken alone. */
  take(most: number): Item[] {
    const taken: Item[] = []
    for (let tenant = this.#next; tenant !== undefined && taken.length < most; tenant = this.#next) {
      const queue = this.#tenants.get(tenant) as Item[]
      // Where there is nobody else, as many as may go together.
      const left = this.#tenants.size === 1 ? most - taken.length : 1
      const alone = queue.findIndex((item, i) => i >= left || item.alone)
      const many = alone < 0 ? queue.length : Math.min(alone, left)
      if (many === 0 && taken.length > 0) break
      const mine = queue.splice(0, Math.max(1, many))
      taken.push(...mine)
      if (queue.length === 0) this.#tenants.delete(tenant)
      this.#turns.served(tenant)
      if (many === 0) break
    }
    this.#size -= taken.length
    for (const item of taken) this.#forget(item)
    return taken
  }

  /** Whether something is queued in a tenant's turn. */
  has(tenant: string): boolean {
    return this.#tenants.has(tenant)
  }

  /** Everything of one key. */
  takeKey(key: string): Item[] {
    const queued = this.#keys.get(key)
    if (queued === undefined) return []
    const all = this.#tenants.get(queued.tenant) ?? []
    const taken = all.filter((item) => item.key === key)
    const left = all.filter((item) => item.key !== key)
    if (left.length === 0) this.#tenants.delete(queued.tenant)
    else this.#tenants.set(queued.tenant, left)
    this.#keys.delete(key)
    this.#size -= taken.length
    return taken
  }

  /** Up to `most` of what is queued in a tenant's turn. */
  takeTenant(tenant: string, most: number): Item[] {
    const all = this.#tenants.get(tenant) ?? []
    const taken = all.splice(0, most)
    if (all.length === 0) this.#tenants.delete(tenant)
    this.#size -= taken.length
    for (const item of taken) this.#forget(item)
    return taken
  }

  takeAll(): Item[] {
    const all = [...this.#tenants.values()].flat()
    this.#tenants.clear()
    this.#keys.clear()
    this.#size = 0
    return all
  }

  /** Of equals, the one that came first. */
  get #next(): string | undefined {
    if (this.#tenants.size <= 1) return this.#tenants.keys().next().value
    let next: string | undefined
    let lowest = Number.POSITIVE_INFINITY
    for (const tenant of this.#tenants.keys()) {
      const turn = this.#turns.turnOf(tenant)
      if (turn >= lowest) continue
      lowest = turn
      next = tenant
    }
    return next
  }

  #queueOf(tenant: string): Item[] {
    let queue = this.#tenants.get(tenant)
    if (queue === undefined) {
      queue = []
      this.#tenants.set(tenant, queue)
    }
    return queue
  }

  /** Counts it, and answers in whose turn it is queued. */
  #enter(item: Item): string {
    this.#size++
    const queued = this.#keys.get(item.key)
    if (queued !== undefined) {
      queued.count++
      return queued.tenant
    }
    const tenant = item.tenant ?? ''
    this.#keys.set(item.key, { tenant, count: 1 })
    return tenant
  }

  #forget({ key }: Item): void {
    const queued = this.#keys.get(key)
    if (queued !== undefined && --queued.count === 0) this.#keys.delete(key)
  }
}
