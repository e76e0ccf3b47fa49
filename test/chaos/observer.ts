import { fromAttributes } from '@comity/contract'
import { type Delivery, type DeliveryResult, type IncomingMessage, type Transport, unmarkedTransport } from 'comity/transport'
import { CONTRACTS } from './contracts.ts'
import { monotonic, type Recorder } from './recorder.ts'

/** An independent subscriber of every topic: writes down each message that the broker gives out, in its order. */
export class Observer {
  readonly #transport: Transport
  readonly #abort = new AbortController()
  readonly #receiving: Promise<void>[] = []

  readonly #recorder: Recorder
  readonly #seen = new Set<string>()

  constructor(transport: Transport, recorder: Recorder) {
    // What a relay says of itself is nobody's data.
    this.#transport = unmarkedTransport(transport)
    this.#recorder = recorder
  }

  static readonly subscriptions: readonly string[] = CONTRACTS.map(({ name }) => `observer.${name.split('.')[1]}`)

  /** Different messages that it was given. */
  get published(): number {
    return this.#seen.size
  }

  /** Subscribes before anything is published. */
  async start(): Promise<void> {
    await this.#transport.provision({
      topics: CONTRACTS.map(({ name, owner }) => ({ name, team: owner })),
      subscriptions: CONTRACTS.map(({ name }, i) => ({ name: Observer.subscriptions[i] as string, team: 'observer', topic: name })),
    })
    for (const subscription of Observer.subscriptions) {
      const received = async (deliveries: readonly Delivery[]): Promise<DeliveryResult[]> => {
        for (const { message } of deliveries) record(this.#recorder, message)
        for (const { message } of deliveries) this.#seen.add(message.id)
        const messages = deliveries.map(({ message }) => message.id)
        this.#recorder.record({ f: 'ack', phase: 'ok', time: monotonic(), subscription, messages })
        return deliveries.map(() => 'ack')
      }
      this.#receiving.push(this.#transport.receive(subscription, received, { signal: this.#abort.signal }))
    }
  }

  async stop(): Promise<void> {
    this.#abort.abort()
    await Promise.allSettled(this.#receiving)
    await this.#transport.close()
  }
}

function record(recorder: Recorder, message: IncomingMessage): void {
  const envelope = fromAttributes(message.attributes)
  recorder.record({
    f: 'publication',
    phase: 'ok',
    time: monotonic(),
    topic: envelope.type,
    key: envelope.subject,
    kind: envelope.kind === 'event' || envelope.kind === 'deleted' ? envelope.kind : 'state',
    version: envelope.version,
    mark: envelope.kind === 'deleted' ? null : String(JSON.parse(message.data).mark),
    message: message.id,
  })
}
