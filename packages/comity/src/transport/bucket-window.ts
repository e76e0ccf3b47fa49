import { backoff } from '../foundation/index.ts'
import type { Delivery, DeliveryResult, IncomingMessage } from './transport.ts'

/** One message between broker and handler. */
export interface WindowEntry {
  readonly offset: number
  readonly size: number
  readonly delivery: Delivery
  state: 'held' | 'out' | 'acknowledged'
}

/**
 * The messages of one bucket that a receiver has and that are not all acknowledged.
 *
 *   held ──take──▶ out ──ack──▶ acknowledged ──(no earlier one unacknowledged)──▶ gone: the position moves
 *     ▲             │
 *     └────later────┘
 *
 * After a `later` the window rests: it hands nothing out until everything that is out has been answered and a pause
 * is over; then it goes back to the first unacknowledged message and hands out again, in order, what is not acknowledged.
 * So no newer message of a bucket overtakes one that has to come again. The pause grows while the same message stays first.
 */
export class BucketWindow {
  readonly bucket: number
  /** Whose lease this window serves; an answer under an older term counts for nothing. */
  readonly term: number
  /** The last acknowledged offset with none unacknowledged before it, and when that message was sent. */
  position: number
  positionSentAt: Date = new Date(0)
  /** The last offset that was added: go on fetching after it. */
  fetchedTo: number
  /** How many messages, and bytes, wait to be handed out; and how many are at the handler. */
  held = 0
  heldBytes = 0
  out = 0
  /** Nothing more is handed out: its lease is given back or lost. */
  closing = false

  readonly #pause: { readonly min: number; readonly max: number }
  #entries: WindowEntry[] = []
  /** Index of the first entry that is not gone, and of the next to hand out. */
  #head = 0
  #next = 0
  #resting: 'no' | 'until all are answered' | 'until the pause is over' = 'no'
  #rests = 0
  #drained: (() => void)[] = []

  constructor(
    bucket: number,
    term: number,
    position: number,
    pause: { readonly min: number; readonly max: number } = { min: 20, max: 5000 },
  ) {
    this.bucket = bucket
    this.term = term
    this.position = position
    this.fetchedTo = position
    this.#pause = pause
  }

  /** Messages that occupy memory here, whatever their state. */
  get length(): number {
    return this.#entries.length - this.#head
  }

  /** Whether `take` would give something now. */
  get ready(): boolean {
    return this.held > 0 && !this.closing && this.#resting === 'no'
  }

  add(offset: number, size: number, message: IncomingMessage): void {
    this.fetchedTo = offset
    this.held++
    this.heldBytes += size
    this.#entries.push({ offset, size, delivery: { message, bucket: this.bucket, redelivered: false }, state: 'held' })
  }

  /** Up to `most` messages and `bytes`; with `alone` the first whatever its size, for else it could never go. */
  take(most: number, bytes: number = Number.POSITIVE_INFINITY, alone = true): WindowEntry[] {
    const taken: WindowEntry[] = []
    if (!this.ready) return taken
    for (let left = bytes; this.#next < this.#entries.length && taken.length < most; ) {
      const entry = this.#entries[this.#next] as WindowEntry
      if (entry.state === 'held' && entry.size > left && !(alone && taken.length === 0)) break
      this.#next++
      if (entry.state !== 'held') continue
      left -= entry.size
      entry.state = 'out'
      this.held--
      this.heldBytes -= entry.size
      taken.push(entry)
    }
    this.out += taken.length
    return taken
  }

  /** Says whether the position moved, and for how long the window must pause before {@link resume}; undefined = it need not. */
  settle(
    entries: readonly WindowEntry[],
    results: readonly DeliveryResult[],
  ): { readonly moved: boolean; readonly pause: number | undefined } {
    this.out -= entries.length
    for (const [index, entry] of entries.entries()) {
      if (results[index] === 'ack') {
        entry.state = 'acknowledged'
        continue
      }
      entry.state = 'held'
      this.held++
      this.heldBytes += entry.size
      ;(entry as { delivery: Delivery }).delivery = { ...entry.delivery, redelivered: true }
      if (this.#resting === 'no') this.#resting = 'until all are answered'
    }
    const moved = this.#advance()
    if (moved) this.#rests = 0
    let pause: number | undefined
    if (this.out === 0) {
      for (const resolve of this.#drained.splice(0)) resolve()
      if (this.#resting === 'until all are answered') {
        this.#resting = 'until the pause is over'
        pause = this.#pause.min + backoff(this.#rests++, this.#pause)
      }
    }
    return { moved, pause }
  }

  resume(): void {
    this.#resting = 'no'
    this.#next = this.#head
  }

  /** Resolves when nothing is at the handler. */
  drained(): Promise<void> {
    return this.out === 0 ? Promise.resolve() : new Promise((resolve) => this.#drained.push(resolve))
  }

  #advance(): boolean {
    const from = this.#head
    for (let entry = this.#entries[this.#head]; entry?.state === 'acknowledged'; entry = this.#entries[this.#head]) {
      this.position = entry.offset
      this.positionSentAt = entry.delivery.message.sentAt
      this.#head++
    }
    const moved = this.#head > from
    // After a rest, what follows may have been acknowledged already.
    this.#next = Math.max(this.#next, this.#head)
    // Compact now and then, not on every acknowledgement.
    if (this.#head >= 1024 || this.#head === this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head)
      this.#next -= this.#head
      this.#head = 0
    }
    return moved
  }
}
