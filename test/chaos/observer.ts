import { fromAttributes } from '@comity/contract'
import type { IncomingMessage, Transport } from 'comity/transport'
import { CONTRACTS } from './contracts.ts'
import { monotonic, type Recorder } from './recorder.ts'

/** An independent subscriber of every topic: writes down each message that the broker gives out, in its order. */
export class Observer {
  readonly #transport: Transport
  readonly #abort = new AbortController()
  readonly #receiving: Promise<void>[] = []

  private constructor(transport: Transport) {
    this.#transport = transport
  }

  static readonly subscriptions: readonly string[] = CONTRACTS.map(({ name }) => `observer.${name.split('.')[1]}`)

  /** Subscribes before anything is published. */
  static async start(transport: Transport, recorder: Recorder): Promise<Observer> {
    await transport.provision({
      topics: CONTRACTS.map(({ name, owner }) => ({ name, team: owner })),
      subscriptions: CONTRACTS.map(({ name }, i) => ({ name: Observer.subscriptions[i] as string, team: 'observer', topic: name })),
    })
    const observer = new Observer(transport)
    for (const subscription of Observer.subscriptions) {
      observer.#receiving.push(
        transport.receive(
          subscription,
          async (deliveries) => {
            for (const { message } of deliveries) record(recorder, message)
            return deliveries.map(() => 'ack' as const)
          },
          { signal: observer.#abort.signal },
        ),
      )
    }
    return observer
  }

  async backlog(): Promise<number> {
    const stats = (await this.#transport.stats?.(Observer.subscriptions)) ?? []
    return stats.reduce((sum, { backlog }) => sum + backlog, 0)
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
