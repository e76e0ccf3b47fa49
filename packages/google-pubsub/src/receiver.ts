import { BucketWindow, backoff, type Clock, Deliveries, type DeliveryHandler, type ReceiveOptions } from 'comity/transport'
import type { Clients, Connection } from './clients.ts'
import { Leases } from './leases.ts'
import { PullStream, type ReceivedMessage } from './pull-stream.ts'
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
/** For one call, in milliseconds; it is repeated by us. */
const CALL = { timeout: 5000, retry: null }
/** The shortest lease that is one, in seconds. */
const SHORT_LEASE = 1
const SIGN_OF_LIFE = 30_000
/** A stream that has lasted so long, in milliseconds, was none that fails at once. */
const LASTING = 5000

/** A message that has no answer yet, in the order of its bucket. */
interface Held {
  readonly offset: number
  readonly id: string
  /** As often as the service delivered it meanwhile. All are answered together: the answer to any of them is the answer to the message. */
  readonly ackIds: string[]
}

/**
 * One call of `receive`.
 *
 *   opening ──settings are safe──▶ receiving ⇄ in trouble (asked after until the service answers; what is here is delivered meanwhile)
 *     receiving ──end──▶ leaving: the last handlers are waited for, the leases of the rest run out, the stream ends ──▶ ended
 *     any ──fail (no such subscription, no right to it, unsafe)──▶ leaving, and `ended` rejects
 *
 * A stream brings the messages of one ordering key, our bucket, in order, and they go into that bucket's window; acknowledged is what the
 * window's position has passed. What is answered with `later` stays here, leased.
 */
export class Receiver {
  readonly ended: Promise<void>
  readonly #name: string
  readonly #path: string
  readonly #context: ReceiverContext
  readonly #options: ReceiveOptions
  readonly #prefetchBytes: number
  readonly #deliveries: Deliveries
  readonly #leases: Leases
  readonly #held = new Map<number, Held[]>()
  readonly #byId = new Map<string, Held>()
  readonly #stopping = new AbortController()
  #connection: Connection | undefined
  #stream: PullStream | undefined
  #lastSign = 0
  #inTrouble = false
  #pumping = false
  #givingBack = false
  #ending: Promise<void> | undefined
  #settle: (error?: Error) => void = () => undefined

