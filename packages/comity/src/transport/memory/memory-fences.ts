import type { Clock } from '../../foundation/index.ts'
import type { ClaimResult, Fence, Identity } from '../transport.ts'

interface TeamFence {
  incarnation: number
  term: number
  holder: string
  highestVersion: number
  changedAt: number
  /** Processes that speak for the incarnation: when each was last seen. */
  claimants: Map<string, number>
}

/**
 * Who may send for a team. In one incarnation the highest term; a later incarnation when its holder already spoke for
 * the recorded one (a process that survived its database's restart) or when everyone who did has been silent for `silence` ms.
 */
export class MemoryFences {
  readonly #teams = new Map<string, TeamFence>()
  readonly #silence: number
  readonly #clock: Clock

  constructor(silence: number, clock: Clock) {
    this.#silence = silence
    this.#clock = clock
  }

  admit(identity: Identity | Fence, highestVersion: number): boolean {
    const { team, incarnation, holder } = identity
    const term = 'term' in identity ? identity.term : undefined
    const now = this.#clock.monotonic()
    let fence = this.#teams.get(team)
    if (fence === undefined) {
      fence = { incarnation, term: term ?? 0, holder, highestVersion: 0, changedAt: now, claimants: new Map() }
      this.#teams.set(team, fence)
    }
    if (incarnation < fence.incarnation) return false
    if (incarnation > fence.incarnation) {
      const alive = [...fence.claimants.values()].some((seenAt) => now - seenAt < this.#silence)
      if (alive && !fence.claimants.has(holder)) return false
      Object.assign(fence, { incarnation, term: 0, holder, changedAt: now, claimants: new Map() })
    }
    if (term !== undefined) {
      if (term < fence.term) return false
      fence.term = term
    }
    fence.highestVersion = Math.max(fence.highestVersion, incarnation, highestVersion)
    fence.claimants.set(holder, now)
    return true
  }

  claim(identity: Identity): ClaimResult {
    if (this.admit(identity, 0)) return { status: 'granted', highestVersion: this.#teams.get(identity.team)?.highestVersion ?? 0 }
    const fence = this.#teams.get(identity.team) as TeamFence
    const [holder, seenAt] = [...fence.claimants].sort((a, b) => b[1] - a[1])[0] ?? [fence.holder, fence.changedAt]
    return {
      status: 'refused',
      incumbent: { team: identity.team, incarnation: fence.incarnation, holder },
      silentFor: this.#clock.monotonic() - seenAt,
    }
  }

  /** A clean goodbye: whoever comes next need not wait for silence. */
  withdraw(team: string, holder: string): void {
    this.#teams.get(team)?.claimants.delete(holder)
  }
}
