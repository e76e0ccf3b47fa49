import { type Clock, systemClock } from './clock.ts'

/** The last sign of progress of something that may take long, but not for ever without a sign. */
export class Pulse {
  readonly #clock: Clock
  #at: number

  constructor(clock: Clock = systemClock) {
    this.#clock = clock
    this.#at = clock.monotonic()
  }

  beat(): void {
    this.#at = this.#clock.monotonic()
  }
  /** Milliseconds since the last sign. */
  get silentFor(): number {
    return this.#clock.monotonic() - this.#at
  }
}
