import type { DebugMessage, Message, Subscription } from '@google-cloud/pubsub'
import { BucketWindow, backoff, type Clock, Deliveries, type DeliveryHandler, type ReceiveOptions } from 'comity/transport'
import type { Clients, StreamingClient } from './clients.ts'
import { isPassing, translateServiceError } from './service-errors.ts'
import { assertSafe, type Settings, subscriptionPath } from './settings.ts'
import { fromWire } from './wire-message.ts'

export interface ReceiverContext {
  readonly clients: Clients
  readonly settings: Settings
  readonly clock: Clock
  /** After how many milliseconds without a message an idle stream is replaced, for it may be dead. */
  readonly quietFor: number
}

/** How long the last words to the service may take, in milliseconds. */
const GOODBYE = 5000
/** For a call that only asks, in milliseconds. */
const ASK = 5000
const MOST_LOST_ACKS = 20_000
/** The shortest lease that is one, in seconds. */
const SHORT_LEASE = 1

/** A message that has no answer yet, in the order of its bucket. */
interface Held {
  readonly offset: number
  readonly id: string
  /** As often as the service delivered it meanwhile. All are answered together: the answer to any of them is the answer to the message. */
  readonly deliveries: Message[]
}

/**
 * One call of `receive`.
 *
 *   opening ──settings are safe──▶ receiving ⇄ in trouble (asked after until the service answers; what is here is delivered meanwhile)
 *     receiving ──end──▶ leaving: the last handlers are waited for, the leases of the rest run out, the stream ends ──▶ ended
 *     any ──fail (no such subscription, no right to it, unsafe)──▶ leaving, and `ended` rejects
 *
 * Google's client keeps the stream and the leases. It hands out messages of one ordering key, our bucket, in order, and they go into that bucket's
 * window; acknowledged is what the window's position has passed. What is answered with `later` stays here, leased.
 */
export class Receiver {
  readonly ended: Promise<void>
  readonly #name: string
  readonly #context: ReceiverContext
  readonly #options: ReceiveOptions
  readonly #deliveries: Deliveries
  readonly #held = new Map<number, Held[]>()
  readonly #byId = new Map<string, Held>()
  readonly #stopping = new AbortController()
  /** Acknowledgements that the client gave up; it says so, once, and forgets them. */
  #lostAcks: string[] = []
  #streaming: StreamingClient | undefined
  #subscription: Subscription | undefined
  /** Streams that end: they keep the leases of what they delivered until it is answered. */
  readonly #closing = new Set<Promise<void>>()
  #lastSign = 0
  #asking = false
  #inTrouble = false
  #pumping = false
  #givingBack = false
  #ending: Promise<void> | undefined
  #settle: (error?: Error) => void = () => undefined

