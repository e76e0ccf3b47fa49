import { backoff } from '../../foundation/index.ts'
import { numberArray, textArray } from './binary-array.ts'
import type { BusConnection } from './bus-connection.ts'
import { isPassing } from './bus-errors.ts'

/** The last acknowledged message of one leased bucket. */
export interface Acknowledgement {
  readonly subscription: number
  readonly holder: string
  readonly bucket: number
  readonly term: number
  readonly position: number
  readonly sentAt: Date
  /** The lease belongs to somebody else by now. */
  readonly onRefused: () => void
}

/** Acknowledgements of all receivers of a process ride together: one statement at a time, after this many milliseconds. */
const GATHER = 5

export class Acknowledgements {
  readonly #bus: BusConnection
  #noted = new Map<string, Acknowledgement>()
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> | undefined
  #failures = 0

  constructor(bus: BusConnection) {
    this.#bus = bus
  }

  /** A later position of the same lease replaces an earlier one. */
  note(acknowledgement: Acknowledgement): void {
    this.#noted.set(`${acknowledgement.holder} ${acknowledgement.bucket}`, acknowledgement)
    this.#schedule(GATHER)
  }

  /** Resolves when everything noted so far has been written, or could not be (then it comes again). */
  async flush(): Promise<void> {
    await this.#writing
    await (this.#noted.size > 0 ? this.#write() : this.#writing)
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#noted.clear()
  }

  #schedule(wait: number): void {
    if (this.#timer || this.#writing !== undefined) return
    this.#timer = setTimeout(() => void this.#write(), wait)
  }

  #write(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#writing ??= this.#send().finally(() => {
      this.#writing = undefined
      if (this.#noted.size > 0) this.#schedule(this.#failures === 0 ? GATHER : 10 + backoff(this.#failures, { min: 50, max: 5000 }))
    })
    return this.#writing
  }

  async #send(): Promise<void> {
    const acks = [...this.#noted.values()]
    this.#noted = new Map()
    try {
      const [row] = await this.#bus.arrays(
        'select comity_bus.ack($1::integer[], $2::text[], $3::integer[], $4::bigint[], $5::bigint[], $6::double precision[])',
        [
          numberArray(acks.map((ack) => ack.subscription)),
          textArray(acks.map((ack) => ack.holder)),
          numberArray(acks.map((ack) => ack.bucket)),
          numberArray(acks.map((ack) => ack.term)),
          numberArray(acks.map((ack) => ack.position)),
          // A lower bound: the message's own time has microseconds.
          numberArray(acks.map((ack) => Math.floor(ack.sentAt.getTime()))),
        ],
      )
      this.#failures = 0
      for (const index of (row?.[0] ?? []) as number[]) acks[index - 1]?.onRefused()
    } catch (error) {
      this.#failures++
      if (!isPassing(error)) {
        for (const ack of acks) ack.onRefused()
        return
      }
      for (const ack of acks) {
        const key = `${ack.holder} ${ack.bucket}`
        if (!this.#noted.has(key)) this.#noted.set(key, ack)
      }
    }
  }
}
