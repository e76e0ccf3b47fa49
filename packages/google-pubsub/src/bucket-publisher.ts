import { backoff, type Clock, TransportClosed, type TransportUnavailable } from 'comity/transport'
import { isPassing } from './service-errors.ts'
import type { WireMessage } from './wire-message.ts'

/** Limits of one PublishRequest: 1000 messages and 10,000,000 bytes, of which one is left for what frames them. */
const REQUEST_MESSAGES = 1000
const REQUEST_BYTES = 9_000_000

/** Stores these messages, all of one ordering key, or rejects with an error of the transport layer. */
export type PublishRequest = (topic: string, messages: readonly WireMessage[]) => Promise<void>

export interface BucketPublisherOptions {
  readonly publish: PublishRequest
  readonly clock: Clock
  /** After how many milliseconds of failing a request is given up as unknown. */
  readonly giveUpAfter: number
}

/** One `send`: how many of its messages have no answer yet, and what became of the others. */
interface Send {
  left: number
  stored: number
  failure: Error | undefined
  readonly settle: () => void
}
interface Waiting {
  readonly message: WireMessage
  readonly size: number
  readonly send: Send
}

/**
 * Messages on their way to the service, a line per topic and bucket. All messages of a request share the ordering key, and one request per
 * bucket is out; what comes meanwhile, of whichever send, waits and goes together with the next.
 *
 *   waiting ──(none of its bucket is out)──▶ out ──stored──▶ answered
 *                                             │ ▲
 *                          fails, may pass ───┘ └─── the same messages, in the same order, after a pause
 *                                             └── given up, or it cannot pass ──▶ everything in the line of this bucket fails
 *
 * So a bucket keeps its order, and a request that fails holds back nothing but its own bucket.
 */
export class BucketPublisher {
  readonly #options: BucketPublisherOptions
  readonly #lines = new Map<string, Waiting[]>()
  #closed = false

  constructor(options: BucketPublisherOptions) {
    this.#options = options
  }

  /** Resolves when every message is stored. Rejects, when the last has an answer, with the first failure; it is unknown if others were stored. */
  async send(topic: string, messages: readonly WireMessage[], sizes: readonly number[]): Promise<void> {
    if (messages.length === 0) return
    const send: Send = await new Promise((resolve) => {
      const created: Send = { left: messages.length, stored: 0, failure: undefined, settle: () => resolve(created) }
      const toStart = new Map<string, Waiting[]>()
      for (const [index, message] of messages.entries()) {
        const name = `${topic} ${message.orderingKey}`
        let line = this.#lines.get(name)
        if (line === undefined) {
          line = []
          this.#lines.set(name, line)
          toStart.set(name, line)
        }
        line.push({ message, size: sizes[index] ?? 0, send: created })
      }
      for (const [name, line] of toStart) void this.#run(topic, name, line)
    })
    if (send.failure === undefined) return
    throw new SendFailed(send.failure, send.stored > 0)
  }

  /** What waits fails; what is out is not waited for. */
  close(): void {
    this.#closed = true
    for (const line of this.#lines.values()) this.#fail(line, new TransportClosed({ transport: 'google-pubsub' }))
  }

  async #run(topic: string, name: string, line: Waiting[]): Promise<void> {
    while (line.length > 0) {
      const batch = firstOf(line)
      try {
        await this.#store(
          topic,
          batch.map(({ message }) => message),
        )
      } catch (error) {
        this.#fail(batch, error as Error)
        this.#fail(line, error as Error)
        break
      }
      for (const { send } of batch) {
        send.stored++
        if (--send.left === 0) send.settle()
      }
    }
    this.#lines.delete(name)
  }

  async #store(topic: string, messages: readonly WireMessage[]): Promise<void> {
    const { publish, clock, giveUpAfter } = this.#options
    const began = clock.monotonic()
    for (let failures = 0; ; failures++) {
      try {
        return await publish(topic, messages)
      } catch (error) {
        if (!isPassing(error) || this.#closed) throw error
        const pause = 20 + backoff(failures, { min: 100, max: 2000 })
        if (clock.monotonic() + pause - began >= giveUpAfter) throw error as InstanceType<typeof TransportUnavailable>
        await clock.sleep(pause)
      }
    }
  }

  #fail(line: Waiting[], error: Error): void {
    for (const { send } of line.splice(0)) {
      send.failure ??= error
      if (--send.left === 0) send.settle()
    }
  }
}

/** Why a send failed, and whether some of it is stored all the same. */
export class SendFailed {
  readonly error: Error
  readonly partly: boolean
  constructor(error: Error, partly: boolean) {
    this.error = error
    this.partly = partly
  }
}

/** Takes what one request may carry off the front; one message always. */
function firstOf(line: Waiting[]): Waiting[] {
  let bytes = 0
  let count = 0
  while (count < line.length && count < REQUEST_MESSAGES) {
    bytes += (line[count] as Waiting).size
    if (count > 0 && bytes > REQUEST_BYTES) break
    count++
  }
  return line.splice(0, count)
}
