import type { ClaimResult, Fence, Identity } from 'comity/transport'
import type { Connection } from './connection.ts'
import { toToken } from './names.ts'
import { type Stored, TeamStore } from './team-store.ts'

/** Who may send for a team, under the key `fence`. */
interface FenceRow {
  readonly incarnation: number
  readonly term: number
  readonly holder: string
  readonly highestVersion: number
  /** Processes that speak for the incarnation. Each keeps its own key `claimants.<holder>` fresh: the server's time of it is when it was last seen. */
  readonly claimants: readonly string[]
}

interface Waiting {
  readonly identity: Identity & { readonly term?: number }
  readonly highest: number
  readonly resolve: (admitted: boolean) => void
  readonly reject: (error: unknown) => void
}

/** Someone who sends every few milliseconds need not say so every time. */
const SAY_AGAIN = 1000
const DAY = 24 * 60 * 60 * 1000

/**
 * The same rule as on the other buses: in one incarnation the highest term wins; a later incarnation begins when its holder already spoke for the
 * recorded one, or when everyone who did has been silent for `silence` ms. The row changes by compare-and-set only. What several sends of this
 * process ask at once is asked of the server once.
 */
export class Fences {
  readonly #connection: Connection
  readonly #silence: number
  readonly #now: () => number
  readonly #stores = new Map<string, TeamStore>()
  readonly #rows = new Map<string, Stored<FenceRow>>()
  readonly #queues = new Map<string, Waiting[]>()
  readonly #saidAt = new Map<string, number>()
  readonly #identities = new Map<string, Identity>()

  constructor(connection: Connection, silence: number, monotonic: () => number) {
    this.#connection = connection
    this.#silence = silence
    this.#now = monotonic
  }

  /** Whether this fence may send now; remembers `highest` as a version of the team before it answers. */
  admit(identity: Identity | Fence, highest: number): Promise<boolean> {
    const { team } = identity
    this.#identities.set(`${team} ${identity.holder}`, identity)
    return new Promise((resolve, reject) => {
      const waiting = { identity, highest, resolve, reject }
      const queue = this.#queues.get(team)
      if (queue) queue.push(waiting)
      else {
        const fresh = [waiting]
        this.#queues.set(team, fresh)
        void this.#serve(team, fresh)
      }
    })
  }

