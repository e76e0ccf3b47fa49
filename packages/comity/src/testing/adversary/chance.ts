/** mulberry32: the same seed, and the same word beside it, give the same numbers. */
export class Chance {
  #state: number

  constructor(seed: number, word = '') {
    let state = seed >>> 0
    for (let i = 0; i < word.length; i++) state = Math.imul(state ^ word.charCodeAt(i), 0x01000193) >>> 0
    this.#state = state
  }

  /** From 0 to 1, 1 excluded. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }

  happens(likelihood: number): boolean {
    return this.next() < likelihood
  }
}
