import type { Duplex } from 'node:stream'
import type { protos, v1 } from '@google-cloud/pubsub'

export type ReceivedMessage = protos.google.pubsub.v1.IReceivedMessage
type GrpcStream = Duplex & { cancel(): void }

/** No stream lives as long: the service itself ends each after half an hour. In milliseconds. */
const TIMEOUT = 3_600_000

export type OpenStream = (options: { readonly deadline: number }) => GrpcStream

/** Of gRPC itself, as Google's own receiver does: a stream of gax that is cancelled before it is connected goes on for ever. */
export async function openerOf(client: v1.SubscriberClient): Promise<OpenStream> {
  await client.initialize()
  const stub = await client.subscriberStub
  return (options) => stub?.streamingPull?.(options) as GrpcStream
}

export interface PullStreamOptions {
  readonly open: OpenStream
  /** As the service names it. */
  readonly subscription: string
  /** The lease that a message comes with, in seconds. */
  readonly ackDeadline: number
  readonly flow: { readonly messages: number; readonly bytes: number }
  readonly onMessages: (messages: readonly ReceivedMessage[]) => void
}

/** One StreamingPull, until it ends; acknowledgements go by requests of their own. Source: https://cloud.google.com/pubsub/docs/pull */
export class PullStream {
  /** Resolves when the stream has ended: with the error, or with undefined if nothing was said. */
  readonly ended: Promise<Error | undefined>
  readonly #stream: GrpcStream

  constructor({ open, subscription, ackDeadline, flow, onMessages }: PullStreamOptions) {
    const stream = open({ deadline: Date.now() + TIMEOUT })
    this.#stream = stream
    this.ended = new Promise((resolve) => {
      stream.on('error', resolve)
      for (const event of ['end', 'close']) stream.on(event, () => resolve(undefined))
    })
    stream.on('data', ({ receivedMessages }: { readonly receivedMessages?: readonly ReceivedMessage[] }) =>
      onMessages(receivedMessages ?? []),
    )
    stream.write({
      subscription,
      streamAckDeadlineSeconds: ackDeadline,
      maxOutstandingMessages: flow.messages,
      maxOutstandingBytes: flow.bytes,
    })
  }

  /** The service ends a stream that hears nothing from its client for long: every 30 s is often enough. */
  signOfLife(): void {
    this.#stream.write({})
  }
  pause(): void {
    this.#stream.pause()
  }
  resume(): void {
    this.#stream.resume()
  }
  end(): void {
    this.#stream.cancel()
  }
}
