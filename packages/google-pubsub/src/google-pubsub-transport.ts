import {
  BadOption,
  type Clock,
  checkBatch,
  checkOptions,
  type DeliveryHandler,
  type Duration,
  type Guarantees,
  type OutgoingMessage,
  parseDuration,
  type ReceiveOptions,
  type SeekTarget,
  type SendOptions,
  type SendResult,
  systemClock,
  type Transport,
  TransportClosed,
  TransportUnavailable,
} from 'comity/transport'
import { accessText } from './access.ts'
import { BucketPublisher, SendFailed } from './bucket-publisher.ts'
import { Clients } from './clients.ts'
import { googlePubsubGuarantees } from './guarantees.ts'
import { provisionObjects } from './provision-objects.ts'
import { Receiver } from './receiver.ts'
import { isPassing, saysNotFound, translateServiceError } from './service-errors.ts'
import { bucketsOf, type Settings, subscriptionPath, topicPath } from './settings.ts'
import { reasonToRefuse, toWire, type WireMessage } from './wire-message.ts'

export interface GooglePubsubOptions {
  /** The Google Cloud project that holds the topics. Credentials are the application's default ones. */
  readonly project: string
  /** `host:port` of Google's emulator. Default: PUBSUB_EMULATOR_HOST; if that is not set either, the service. */
  readonly emulator?: string
  /** Stands before the id of every topic and subscription, e.g. `trial-`. Default: nothing. */
  readonly prefix?: string
  /** Ordering keys of a topic whose plan names none; a power of two up to 1024. Default 32, see the README for what decides it. */
  readonly buckets?: number
  /** How long messages are kept, acknowledged ones too: how far back `seek` reaches. 10 minutes to 31 days. Default 7 days. */
  readonly retention?: Duration
  /**
   * How long a topic keeps its messages for subscriptions that are made later and sought back. Default: not at all, for no promise needs it,
   * Google charges for it, and its emulator then hands old messages to new subscriptions.
   */
  readonly topicRetention?: Duration
  /** How long a message of a process that died stays with it. 10 to 600 seconds. Default 30 s. */
  readonly ackDeadline?: Duration
  /** Added to the labels of every object, beside `team` and `managed-by`. */
  readonly labels?: Readonly<Record<string, string>>
  /** How long a request to publish may take; then it is sent again. Default 12 s. */
  readonly publishTimeout?: Duration
  /** After how long a failing publish is reported as unknown. Default 20 s. */
  readonly giveUpAfter?: Duration
  /** After how long without a message an idle stream is replaced. Default 2 minutes. */
  readonly quietFor?: Duration
  /** How long `close` waits for running calls of handlers. Default 10 s. */
  readonly closeGrace?: Duration
  /** `access` names this service account for a team. Default: `comity-<team>@<project>.iam.gserviceaccount.com`. */
  readonly serviceAccount?: (team: string) => string
  readonly clock?: Clock
}

export interface GooglePubsubTransport extends Transport {
  seek(subscription: string, to: SeekTarget): Promise<void>
  remove(what: { readonly topics?: readonly string[]; readonly subscriptions?: readonly string[] }): Promise<void>
  access: NonNullable<Transport['access']>
  /**
   * Remembers what the subscription has not acknowledged now, for a week at most; answers the snapshot's full name. Costs what storing it costs.
   * Source: https://cloud.google.com/pubsub/docs/replay-overview
   */
  snapshot(subscription: string, name: string): Promise<string>
  /** Sets the subscription back to a snapshot: what was not acknowledged then, and all that came later, is delivered again. */
  seekToSnapshot(subscription: string, name: string): Promise<void>
  removeSnapshot(name: string): Promise<void>
}

const optionNames = [
  'project',
  'emulator',
  'prefix',
  'buckets',
  'retention',
  'topicRetention',
  'ackDeadline',
  'labels',
  'publishTimeout',
  'giveUpAfter',
  'quietFor',
  'closeGrace',
  'serviceAccount',
  'clock',
]

