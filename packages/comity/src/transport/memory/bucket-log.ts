import type { IncomingMessage } from '../transport.ts'

export interface LoggedMessage {
  readonly message: IncomingMessage
  readonly size: number
}

/** The messages of one bucket: offsets from 1, without gaps; old ones can be forgotten from the front. */
export class BucketLog {
  #messages: LoggedMessage[] = []
  #forgotten = 0

  /** The offset of the newest message, 0 if there was none. */
  get last(): number {
    return this.#forgotten + this.#messages.length
  }
  /** The offset of the oldest that is still here; `last + 1` if none is. */
  get first(): number {
    return this.#forgotten + 1
  }

  append(message: LoggedMessage): void {
    this.#messages.push(message)
  }
  at(offset: number): LoggedMessage | undefined {
    return this.#messages[offset - this.#forgotten - 1]
  }
  /** The first offset that was sent at `time` or later; `last + 1` if none was. */
  offsetAt(time: Date): number {
    const index = this.#messages.findIndex(({ message }) => message.sentAt >= time)
    return index < 0 ? this.last + 1 : this.#forgotten + index + 1
  }
  /** Forgets everything up to `offset` but the newest `keep` messages of it. */
  forget(offset: number, keep: number): void {
    const surplus = Math.min(offset, this.last) - this.#forgotten - keep
    // In large steps: removing from the front copies the rest.
    if (surplus < Math.max(1, keep / 2)) return
    this.#messages = this.#messages.slice(surplus)
    this.#forgotten += surplus
  }
}
