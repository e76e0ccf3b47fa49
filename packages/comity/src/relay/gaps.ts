/** An inclusive range of versions. */
export interface Range {
  readonly lo: number
  readonly hi: number
}

/**
 * The versions above the checkpoint that were not seen yet although a later one was: rows of transactions that had not
 * committed, or numbers that nobody will ever use. Kept as ranges, ascending: a new incarnation leaves one of millions.
 */
export class Gaps {
  #ranges: Range[] = []

  get ranges(): readonly Range[] {
    return this.#ranges
  }

  /** Everything in it is unseen; it lies above all others. */
  append(lo: number, hi: number): void {
    if (lo <= hi) this.#ranges.push({ lo, hi })
  }

  /** This version has been seen. */
  remove(version: number): void {
    const index = this.#ranges.findIndex((range) => version <= range.hi)
    const range = this.#ranges[index]
    if (range === undefined || version < range.lo) return
    const parts: Range[] = []
    if (range.lo < version) parts.push({ lo: range.lo, hi: version - 1 })
    if (version < range.hi) parts.push({ lo: version + 1, hi: range.hi })
    this.#ranges.splice(index, 1, ...parts)
  }

  /** Nothing at or below `version` can appear any more. */
  removeUpTo(version: number): void {
    this.#ranges = this.#ranges.flatMap((range) => {
      if (range.hi <= version) return []
      return [range.lo > version ? range : { lo: version + 1, hi: range.hi }]
    })
  }

  clear(): void {
    this.#ranges = []
  }
}
