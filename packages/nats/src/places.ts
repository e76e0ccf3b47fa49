/** Where a delivered message stands: its sequence in the stream, the consumer's count of what it delivered, and when it was stored. */
export interface Place {
  readonly sequence: number
  readonly count: number
  readonly sentAt: Date
}

/**
 * Reads `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns>.<pending>`; since 2.10 `<domain>.<account>` may stand before the
 * stream. What stands before the sequence is the same in every message of a consumer, and not looked at again.
 */
export class Places {
  #prefix = '$JS.ACK.unknown.'

  /** Undefined: no message of a stream, but a word of the server. */
  of(reply: string | undefined): Place | undefined {
    if (reply === undefined) return undefined
    if (!reply.startsWith(this.#prefix)) {
      if (!reply.startsWith('$JS.ACK.')) return undefined
      const tokens = reply.split('.')
      this.#prefix = `${tokens.slice(0, tokens.length >= 11 ? 7 : 5).join('.')}.`
    }
    const first = this.#prefix.length
    const second = reply.indexOf('.', first) + 1
    const third = reply.indexOf('.', second) + 1
    const end = reply.indexOf('.', third)
    // Nanoseconds, of which a Date holds the milliseconds.
    const sentAt = new Date(Number(reply.slice(third, end - 6)))
    return { sequence: Number(reply.slice(first, second - 1)), count: Number(reply.slice(second, third - 1)), sentAt }
  }
}
