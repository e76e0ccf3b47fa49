import type { Queryable } from '../postgres/database.ts'

/** What `comity.horizon()` answers. */
export interface HorizonReading {
  /** The last version drawn when the lockers had not been listed yet. */
  readonly hi: number
  /** The life of the database; a horizon never outlives it. */
  readonly identity: string
  readonly lockers: readonly string[]
  readonly prepared: readonly string[]
}

const READ_HORIZON = `
  select hi::text as hi, identity, array_to_json(lockers)::text as lockers, array_to_json(prepared)::text as prepared from comity.horizon()`

export async function readHorizon(database: Queryable): Promise<HorizonReading> {
  const { rows } = await database.query<{ hi: string; identity: string; lockers: string; prepared: string }>(READ_HORIZON)
  const row = rows[0] as (typeof rows)[number]
  return { hi: Number(row.hi), identity: row.identity, lockers: JSON.parse(row.lockers), prepared: JSON.parse(row.prepared) }
}

/**
 * Answers "up to which version can no row appear any more?".
 *
 *   none ──reading──▶ pending(hi, lockers) ──all lockers ended──▶ ended(hi) ──one full read after that──▶ settled(hi) ▶ none
 *
 * Never by time and never by a snapshot's xmax. A pending horizon is forgotten with the connection's server (`identity`):
 * the caller starts over from its durable checkpoint.
 */
export class Horizon {
  #pending: { readonly hi: number; lockers: Set<string>; prepared: Set<string> } | undefined
  #ended: number | undefined

  /** The version up to which every transaction has ended; what is read after this was asked is complete up to it. */
  get ended(): number | undefined {
    return this.#ended
  }

  /** Takes a new reading into account. */
  observe(reading: HorizonReading): void {
    if (this.#ended !== undefined) return
    const pending = this.#pending
    if (pending === undefined) {
      this.#pending = { hi: reading.hi, lockers: new Set(reading.lockers), prepared: new Set(reading.prepared) }
    } else {
      const live = new Set(reading.lockers)
      const before = pending.lockers.size
      for (const locker of pending.lockers) if (!live.has(locker)) pending.lockers.delete(locker)
      // A locker that vanished may have been prepared: PREPARE TRANSACTION gives it another name.
      const stillPrepared = new Set(reading.prepared)
      for (const name of pending.prepared) if (!stillPrepared.has(name)) pending.prepared.delete(name)
      if (pending.lockers.size < before) for (const name of stillPrepared) pending.prepared.add(name)
    }
    const now = this.#pending
    if (now && now.lockers.size === 0 && now.prepared.size === 0) {
      this.#ended = now.hi
      this.#pending = undefined
    }
  }

  /** The version that is settled now that everything visible was read after `ended` was known. */
  settle(): number | undefined {
    const settled = this.#ended
    this.#ended = undefined
    return settled
  }

  discard(): void {
    this.#pending = undefined
    this.#ended = undefined
  }
}