/** Google Cloud Pub/Sub as the broker. Loads Google's client and connects when it is first used; does no work before. */
export function googlePubsubTransport(options: GooglePubsubOptions): GooglePubsubTransport {
  checkOptions(options, optionNames, 'googlePubsubTransport')
  const { project, prefix = '', buckets = 32, labels = {}, clock = systemClock } = options
  if (!project) throw new BadOption({ option: 'project', expected: 'the id of a Google Cloud project' })
  if (!Number.isInteger(Math.log2(buckets)) || buckets > 1024)
    throw new BadOption({ option: 'buckets', expected: 'a power of two from 1 to 1024' })
  if (!/^([a-z][a-z0-9-]{0,40})?$/.test(prefix) || prefix.startsWith('goog'))
    throw new BadOption({ option: 'prefix', expected: 'up to 41 lower-case letters, digits and hyphens, a letter first, not "goog"' })
  const time = (name: keyof GooglePubsubOptions, usual: Duration): number =>
    parseDuration((options[name] as Duration | undefined) ?? usual, name)
  const retention = time('retention', '7d') / 1000
  if (!(retention >= 600 && retention <= 31 * 86_400)) throw new BadOption({ option: 'retention', expected: '10 minutes to 31 days' })
  const topicRetention = time('topicRetention', '0s') / 1000
  const ackDeadline = time('ackDeadline', '30s') / 1000
  if (!(ackDeadline >= 10 && ackDeadline <= 600)) throw new BadOption({ option: 'ackDeadline', expected: '10 to 600 seconds' })
  const publishTimeout = time('publishTimeout', '12s')
  const closeGrace = time('closeGrace', '10s')

  const settings: Settings = { project, prefix, buckets, retention, topicRetention, ackDeadline, labels }
  const guarantees: Guarantees =
    retention * 1000 === googlePubsubGuarantees.redeliveryWindow
      ? googlePubsubGuarantees
      : Object.freeze({ ...googlePubsubGuarantees, redeliveryWindow: retention * 1000 })
  const clients = new Clients({ project, emulator: options.emulator ?? process.env.PUBSUB_EMULATOR_HOST })
  const context = { clients, settings, clock, quietFor: time('quietFor', '2m') }
  const publisher: BucketPublisher = new BucketPublisher({ publish, clock, giveUpAfter: time('giveUpAfter', '20s') })
  const receiving = new Set<Promise<void>>()
  const bucketCounts = new Map<string, Promise<number>>()
  const closing = new AbortController()
  let closed: Promise<void> | undefined

  const open = async <Result>(work: () => Result | Promise<Result>): Promise<Result> => {
    if (closed !== undefined) throw new TransportClosed({ transport: 'google-pubsub' })
    return await work()
  }

  async function publish(topic: string, messages: readonly WireMessage[]): Promise<void> {
    const client = await clients.publisher()
    try {
      // Tried again by us: the client's own retries would go on while we believe that the request has ended.
      await client.publish({ topic: topicPath(settings, topic), messages: messages as never }, { timeout: publishTimeout, retry: null })
    } catch (error) {
      if (saysNotFound(error)) bucketCounts.delete(topic)
      throw translateServiceError(error, { topic, needs: `roles/pubsub.publisher on the topic ${topic}` })
    }
  }

  async function send(topic: string, given: readonly OutgoingMessage[], { signal }: SendOptions): Promise<readonly SendResult[]> {
    signal?.throwIfAborted()
    const reasons = new Map<OutgoingMessage, string>()
    for (const message of given) {
      const reason = reasonToRefuse(message)
      if (reason !== undefined) reasons.set(message, reason)
    }
    // To the common check a message that only Pub/Sub would refuse looks like one without an id: refused, and its key is blocked.
    const checked = checkBatch(
      reasons.size === 0 ? given : given.map((each) => (reasons.has(each) ? { ...each, id: '' } : each)),
      guarantees.limits,
    )
    const results = checked.results({ status: 'stored' }).map((result, index) => {
      const reason = reasons.get(given[index] as OutgoingMessage)
      return result.status === 'refused' && reason !== undefined ? { status: 'refused' as const, reason } : result
    })
    if (checked.messages.length === 0) return results
    const count = await bucketCount(topic)
    try {
      await publisher.send(
        topic,
        checked.messages.map((message) => toWire(message, count)),
        checked.sizes,
      )
    } catch (failed) {
      if (!(failed instanceof SendFailed)) throw failed
      const { error, partly } = failed
      if (!partly || isPassing(error)) throw error
      throw new TransportUnavailable(
        { transport: 'google-pubsub', reason: `a part of it is stored; of the rest: ${error.message}` },
        { cause: error },
      )
    }
    return results
  }

  function bucketCount(topic: string): Promise<number> {
    let count = bucketCounts.get(topic)
    if (count === undefined) {
      count = readBucketCount(topic)
      bucketCounts.set(topic, count)
      count.catch(() => bucketCounts.delete(topic))
    }
    return count
  }
  async function readBucketCount(topic: string): Promise<number> {
    const client = await clients.publisher()
    try {
      const [is] = await client.getTopic({ topic: topicPath(settings, topic) }, { timeout: publishTimeout })
      return bucketsOf(is) ?? buckets
    } catch (error) {
      throw translateServiceError(error, { topic, needs: `roles/pubsub.viewer on the topic ${topic}` })
    }
  }

  /**
   * A subscription of another team is hidden: to ask for it is forbidden, whether it is there or not. Its topic lists it by name for whoever may
   * view the topic, as those who send to it may.
   */
  async function isSubscribed(topic: string, subscription: string): Promise<boolean> {
    const client = await clients.publisher()
    try {
      const [names] = await client.listTopicSubscriptions({ topic: topicPath(settings, topic) }, { timeout: publishTimeout })
      return names.includes(subscriptionPath(settings, subscription))
    } catch (error) {
      if (saysNotFound(error)) return false
      throw translateServiceError(error, { topic, needs: `roles/pubsub.viewer on the topic ${topic}` })
    }
  }

  async function receive(name: string, handler: DeliveryHandler, given: ReceiveOptions): Promise<void> {
    const signal = AbortSignal.any([given.signal, closing.signal])
    if (signal.aborted) return
    const receiver = new Receiver(name, handler, given, context)
    const end = (): void => void receiver.end()
    signal.addEventListener('abort', end, { once: true })
    void receiver.run().catch((error: Error) => receiver.fail(error))
    try {
      await receiver.ended
    } finally {
      signal.removeEventListener('abort', end)
    }
  }

  /** Calls on a subscription that it alone needs rights for. */
  async function onSubscription(name: string, work: (path: string) => Promise<unknown>): Promise<void> {
    try {
      await work(subscriptionPath(settings, name))
    } catch (error) {
      throw translateServiceError(error, { subscription: name, needs: `roles/pubsub.subscriber on the subscription ${name}` })
    }
  }
  const snapshotPath = (name: string): string => `projects/${project}/snapshots/${prefix}${name}`

  async function seek(name: string, to: SeekTarget): Promise<void> {
    const time = to === 'beginning' ? new Date(clock.now().getTime() - 31 * 86_400_000) : to === 'end' ? clock.now() : to.time
    const milliseconds = time.getTime()
    const client = await clients.subscriber()
    const at = { seconds: Math.floor(milliseconds / 1000), nanos: (milliseconds % 1000) * 1_000_000 }
    await onSubscription(name, (subscription) => client.seek({ subscription, time: at }))
  }

  async function remove(topics: readonly string[], subscriptions: readonly string[]): Promise<void> {
    const [subscriber, topicClient] = [await clients.subscriber(), await clients.publisher()]
    const gone = async (call: Promise<unknown>, what: { topic?: string; subscription?: string }): Promise<void> => {
      try {
        await call
      } catch (error) {
        if (!saysNotFound(error)) throw translateServiceError(error, { ...what, needs: 'roles/pubsub.editor on the project' })
      }
    }
    for (const subscription of subscriptions)
      await gone(subscriber.deleteSubscription({ subscription: subscriptionPath(settings, subscription) }), { subscription })
    for (const topic of topics) {
      bucketCounts.delete(topic)
      const path = topicPath(settings, topic)
      // Left alone, they would stay and hold their messages, on a topic that is called _deleted-topic_.
      const [names] = await topicClient.listTopicSubscriptions({ topic: path }).catch(() => [[]] as const)
      for (const subscription of names) await gone(subscriber.deleteSubscription({ subscription }), { subscription })
      await gone(topicClient.deleteTopic({ topic: path }), { topic })
    }
  }

  async function end(): Promise<void> {
    closing.abort()
    const grace = new AbortController()
    await Promise.race([Promise.allSettled(receiving), clock.sleep(closeGrace, grace.signal)])
    grace.abort()
    publisher.close()
    await clients.close()
  }

  const transport: GooglePubsubTransport = {
    name: 'google-pubsub',
    guarantees,
    provision: (plan, given) => open(() => provisionObjects({ clients, settings, plan, dryRun: given?.dryRun === true })),
    send: (topic, messages, given = {}) => open(() => send(topic, messages, given)),
    buckets: (topic) => open(() => bucketCount(topic)),
    isSubscribed: (topic, subscription) => open(() => isSubscribed(topic, subscription)),
    receive: (name, handler, given) =>
      open(async () => {
        const call = receive(name, handler, given)
        receiving.add(call)
        try {
          await call
        } finally {
          receiving.delete(call)
        }
      }),
    seek: (subscription, to) => open(() => seek(subscription, to)),
    remove: ({ topics = [], subscriptions = [] }) => open(() => remove(topics, subscriptions)),
    access: async (plan, format) => accessText(settings, options.serviceAccount, plan, format),
    snapshot: (name, as) =>
      open(async () => {
        const client = await clients.subscriber()
        await onSubscription(name, (subscription) => client.createSnapshot({ name: snapshotPath(as), subscription }))
        return snapshotPath(as)
      }),
    seekToSnapshot: (name, as) =>
      open(async () => {
        const client = await clients.subscriber()
        await onSubscription(name, (subscription) => client.seek({ subscription, snapshot: snapshotPath(as) }))
      }),
    removeSnapshot: (as) =>
      open(async () => {
        const client = await clients.subscriber()
        await client.deleteSnapshot({ snapshot: snapshotPath(as) })
      }),
    close() {
      closed ??= end()
      return closed
    },
    [Symbol.asyncDispose]: () => transport.close(),
  }
  return transport
}