  async claim(identity: Identity): Promise<ClaimResult> {
    if (await this.admit(identity, 0)) {
      return { status: 'granted', highestVersion: this.#rows.get(identity.team)?.value.highestVersion ?? identity.incarnation }
    }
    const row = (await this.#read(identity.team))?.value as FenceRow
    const [freshest] = await this.#seen(identity.team, row.claimants)
    return {
      status: 'refused',
      incumbent: { team: identity.team, incarnation: row.incarnation, holder: freshest?.holder ?? row.holder },
      silentFor: freshest?.silentFor ?? 0,
    }
  }

  /** A clean goodbye of everyone who spoke through this transport: whoever comes next need not wait for silence. */
  async withdraw(): Promise<void> {
    await Promise.all([...this.#identities.values()].map((identity) => this.#withdraw(identity)))
  }

  async #withdraw({ team, holder }: Identity): Promise<void> {
    for (;;) {
      const found = await this.#read(team)
      if (found?.value.claimants.includes(holder)) {
        const claimants = found.value.claimants.filter((each) => each !== holder)
        if ((await this.#store(team).compareAndSet('fence', { ...found.value, claimants }, found.revision)) === undefined) continue
      }
      await this.#store(team).purge(claimantKey(holder))
      return
    }
  }

  async #serve(team: string, queue: Waiting[]): Promise<void> {
    while (queue.length > 0) {
      const { identity } = queue[0] as Waiting
      const same = queue.filter(
        (each) =>
          each.identity.incarnation === identity.incarnation &&
          each.identity.term === identity.term &&
          each.identity.holder === identity.holder,
      )
      queue.splice(0, queue.length, ...queue.filter((each) => !same.includes(each)))
      try {
        const admitted = await this.#decide(identity, Math.max(...same.map((each) => each.highest)))
        for (const each of same) each.resolve(admitted)
      } catch (error) {
        this.#rows.delete(team)
        for (const each of same) each.reject(error)
      }
    }
    this.#queues.delete(team)
  }

  async #decide(identity: Waiting['identity'], highest: number): Promise<boolean> {
    const store = this.#store(identity.team)
    // What is known may be old: a change is decided by compare-and-set, and "nothing to change" only by what was read now.
    let found = this.#rows.get(identity.team)
    let isFresh = false
    for (;;) {
      if (found === undefined) {
        found = await this.#read(identity.team)
        isFresh = true
      }
      const next = await this.#next(found?.value, identity, highest)
      if (next === 'stale') {
        if (isFresh) return false
        found = undefined
        continue
      }
      if (next === found?.value) {
        if (isFresh) break
        found = undefined
        continue
      }
      const revision = await store.compareAndSet('fence', next, found?.revision ?? 0)
      if (revision !== undefined) {
        this.#rows.set(identity.team, { value: next, revision, storedAt: new Date() })
        break
      }
      found = undefined
    }
    await this.#say(identity)
    return true
  }

  async #next(
    row: FenceRow | undefined,
    { team, incarnation, term, holder }: Waiting['identity'],
    highest: number,
  ): Promise<FenceRow | 'stale'> {
    const seen = Math.max(incarnation, highest)
    if (row === undefined) return { incarnation, term: term ?? 0, holder, highestVersion: seen, claimants: [holder] }
    if (incarnation < row.incarnation) return 'stale'
    if (incarnation > row.incarnation) {
      if (!row.claimants.includes(holder)) {
        const [freshest] = await this.#seen(team, row.claimants)
        if (freshest && freshest.silentFor < this.#silence) return 'stale'
      }
      return { incarnation, term: term ?? 0, holder, highestVersion: Math.max(seen, row.highestVersion), claimants: [holder] }
    }
    if (term !== undefined && term < row.term) return 'stale'
    const isKnown = row.claimants.includes(holder)
    if ((term ?? row.term) === row.term && seen <= row.highestVersion && isKnown) return row
    return {
      incarnation,
      term: term ?? row.term,
      holder: isKnown && (term ?? row.term) === row.term ? row.holder : holder,
      highestVersion: Math.max(seen, row.highestVersion),
      claimants: isKnown ? row.claimants : [...(await this.#living(team, row.claimants)), holder],
    }
  }

  /** Processes that crashed never withdraw: a newcomer clears away who was not seen for a day. */
  async #living(team: string, claimants: readonly string[]): Promise<readonly string[]> {
    if (claimants.length < 8) return claimants
    return (await this.#seen(team, claimants)).filter((each) => each.silentFor < DAY).map((each) => each.holder)
  }

  /** Who was seen, the last seen first; times are the server's own. */
  async #seen(team: string, claimants: readonly string[]): Promise<readonly { readonly holder: string; readonly silentFor: number }[]> {
    const store = this.#store(team)
    await store.set('clock', 0)
    const [clock, ...keys] = await Promise.all([store.get('clock'), ...claimants.map((holder) => store.get(claimantKey(holder)))])
    const now = clock?.storedAt.getTime() ?? 0
    return claimants
      .flatMap((holder, n) => {
        const key = keys[n]
        return key ? [{ holder, silentFor: Math.max(0, now - key.storedAt.getTime()) }] : []
      })
      .sort((a, b) => a.silentFor - b.silentFor)
  }

  async #say({ team, holder }: Identity): Promise<void> {
    const name = `${team} ${holder}`
    const now = this.#now()
    if (now - (this.#saidAt.get(name) ?? Number.NEGATIVE_INFINITY) < Math.min(SAY_AGAIN, this.#silence / 4)) return
    this.#saidAt.set(name, now)
    await this.#store(team).set(claimantKey(holder), holder)
  }

  async #read(team: string): Promise<Stored<FenceRow> | undefined> {
    const found = await this.#store(team).get<FenceRow>('fence')
    if (found) this.#rows.set(team, found)
    else this.#rows.delete(team)
    return found
  }

  #store(team: string): TeamStore {
    const store = this.#stores.get(team) ?? new TeamStore(this.#connection, team)
    this.#stores.set(team, store)
    return store
  }
}

const claimantKey = (holder: string): string => `claimants.${toToken(holder)}`