  constructor(name: string, handler: DeliveryHandler, options: ReceiveOptions, context: ReceiverContext) {
    const { clients, settings, clock } = context
    this.#name = name
    this.#path = subscriptionPath(settings, name)
    this.#options = options
    this.#context = context
    this.#prefetchBytes = options.prefetchBytes ?? 64 * 1024 * 1024
    this.ended = new Promise((resolve, reject) => {
      this.#settle = (error) => (error ? reject(error) : resolve())
    })
    this.#deliveries = new Deliveries({
      handler,
      prefetch: options.prefetch ?? 1000,
      prefetchBytes: options.prefetchBytes,
      mayDeliver: () => true,
      onMoved: (window) => this.#acknowledge(window),
      onRoom: () => this.#stream?.resume(),
    })
    const subscription = this.#path
    this.#leases = new Leases({
      acknowledge: async (ackIds) => (await clients.subscriber()).acknowledge({ subscription, ackIds }, CALL),
      modify: async (ackIds, ackDeadlineSeconds) =>
        (await clients.subscriber()).modifyAckDeadline({ subscription, ackIds, ackDeadlineSeconds }, CALL),
      isPassing: (error) => isPassing(this.#translated(error)),
      ackDeadline: settings.ackDeadline,
      clock,
    })
  }

  /** Receives until it ends, or has to be ended. */
  async run(): Promise<void> {
    const { clients, clock } = this.#context
    if (!(await this.#ask(true))) return
    const connection = await clients.connection()
    if (this.#ending !== undefined) return connection.release()
    this.#connection = connection
    void this.#leases.keep()
    for (let failures = 0; this.#ending === undefined; ) {
      const began = clock.monotonic()
      const error = await this.#pull(connection)
      if (this.#ending !== undefined) return
      if (error !== undefined && !isPassing(error)) return this.fail(error)
      failures = clock.monotonic() - began > LASTING ? 0 : failures + 1
      if (failures > 1) await clock.sleep(backoff(failures, { min: 50, max: 5000 }), this.#stopping.signal)
      // The service ends a stream every half an hour, which is no trouble; whether it is, shows when it is asked.
      if (!(await this.#ask(false))) return
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
        const [is] = await (await clients.subscriber()).getSubscription({ subscription: this.#path }, CALL)
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

  /** One stream, until it ends. */
  async #pull({ open }: Connection): Promise<Error | undefined> {
    const { settings, clock, quietFor } = this.#context
    const { prefetch = 1000 } = this.#options
    const stream = new PullStream({
      open,
      subscription: this.#path,
      ackDeadline: settings.ackDeadline,
      // What has ended behind a message that has not is still out, to the service.
      flow: { messages: 4 * Math.max(1000, prefetch), bytes: 4 * this.#prefetchBytes },
      onMessages: (messages) => this.#add(messages),
    })
    this.#stream = stream
    this.#lastSign = clock.monotonic()
    const ended = new AbortController()
    void this.#lookAfter(stream, quietFor, ended.signal)
    const error = await stream.ended
    ended.abort()
    if (this.#stream === stream) this.#stream = undefined
    return error && this.#translated(error)
  }

  /** A half-open connection may show nothing at all, and an idle stream costs nothing to open again. */
  async #lookAfter(stream: PullStream, quietFor: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#context
    while (!signal.aborted) {
      await clock.sleep(Math.min(quietFor / 4, SIGN_OF_LIFE), signal)
      if (signal.aborted) return
      if (this.#byId.size === 0 && clock.monotonic() - this.#lastSign >= quietFor) return stream.end()
      stream.signOfLife()
    }
  }

  #add(messages: readonly ReceivedMessage[]): void {
    this.#lastSign = this.#context.clock.monotonic()
    if (this.#givingBack) {
      void this.#leases.shorten(
        messages.map(({ ackId }) => ackId as string),
        SHORT_LEASE,
      )
      return
    }
    if (this.#inTrouble) this.#trouble(undefined)
    for (const each of messages) this.#hold(each)
    if (this.#deliveries.room === 0 || this.#deliveries.heldBytes >= this.#prefetchBytes) this.#stream?.pause()
    this.#pumpSoon()
  }

  #hold(received: ReceivedMessage): void {
    const { id, message, bucket, size } = fromWire(received.message ?? {})
    const ackId = received.ackId as string
    this.#leases.hold(ackId)
    const known = this.#byId.get(id)
    if (known !== undefined) {
      known.ackIds.push(ackId)
      return
    }
    let window = this.#deliveries.windows.get(bucket)
    if (window === undefined) {
      window = new BucketWindow(bucket, 0, 0)
      this.#deliveries.open(window)
      this.#held.set(bucket, [])
    }
    const held: Held = { offset: window.fetchedTo + 1, id, ackIds: [ackId] }
    window.add(held.offset, size, message)
    this.#held.get(bucket)?.push(held)
    this.#byId.set(id, held)
  }

  /** Several responses may be here already. */
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
    for (const { id, ackIds } of held.splice(0, count)) {
      this.#byId.delete(id)
      this.#leases.acknowledge(ackIds)
    }
  }

  #translated(error: unknown): Error {
    return translateServiceError(error, { subscription: this.#name, needs: `roles/pubsub.subscriber on the subscription ${this.#name}` })
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
    const enough = new AbortController()
    await Promise.race([Promise.all([this.#leases.said(), this.#giveBack()]), clock.sleep(GOODBYE, enough.signal)])
    enough.abort()
    this.#leases.close()
    this.#stream?.end()
    this.#connection?.release()
  }

  /**
   * What has no answer comes again soon: its leases are shortened, and run out while the stream is open. That it comes before the later messages of
   * its key is the service's part. The emulator (528.0.0) does not keep to it: refused messages come after all that is queued behind them; those whose
   * leases run out, which is why they do here, at times in the right order and at times a delivery too late.
   */
  async #giveBack(): Promise<void> {
    const { clock } = this.#context
    this.#givingBack = true
    if (this.#byId.size === 0) return
    this.#stream?.resume()
    await this.#leases.shorten(
      [...this.#held.values()].flat().flatMap(({ ackIds }) => ackIds),
      SHORT_LEASE,
    )
    if (this.#stream === undefined) return
    await clock.sleep(SHORT_LEASE * 1500)
    // Where nobody else receives they come here again: not while they are on their way, and nobody begins before these leases have run out too.
    for (let turn = 0; turn < 20 && clock.monotonic() - this.#lastSign < 100; turn++) await clock.sleep(50)
    this.#stream?.end()
    await clock.sleep(SHORT_LEASE * 1200)
  }
}
