import { type Subscription as CoreSubscription, createInbox, type Msg, nanos } from '@nats-io/transport-node'
import { type BucketWindow, backoff, type Clock, TransportFailed } from 'comity/transport'
import { type ApiAnswer, type Connection, isPassing, refusal, translate } from './connection.ts'
import { subjectOf } from './names.ts'
import { Places } from './places.ts'
import { NO_STREAM, type StreamInfo } from './topic-stream.ts'
import type { Turnstile } from './turnstile.ts'
import { decode } from './wire-message.ts'

export interface ReaderContext {
  readonly connection: Connection
  readonly clock: Clock
  /** Consumers are made a few at a time. */
  readonly making: Turnstile
  readonly inboxPrefix: string
  readonly stream: string
  readonly topic: string
  /** The consumer's name, which nobody else uses while we hold the leases. */
  readonly name: string
  /** How many messages to ask for now, at most. */
  readonly room: () => number
  /** Bytes of one pull. */
  readonly pullBytes: () => number
  readonly onMessage: () => void
  readonly onTrouble: (error: Error) => void
  readonly onFailed: (error: Error) => void
  /** A window is ahead of the stream: it was made anew, or its server lost what it had not yet written through to the disk. */
  readonly onAhead: () => void
  /** There is no stream. */
  readonly onRemoved: () => void
}

/** A pull that nobody answers any more is asked again. */
const PULL_EXPIRES = 5 * 60_000
/** A consumer that nobody pulls from goes away by itself. */
const INACTIVE = 30_000
const EXISTS = 10012
const ALREADY_THERE = [EXISTS, 10013, 10105, 10148]

interface ConsumerInfo {
  readonly delivered: { readonly consumer_seq: number; readonly stream_seq: number }
}

/**
 * Reads one bucket, or all buckets of a topic together, into their windows, by a consumer of the server that keeps no state worth keeping: it is
 * made where the last of the windows is, acknowledges nothing, and lives in memory. Whatever is odd (a gap in the consumer's own count, the
 * consumer gone, a connection lost, silence while something is there), it is thrown away and made anew behind the last message that arrived.
 *
 *   start ──▶ making ──▶ pulling ──gap, gone, reconnected, stalled──▶ making …      stop: answers that still come are ignored
 */
export class TopicReader {
  readonly #windows: readonly BucketWindow[]
  readonly #bySubject: ReadonlyMap<string, BucketWindow>
  readonly #subject: string
  readonly #context: ReaderContext
  readonly #places = new Places()
  #inbox: CoreSubscription | undefined
  #address = ''
  /** The last sequence that arrived, of whatever bucket: all windows have been read up to it. */
  #readTo = 0
  /** The consumer's count of what it delivered to us. */
  #count = 0
  #outstanding = 0
  /** The next message is larger than a pull of usual size. */
  #large = false
  #making = false
  #again = false
  #failures = 0
  #stopped = false
  #heardAt = 0

  /** @param windows one, or those of all buckets that the topic has. */
  constructor(windows: readonly BucketWindow[], context: ReaderContext) {
    this.#windows = windows
    this.#context = context
    this.#bySubject = new Map(windows.map((window) => [subjectOf(context.topic, window.bucket), window]))
    this.#subject = subjectOf(context.topic, windows.length === 1 ? (windows[0] as BucketWindow).bucket : '*')
  }

  reads(windows: readonly BucketWindow[]): boolean {
    return windows.length === this.#windows.length && windows.every((window) => this.#windows.includes(window))
  }

  has(window: BucketWindow): boolean {
    return this.#windows.includes(window)
  }

  /**
   * Moves windows over what was read and is of other buckets; of those that wait for nothing, the position too: else whoever takes over a quiet
   * bucket would have to begin far behind the others.
   */
  moveOn(): void {
    for (const window of this.#windows) {
      if (window.fetchedTo >= this.#readTo) continue
      window.fetchedTo = this.#readTo
      if (window.length === 0) window.position = this.#readTo
    }
  }

  /** Throws away what is there, and reads on behind the last message that arrived. */
  restart(): void {
    this.#inbox?.unsubscribe()
    this.#inbox = undefined
    this.#outstanding = 0
    this.moveOn()
    this.#again = true
    if (this.#making || this.#stopped) return
    this.#making = true
    void this.#make().finally(() => {
      this.#making = false
    })
  }

  stop(): void {
    this.#stopped = true
    this.#inbox?.unsubscribe()
    this.#inbox = undefined
    this.moveOn()
  }

