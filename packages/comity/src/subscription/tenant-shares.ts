import type { Clock } from '../foundation/index.ts'
import { Rate } from './rate.ts'

export interface TenantShareOptions {
  /** Most messages in this process, delivered and not ended. */
  readonly prefetch: number
  /** Messages a second that one tenant may have handled, over all processes; more waits in its keys' lines. Absent: no limit. */
  readonly rate?: number | undefined
  readonly clock: Clock
}

/**
 * How much of a subscription each tenant has in this process, and whose turn it is: of those who wait, in any lane, the one who was
 * served least lately. Where one has crowded out the others, its messages go on into the
 * lines of their keys (`overflow`): that is a fast append, so the broker's queue moves on to what others sent after them.
 */
export class TenantShares {
  readonly #options: TenantShareOptions
  readonly #inside = new Map<string, number>()
  /** When each was seen last: to one who is alone, nobody has to give way. */
  readonly #seen = new Map<string, number>()
  readonly #rates = new Map<string, Rate>()
  /** When each was served last, by the number of that serving; who was served last stands last. */
  readonly #turns = new Map<string, number>()
  #servings = 0
  #total = 0
  #processes = 1
  #makingRoom = false

  constructor(options: TenantShareOptions) {
    this.#options = options
  }

  /** How many processes share the rates. */
  set processes(processes: number) {
    if (processes === this.#processes) return
    this.#processes = processes
    for (const rate of this.#rates.values()) rate.perSecond = (this.#options.rate ?? 0) / processes
  }

  entered(tenant: string | undefined): void {
    this.#total++
    if (tenant === undefined) return
    this.#inside.set(tenant, (this.#inside.get(tenant) ?? 0) + 1)
    this.#seen.set(tenant, this.#options.clock.monotonic())
  }

  left(tenant: string | undefined): void {
    this.#total--
    if (tenant === undefined) return
    const left = (this.#inside.get(tenant) ?? 1) - 1
    if (left === 0) this.#inside.delete(tenant)
    else this.#inside.set(tenant, left)
  }

  /** The tenant that has to make room; undefined while there is room, nobody to make it for, or room is being made. */
  get crowding(): string | undefined {
    const { prefetch } = this.#options
    if (this.#makingRoom || this.#total <= prefetch * MOST) return undefined
    for (const [tenant, inside] of this.#inside) if (inside > prefetch * MOST && this.#hasOthers(tenant)) return tenant
    return undefined
  }

  /** One lane at a time: it takes a connection from the others. */
  async makeRoom(work: () => Promise<void>): Promise<void> {
    this.#makingRoom = true
    try {
      await work()
    } finally {
      this.#makingRoom = false
    }
  }

  /** The lower, the sooner it is served; '' stands for all messages without a tenant. */
  turnOf(tenant: string): number {
    return this.#turns.get(tenant) ?? 0
  }

  /** A message of it begins. */
  served(tenant: string): void {
    this.#turns.delete(tenant)
    this.#turns.set(tenant, ++this.#servings)
    if (this.#turns.size > MOST_TURNS) this.#turns.delete(this.#turns.keys().next().value as string)
  }

  /** Of whoever asks without a tenant's message: behind all who were served before now. */
  get newestTurn(): number {
    return this.#servings
  }

  /** Whether a tenant's rate lets one more message through now; if so, that one is counted. */
  allows(tenant: string | undefined): boolean {
    return this.take(tenant, 1) === 1
  }

  /** How many messages of a tenant, up to `most`, its rate lets through now. */
  take(tenant: string | undefined, most: number): number {
    const { rate, clock } = this.#options
    if (rate === undefined || tenant === undefined) return most
    let own = this.#rates.get(tenant)
    if (own === undefined) {
      own = new Rate(rate / this.#processes, clock)
      this.#rates.set(tenant, own)
    }
    return own.take(most)
  }

  /** Who has most here, the first first. */
  top(count: number): readonly { readonly tenant: string; readonly inside: number }[] {
    return [...this.#inside]
      .map(([tenant, inside]) => ({ tenant, inside }))
      .sort((a, b) => b.inside - a.inside)
      .slice(0, count)
  }

  #hasOthers(tenant: string): boolean {
    const since = this.#options.clock.monotonic() - REMEMBERED
    for (const [other, at] of this.#seen) {
      if (at < since) this.#seen.delete(other)
      else if (other !== tenant) return true
    }
    return false
  }
}

/** Of prefetch: what one tenant may have of it while there are others, so that these always find room. */
const MOST = 0.4
/** Tenants whose turn is known; who was served longer ago than all of these is served as one who is new. */
const MOST_TURNS = 10_000
/** How long others are remembered, in milliseconds. */
const REMEMBERED = 900_000
