/** Names as in Jepsen's catalogue, see the table in the header of `history-checker.ts`. */
export type ViolationClass =
  | 'H1'
  | 'H2'
  | 'H3'
  | 'H4'
  | 'H5'
  | 'H6'
  | 'H7'
  | 'H8'
  | 'H9'
  | 'H10'
  | 'H11'
  | 'H12'
  | 'H14'
  | 'H15'
  | 'H16'
  | 'H18'
  | 'H19'
  | 'H22'
  | 'H23'
  | 'H24'

export interface Violation {
  readonly class: ViolationClass
  /** Where the class has parts: prefix, middle, postfix (H1); missing, extra, stale, field (H11);
   * zero, two, half, phantom, lost (H15). */
  readonly part?: string
  readonly detail: string
}

/** Of each class and part so many are told; the others are counted only. */
const TOLD = 10

export class Violations {
  readonly #told: Violation[] = []
  readonly #counts = new Map<string, number>()

  add(violation: Violation): void {
    const name = violation.part === undefined ? violation.class : `${violation.class} ${violation.part}`
    const count = (this.#counts.get(name) ?? 0) + 1
    this.#counts.set(name, count)
    if (count <= TOLD) this.#told.push(violation)
  }

  get told(): readonly Violation[] {
    return this.#told
  }

  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#counts].sort())
  }
}