  /** Asks for more, if there is room and not enough is under way. */
  fill(): void {
    if (this.#inbox === undefined || this.#making || this.#stopped) return
    const room = this.#context.room()
    const wanted = Math.min(room - this.#outstanding, this.#large ? 1 : room)
    if (wanted <= 0 || this.#outstanding > room / 2) return
    void this.#pull(wanted)
  }

  /** Asks for a look when a pull has been silent for so long; what is there and does not come is a stall. Says whether it was one. */
  async checkStall(after: number): Promise<boolean> {
    const { clock, connection, stream } = this.#context
    const silentSince = this.#heardAt
    if (this.#outstanding === 0 || this.#making || this.#stopped || clock.monotonic() - silentSince < after) return false
    this.moveOn()
    const next = { seq: this.#behind() + 1, next_by_subj: this.#subject }
    const found = await connection.request(`$JS.API.DIRECT.GET.${stream}`, JSON.stringify(next))
    if (this.#heardAt !== silentSince || this.#stopped) return false
    this.#heardAt = clock.monotonic()
    if ((found.headers?.code ?? 0) >= 300) return false
    this.restart()
    return true
  }

  /** How far all of the windows are. */
  #behind(): number {
    return Math.min(...this.#windows.map((window) => window.fetchedTo))
  }

  async #make(): Promise<void> {
    const { connection, clock, onTrouble, onFailed } = this.#context
    while (this.#again && !this.#stopped) {
      this.#again = false
      try {
        await this.#context.making.pass(() => this.#create())
        if (this.#again || this.#stopped) continue
        const client = await connection.client()
        this.#address = createInbox(this.#context.inboxPrefix)
        this.#count = 0
        this.#heardAt = clock.monotonic()
        this.#inbox = client.subscribe(this.#address, { callback: (error, message) => this.#receive(error, message) })
        this.#failures = 0
        await this.#pull(this.#context.room())
      } catch (error) {
        if (!isPassing(error)) {
          onFailed(error as Error)
          return
        }
        onTrouble(error as Error)
        this.#again = true
        await clock.sleep(20 + backoff(this.#failures++, { min: 50, max: 2000 }))
      }
    }
  }

  async #create(): Promise<void> {
    if (this.#stopped) return
    const { connection, stream, name, onAhead, onRemoved } = this.#context
    const start = this.#behind()
    const verb = `CONSUMER.CREATE.${stream}.${name}.${this.#subject}`
    const body = {
      stream_name: stream,
      config: {
        name,
        deliver_policy: 'by_start_sequence',
        opt_start_seq: start + 1,
        ack_policy: 'none',
        filter_subject: this.#subject,
        mem_storage: true,
        num_replicas: 1,
        inactive_threshold: nanos(INACTIVE),
      },
    }
    for (let attempt = 0; ; attempt++) {
      const answer: ApiAnswer<ConsumerInfo> = await connection.ask(verb, body)
      if (answer.error === undefined && answer.delivered.consumer_seq === 0) {
        // Later than asked for: retention has been at work. Earlier: the stream ends before our position.
        if (answer.delivered.stream_seq < start || (await this.#isAhead(start))) onAhead()
        return
      }
      if (answer.error?.err_code === NO_STREAM) return onRemoved()
      if (answer.error !== undefined && !ALREADY_THERE.includes(answer.error.err_code ?? 0)) throw refusal(answer.error, verb)
      if (attempt === 3) throw new TransportFailed({ transport: 'nats', reason: `consumer ${name} of ${stream} is used by somebody else` })
      await connection.ask(`CONSUMER.DELETE.${stream}.${name}`)
    }
  }

  /** The consumer says whether the stream reaches to the last of the windows only; the others are compared with the stream. */
  async #isAhead(start: number): Promise<boolean> {
    const first = Math.max(...this.#windows.map((window) => window.fetchedTo))
    if (first === start) return false
    const { state } = await this.#context.connection.demand<StreamInfo>(`STREAM.INFO.${this.#context.stream}`)
    return state.last_seq < first
  }

  async #pull(wanted: number): Promise<void> {
    const { connection, stream, name, pullBytes } = this.#context
    if (wanted <= 0) return
    this.#outstanding += wanted
    const request = { batch: wanted, expires: nanos(PULL_EXPIRES), ...(!this.#large && { max_bytes: pullBytes() }) }
    try {
      const client = await connection.client()
      if (this.#inbox) client.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${name}`, JSON.stringify(request), { reply: this.#address })
    } catch {
      this.#outstanding -= wanted // the connection is lost: it restarts us when it is back
    }
  }

  #receive(error: Error | null, received: Msg): void {
    if (this.#stopped || this.#inbox === undefined) return
    this.#heardAt = this.#context.clock.monotonic()
    if (error) {
      this.#context.onFailed(translate(error, this.#address))
      return
    }
    const place = this.#places.of(received.reply)
    if (place === undefined) {
      this.#status(received)
      return
    }
    if (place.count !== this.#count + 1) {
      this.restart() // something between is missing
      return
    }
    this.#count = place.count
    this.#outstanding--
    this.#large = false
    this.#readTo = place.sequence
    const window = this.#bySubject.get(received.subject)
    // Together, windows are read from where the last of them is: the others have it already.
    if (window !== undefined && place.sequence > window.fetchedTo) {
      const { message, size } = decode(received, place.sequence, place.sentAt)
      window.add(place.sequence, size, message)
    }
    this.#context.onMessage()
  }

  /** The server says how a pull has ended. Source: nats-server/server/consumer.go, processNextMsgRequest. */
  #status({ headers }: Msg): void {
    const { code = 0, description = '' } = headers ?? {}
    if (code === 100) return
    if (code === 503 || (code === 409 && /deleted|leadership|shutdown|push based/i.test(description))) {
      this.restart()
      return
    }
    if (code === 409 && /size exceeds/i.test(description)) this.#large = true
    const left = Number(headers?.get('Nats-Pending-Messages') || this.#outstanding)
    this.#outstanding = Math.max(0, this.#outstanding - left)
    // Not at once: a server that keeps refusing must not be asked without a pause.
    void this.#context.clock.sleep(this.#large ? 0 : 20).then(() => this.fill())
  }
}
