import type { ClientConfig, PubSub, v1 } from '@google-cloud/pubsub'
import { type OpenStream, openerOf } from './pull-stream.ts'

/** Streaming pulls that share a connection: it carries 100 streams in all, and acknowledgements need some. */
const RECEIVES_PER_CONNECTION = 40

export interface ClientsOptions {
  readonly project: string
  /** `host:port` of Google's emulator; undefined = the service. */
  readonly emulator: string | undefined
}

type V1Config = NonNullable<ConstructorParameters<typeof v1.PublisherClient>[0]>

/** One connection for streaming pulls, given back when its receive has ended. */
export interface Connection {
  readonly open: OpenStream
  release(): void
}

/** The clients of Google's library, which is loaded when the first of them is needed: it takes 65 MB and half a second. */
export class Clients {
  readonly project: string
  readonly emulator: string | undefined
  readonly #streaming: { client: v1.SubscriberClient; receives: number }[] = []
  #library: Promise<typeof import('@google-cloud/pubsub')> | undefined
  #base: Promise<PubSub> | undefined
  #publisher: Promise<v1.PublisherClient> | undefined
  #subscriber: Promise<v1.SubscriberClient> | undefined

  constructor({ project, emulator }: ClientsOptions) {
    this.project = project
    this.emulator = emulator
  }

  publisher(): Promise<v1.PublisherClient> {
    this.#publisher ??= this.#v1Config().then(async (config) => new (await this.library()).v1.PublisherClient(config))
    return this.#publisher
  }
  subscriber(): Promise<v1.SubscriberClient> {
    this.#subscriber ??= this.#v1Config().then(async (config) => new (await this.library()).v1.SubscriberClient(config))
    return this.#subscriber
  }

  async connection(): Promise<Connection> {
    const { v1 } = await this.library()
    const config = await this.#v1Config()
    let free = this.#streaming.find((each) => each.receives < RECEIVES_PER_CONNECTION)
    if (free === undefined) {
      free = { client: new v1.SubscriberClient(config), receives: 0 }
      this.#streaming.push(free)
    }
    const taken = free
    taken.receives++
    let released = false
    return {
      open: await openerOf(taken.client),
      release() {
        if (!released) taken.receives--
        released = true
      },
    }
  }

  library(): Promise<typeof import('@google-cloud/pubsub')> {
    this.#library ??= import('@google-cloud/pubsub')
    return this.#library
  }

  async close(): Promise<void> {
    const opened = [this.#publisher, this.#subscriber, this.#base, ...this.#streaming.map(({ client }) => client)]
    await Promise.allSettled(opened.map(async (client) => (await client)?.close()))
  }

  /** The v1 clients know neither PUBSUB_EMULATOR_HOST nor the credentials that it needs; the high-level client says what they are. */
  async #v1Config(): Promise<V1Config> {
    this.#base ??= this.library().then((library) => this.#open(library))
    return { ...(await (await this.#base).getClientConfig()) } as V1Config
  }

  #open({ PubSub }: typeof import('@google-cloud/pubsub')): PubSub {
    // Else the client asks Google's metadata server who it is, and waits for it.
    if (this.emulator !== undefined) process.env.METADATA_SERVER_DETECTION ??= 'none'
    const config: ClientConfig & Readonly<Record<`grpc.${string}`, number>> = {
      projectId: this.project,
      // Each a connection of its own: gRPC would share one among all that have the same target.
      'grpc.use_local_subchannel_pool': 1,
      // A half-open connection is noticed after 40 s. Google's servers allow a ping each 30 s; the emulator cuts who pings that often.
      ...(this.emulator === undefined
        ? { 'grpc.keepalive_time_ms': 30_000, 'grpc.keepalive_timeout_ms': 10_000 }
        : { apiEndpoint: this.emulator, emulatorMode: true }),
    }
    return new PubSub(config)
  }
}
