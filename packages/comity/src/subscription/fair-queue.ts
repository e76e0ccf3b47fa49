/** What a queue must know of its items. */
interface Queued {
  readonly key: string
  readonly tenant: string | undefined
}

/**
 * A lane's queue. Tenants are served in turns, one message each, so that one who floods the lane delays the others by one message
 * and not by all of his. The messages of a key stay in order, whatever their tenants: a key is queued with the tenant of its first.
 */
export class FairQueue<Item extends Queued> {
  /** In turn: who was served goes to the end. */
  readonly #tenants = new Map<string, Item[]>()
  /** Whose turn a queued key is in, and how many of its messages are queued. */
  readonly #keys = new Map<string, { readonly tenant: string; count: number }>()
  #size = 0

  get size(): number {
    return this.#size
  }

  push(item: Item): void {
    this.#queueOf(this.#enter(item)).push(item)
  }

  /** Back to the front, in this order: they were taken last. */
  unshift(items: readonly Item[]): void {
    const back = new Map<string, Item[]>()
    for (const item of items) {
      const tenant = this.#enter(item)
      const same = back.get(tenant)
      if (same) same.push(item)
      else back.set(tenant, [item])
    }
    const others = [...this.#tenants].filter(([tenant]) => !back.has(tenant))
    for (const [tenant, mine] of back) back.set(tenant, [...mine, ...(this.#tenants.get(tenant) ?? [])])
    this.#tenants.clear()
    for (const [tenant, queue] of [...back, ...others]) this.#tenants.set(tenant, queue)
  }

  /** Up to `most`, one of each tenant in turn. */
  take(most: number): Item[] {
    const only = this.#tenants.size === 1 ? [...this.#tenants.values()][0] : undefined
    const taken = only === undefined ? this.#takeInTurns(most) : only.splice(0, most)
    if (only?.length === 0) this.#tenants.clear()
    this.#size -= taken.length
    for (const item of taken) this.#forget(item)
    return taken
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
    return this.take(this.#size)
  }

  #takeInTurns(most: number): Item[] {
    const taken: Item[] = []
    while (taken.length < most && this.#tenants.size > 0) {
      const [tenant, queue] = this.#tenants.entries().next().value as [string, Item[]]
      this.#tenants.delete(tenant)
      taken.push(queue.shift() as Item)
      if (queue.length > 0) this.#tenants.set(tenant, queue)
    }
    return taken
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