  constructor(name: string, handler: DeliveryHandler, options: ReceiveOptions, context: ReceiverContext) {
    this.#name = name
    this.#options = options
    this.#context = context
    this.ended = new Promise((resolve, reject) => {
      this.#settle = (error) => (error ? reject(error) : resolve())
    })
    this.#deliveries = new Deliveries({
      handler,
      prefetch: options.prefetch ?? 1000,
      prefetchBytes: options.prefetchBytes,
      mayDeliver: () => true,
      onMoved: (window) => this.#acknowledge(window),
      // The stream brings messages by itself; the client's flow control stops it.
      onRoom: () => undefined,
    })
  }

  /** Opens the stream and looks after it until the receive ends. */
  async run(): Promise<void> {
    if (!(await this.#ask(true))) return
    await this.#connect()
    const { clock, quietFor } = this.#context
    while (this.#ending === undefined) {
      await clock.sleep(quietFor / 4, this.#stopping.signal)
      this.#lookAfterStream()
    }
  }

  end(): Promise<void> {
    this.#ending ??= this.#leave().then(() => this.#settle())
    return this.#ending
  }

  fail(error: Error): void {
    this.#ending ??= this.#leave().then(() => this.#settle(error))
  }

  /** Asks for the subscription until the service answers. False if the receive ends instead. */
  async #ask(thoroughly: boolean): Promise<boolean> {
    const { clients, settings, clock } = this.#context
    for (let failures = 0; this.#ending === undefined; failures++) {
      try {
        const subscriber = await clients.subscriber()
        const [is] = await subscriber.getSubscription(
          { subscription: subscriptionPath(settings, this.#name) },
          { timeout: ASK, retry: null },
        )
        if (thoroughly) assertSafe(is, settings, this.#name)
        this.#trouble(undefined)
        return this.#ending === undefined
      } catch (given) {
        const needs = `roles/pubsub.viewer on the subscription ${this.#name}`
        const error = translateServiceError(given, { subscription: this.#name, needs })
        if (!isPassing(error)) {
          this.fail(error)
          return false
        }
        this.#trouble(error)
        await clock.sleep(20 + backoff(failures, { min: 50, max: 5000 }), this.#stopping.signal)
      }
    }
    return false
  }

  async #connect(): Promise<void> {
    const { clients, settings } = this.#context
    const { Duration } = await clients.library()
    this.#streaming ??= await clients.streaming()
    if (this.#ending !== undefined) return
    const { prefetch = 1000, prefetchBytes = 64 * 1024 * 1024 } = this.#options
    const lease = Duration.from({ seconds: settings.ackDeadline })
    const subscription = this.#streaming.client.subscription(subscriptionPath(settings, this.#name), {
      // As many wait here as are at the handler.
      flowControl: { maxMessages: prefetch * 2, maxBytes: prefetchBytes * 2 },
      // One stream: a client has few, and a bucket stays with its stream.
      streamingOptions: { maxStreams: 1, retryMinBackoff: Duration.from({ millis: 100 }), retryMaxBackoff: Duration.from({ seconds: 5 }) },
      // The default of 100 ms would cap a receiver at prefetch × 10 messages a second.
      batching: { maxMilliseconds: 10, maxMessages: 10_000 },
      minAckDeadline: lease,
      maxAckDeadline: lease,
      closeOptions: { behavior: 'WAIT' },
    })
    this.#subscription = subscription
    this.#lastSign = this.#context.clock.monotonic()
    subscription.on('message', (message: Message) => this.#add(message))
    subscription.on('debug', (said: DebugMessage) => this.#heard(said.error))
    subscription.on('error', (error) => this.#lost(subscription, error))
    subscription.on('close', () => this.#lost(subscription, undefined))
  }

  #add(message: Message): void {
    this.#lastSign = this.#context.clock.monotonic()
    if (this.#givingBack) {
      message.modAck(SHORT_LEASE)
      return
    }
    if (this.#inTrouble) this.#trouble(undefined)
    const known = this.#byId.get(message.id)
    if (known !== undefined) {
      known.deliveries.push(message)
      return
    }
    const { message: incoming, bucket, size } = fromWire(message)
    let window = this.#deliveries.windows.get(bucket)
    if (window === undefined) {
      window = new BucketWindow(bucket, 0, 0)
      this.#deliveries.open(window)
      this.#held.set(bucket, [])
    }
    const held: Held = { offset: window.fetchedTo + 1, id: message.id, deliveries: [message] }
    window.add(held.offset, size, incoming)
    this.#held.get(bucket)?.push(held)
    this.#byId.set(message.id, held)
    this.#pumpSoon()
  }

  /** A response of the stream brings many messages, each by a call of its own. */
  #pumpSoon(): void {
    if (this.#pumping) return
    this.#pumping = true
    setImmediate(() => {
      this.#pumping = false
      this.#deliveries.pump()
    })
  }

  #acknowledge(window: BucketWindow): void {
    const held = this.#held.get(window.bucket) ?? []
    let count = 0
    while (count < held.length && (held[count] as Held).offset <= window.position) count++
    for (const { id, deliveries } of held.splice(0, count)) {
      this.#byId.delete(id)
      for (const delivery of deliveries) this.#answer(delivery)
    }
  }

  /** A stream that has closed takes no answers any more: it would drop them without a word. */
  #answer(delivery: Message): void {
    delivery.ack()
  }

  /** What Google's client reports and does not act upon: a stream that ended and will be opened again, acknowledgements that failed. */
  #heard(error: Error | undefined): void {
    const { ackIds } = (error ?? {}) as { readonly ackIds?: readonly string[] }
    if (ackIds !== undefined && /"ack"/.test(String(error?.message))) {
      // Beyond this many, the messages come again, and the inbox knows them.
      if (this.#lostAcks.length + ackIds.length <= MOST_LOST_ACKS) this.#lostAcks.push(...ackIds)
    }
    void this.#askAgain()
  }

  /** The service ends a stream every half an hour, which is no trouble; whether it is, shows when it is asked. */
  async #askAgain(): Promise<void> {
    if (this.#asking || this.#ending !== undefined) return
    this.#asking = true
    try {
      if (await this.#ask(false)) await this.#acknowledgeLost()
    } finally {
      this.#asking = false
    }
  }

  /** The client has given up this stream. */
  #lost(subscription: Subscription, error: Error | undefined): void {
    if (this.#subscription !== subscription || this.#ending !== undefined) return
    if (error !== undefined) {
      const translated = translateServiceError(error, {
        subscription: this.#name,
        needs: `roles/pubsub.subscriber on the subscription ${this.#name}`,
      })
      if (!isPassing(translated)) {
        this.fail(translated)
        return
      }
    }
    void this.#replaceStream()
  }

  async #replaceStream(): Promise<void> {
    this.#closeStream()
    if (await this.#ask(false)) await this.#connect()
  }

  /** A half-open connection may show nothing at all, and an idle stream costs nothing to open again. */
  #lookAfterStream(): void {
    const { clock, quietFor } = this.#context
    if (
      this.#ending !== undefined ||
      this.#subscription === undefined ||
      this.#byId.size > 0 ||
      clock.monotonic() - this.#lastSign < quietFor
    )
      return
    void this.#replaceStream()
  }

  #closeStream(): void {
    const subscription = this.#subscription
    if (subscription === undefined) return
    this.#subscription = undefined
    const closing = subscription.close().then(
      () => undefined,
      () => undefined,
    )
    this.#closing.add(closing)
    void closing.then(() => this.#closing.delete(closing))
  }

  #trouble(error: Error | undefined): void {
    if ((error === undefined) === !this.#inTrouble) return
    this.#inTrouble = error !== undefined
    this.#options.onTrouble?.(error)
  }

  async #leave(): Promise<void> {
    const { clock } = this.#context
    this.#stopping.abort()
    await this.#deliveries.stop()
    await this.#giveBack()
    this.#closeStream()
    const enough = new AbortController()
    await Promise.race([this.#sayGoodbye(), clock.sleep(GOODBYE, enough.signal)])
    enough.abort()
    this.#streaming?.release()
  }

  /**
   * What has no answer comes again, before the later messages of its key: the leases run out while the stream is open. Were they refused, or the
   * stream ended before, the emulator would hand what is queued behind them to another receiver first (seen with 528.0.0).
   */
  async #giveBack(): Promise<void> {
    const subscription = this.#subscription
    this.#givingBack = true
    if (subscription === undefined || this.#byId.size === 0) return
    const { clients, clock } = this.#context
    const never = (await clients.library()).Duration.from({ seconds: 0 })
    // The client extends no lease any more, and drops what it still has when it is closed.
    subscription.setOptions({ maxExtensionTime: never })
    for (const held of this.#held.values())
      for (const { deliveries } of held) for (const delivery of deliveries) delivery.modAck(SHORT_LEASE)
    await clock.sleep(SHORT_LEASE * 1000 + 500)
  }

  async #sayGoodbye(): Promise<void> {
    await Promise.all(this.#closing)
    await this.#acknowledgeLost()
  }

  async #acknowledgeLost(): Promise<void> {
    const { clients, settings } = this.#context
    const ackIds = this.#lostAcks
    this.#lostAcks = []
    try {
      const subscriber = await clients.subscriber()
      // A request may have 524,288 bytes.
      for (let from = 0; from < ackIds.length; from += 2000)
        await subscriber.acknowledge({ subscription: subscriptionPath(settings, this.#name), ackIds: ackIds.slice(from, from + 2000) })
    } catch {
      // These messages come again, and the inbox knows them.
    }
  }
}
