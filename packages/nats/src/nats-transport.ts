import { randomBytes, randomUUID } from 'node:crypto'
import {
  backoff,
  type ClaimResult,
  checkBatch,
  type DeliveryHandler,
  type Guarantees,
  type Identity,
  logEvent,
  type OutgoingMessage,
  type ReceiveOptions,
  type SeekTarget,
  type SendOptions,
  type SendResult,
  type SubscriptionStats,
  SubscriptionUnknown,
  type Transport,
  TransportClosed,
  TransportUnsupported,
} from 'comity/transport'
import { accessConf } from './access-conf.ts'
import { Connection, isPassing } from './connection.ts'
import { Fences } from './fences.ts'
import { restarted } from './lease-table.ts'
import { LONGEST_RETENTION, type NatsTransportOptions, type Settings, settingsOf } from './options.ts'
import { seek, stats } from './position.ts'
import { provision, remove } from './provision.ts'
import { Receiver, type ReceiverContext } from './receiver.ts'
import { Subscription } from './subscriptions.ts'
import { TopicSender } from './topic-sender.ts'
import { findStream, safeTopicStream, topicStream } from './topic-stream.ts'
import { Turnstile } from './turnstile.ts'
import { Upkeep } from './upkeep.ts'

export interface NatsTransport extends Transport {
  claim(identity: Identity): Promise<ClaimResult>
  stats(subscriptions: readonly string[]): Promise<readonly SubscriptionStats[]>
  seek(subscription: string, to: SeekTarget): Promise<void>
  remove(what: { readonly topics?: readonly string[]; readonly subscriptions?: readonly string[] }): Promise<void>
}

/**
 * `fencing`: once a send of a newer fence has been stored in a topic, the server itself stores nothing of an older one there, not even what was on
 * its way ({@link TopicSender}). What an older one stores before that lies before everything of the newer.
 * `dedupeWindow` 0: the broker's deduplication is not used; the inbox is what makes effects happen once.
 * `durable`: see the option `sync`.
 */
export const natsGuarantees: Guarantees = Object.freeze({
  orderPerBucket: true,
  oneProcessPerBucket: true,
  durable: true,
  replay: true,
  stats: true,
  remove: true,
  claims: true,
  fencing: true,
  dedupeWindow: 0,
  redeliveryWindow: LONGEST_RETENTION,
  limits: Object.freeze({ batchMessages: 1000, batchBytes: 16 * 1024 * 1024, messageBytes: 8 * 1024 * 1024 }),
  access: Object.freeze(['conf']),
})

/** Room for the headers that are no attributes, and for the marks around those that are. */
const HEADER_BYTES = 64 * 1024
const GOODBYE = 3000
const CONSUMERS_AT_ONCE = 32

/** NATS JetStream as the broker. Connects when it is first used; does no work before. */
export function natsTransport(options: NatsTransportOptions): NatsTransport {
  const settings = settingsOf(options)
  const { clock, logger, leaseMs, claimSilence, closeGrace, stallAfter, inboxPrefix, retention, allowUnsafe, buckets, replicas } = settings
  const connection = new Connection({
    client: clientOptions(settings),
    answerTimeout: settings.answerTimeout,
    payloadNeeded: natsGuarantees.limits.messageBytes + HEADER_BYTES,
  })
  const fences = new Fences(connection, claimSilence, () => clock.monotonic())
  const making = new Turnstile(CONSUMERS_AT_ONCE)
  const instance = randomUUID()
  const senders = new Map<string, TopicSender>()
  const upkeeps = new Map<string, Upkeep>()
  const receiving = new Set<Promise<void>>()
  const closing = new AbortController()
  const said = new Set<string>()
  let holders = 0
  let closed: Promise<void> | undefined

  connection.listeners.add({
    lost(error) {
      for (const upkeep of upkeeps.values()) upkeep.lost(error)
    },
    back() {
      for (const upkeep of upkeeps.values()) upkeep.back()
    },
  })

  const assertOpen = (): void => {
    if (closed !== undefined) throw new TransportClosed({ transport: 'nats' })
  }

  /** Once per reason. */
  function warn(reason: string): void {
    if (allowUnsafe || said.has(reason)) return
    said.add(reason)
    logEvent(logger, 'comity.transport.weak', { reason })
  }

  async function send(topic: string, messages: readonly OutgoingMessage[], { fence, signal }: SendOptions): Promise<readonly SendResult[]> {
    signal?.throwIfAborted()
    const checked = checkBatch(messages, natsGuarantees.limits)
    if (checked.messages.length === 0) return checked.results({ status: 'stored' })
    const sender = senders.get(topic) ?? new TopicSender(topic, { connection, fences, clock, name: randomBytes(6).toString('base64url') })
    senders.set(topic, sender)
    const outcome = await sender.send(checked.messages, fence, signal)
    if (outcome === 'stale') return messages.map(() => ({ status: 'stale' }))
    if (settings.sync === 'interval')
      warn(
        "sync: 'interval': a power failure of the server's machine may take what it acknowledged in the last minutes; the relay's replay sends it again",
      )
    return checked.results({ status: 'stored' })
  }

  async function receive(name: string, handler: DeliveryHandler, options: ReceiveOptions): Promise<void> {
    const signal = AbortSignal.any([options.signal, closing.signal])
    const opened = await open(name, options, signal)
    if (opened === undefined || signal.aborted) return
    const upkeep = upkeepOf(opened.subscription.team)
    const context: ReceiverContext = {
      ...{ connection, clock, logger, making, inboxPrefix, stallAfter },
      wakeUpkeep: () => upkeep.wake(),
      endUpkeep: (receiver) => upkeep.delete(receiver),
    }
    const receiver = new Receiver({ ...opened, holder: `${instance}-${++holders}` }, handler, options, context)
    const end = (): void => void receiver.end()
    signal.addEventListener('abort', end, { once: true })
    upkeep.add(receiver)
    try {
      await receiver.ended
    } finally {
      signal.removeEventListener('abort', end)
    }
  }

  /** Undefined if the signal aborted first. */
  async function open(
    name: string,
    { onTrouble }: ReceiveOptions,
    signal: AbortSignal,
  ): Promise<{ subscription: Subscription; id: string; topic: string; stream: string } | undefined> {
    const subscription = new Subscription(connection, name)
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        const { value } = await subscription.table()
        const topic = await safeTopicStream(connection, value.topic, name, { retention, allowUnsafe })
        if (topic.config.num_replicas === 1 && ((await connection.client()).info?.connect_urls?.length ?? 0) >= 3)
          warn(`topic ${topic.topic} has one copy in a cluster of several servers: provision it with ?replicas=3`)
        if (value.created !== topic.created) {
          const table = await subscription.change((each) =>
            each.created === topic.created ? each : restarted(each, topic.created, topic.buckets),
          )
          if (table === undefined) throw new SubscriptionUnknown({ subscription: name })
        }
        if (failures > 0) onTrouble?.(undefined)
        return { subscription, id: value.id, topic: topic.topic, stream: topic.stream }
      } catch (error) {
        if (!isPassing(error)) throw error
        if (failures === 0) onTrouble?.(error as Error)
        await clock.sleep(backoff(failures, { min: 50, max: 5000 }), signal)
      }
    }
    return undefined
  }

  function upkeepOf(team: string): Upkeep {
    const upkeep = upkeeps.get(team) ?? new Upkeep({ team, instance, connection, clock, leaseMs, logger })
    upkeeps.set(team, upkeep)
    return upkeep
  }

  async function end(): Promise<void> {
    closing.abort()
    const grace = new AbortController()
    await Promise.race([Promise.allSettled(receiving), clock.sleep(closeGrace, grace.signal)])
    grace.abort()
    const goodbyes = [fences.withdraw(), ...[...upkeeps.values()].map((upkeep) => upkeep.close())]
    const enough = new AbortController()
    await Promise.race([Promise.allSettled(goodbyes), clock.sleep(GOODBYE, enough.signal)])
    enough.abort()
    await connection.close()
  }

  const transport: NatsTransport = {
    name: 'nats',
    guarantees: natsGuarantees,
    async provision(plan, given) {
      assertOpen()
      return provision(connection, plan, { buckets, retention, replicas, allowUnsafe, dryRun: given?.dryRun === true })
    },
    async send(topic, messages, given = {}) {
      assertOpen()
      return send(topic, messages, given)
    },
    async buckets(topic) {
      assertOpen()
      return (await topicStream(connection, topic)).buckets
    },
    async isSubscribed(topic, subscription) {
      assertOpen()
      // A topic that is there was made after the store of its team.
      if ((await findStream(connection, topic)) === undefined) return false
      return (await new Subscription(connection, subscription).seen())?.topic === topic
    },
    async receive(subscription, handler, given) {
      assertOpen()
      const call = receive(subscription, handler, given)
      receiving.add(call)
      try {
        await call
      } finally {
        receiving.delete(call)
      }
    },
    async claim(identity) {
      assertOpen()
      return fences.claim(identity)
    },
    async stats(subscriptions) {
      assertOpen()
      return Promise.all(subscriptions.map((name) => stats(connection, new Subscription(connection, name))))
    },
    async seek(subscription, to) {
      assertOpen()
      await seek(connection, new Subscription(connection, subscription), to)
      for (const upkeep of upkeeps.values()) upkeep.wake()
    },
    async remove(what) {
      assertOpen()
      for (const topic of what.topics ?? []) senders.delete(topic)
      await remove(connection, what)
      for (const upkeep of upkeeps.values()) upkeep.wake()
    },
    async access(plan, format = 'conf') {
      if (format !== 'conf')
        throw new TransportUnsupported({ transport: 'nats', reason: `it writes no permissions as ${format}`, remedy: "ask for 'conf'" })
      return accessConf(plan, buckets)
    },
    close() {
      closed ??= end()
      return closed
    },
    [Symbol.asyncDispose]: () => transport.close(),
  }
  return transport
}

/** Reconnects for ever; a connection that is half-open is found out by two pings without an answer: after half as long again as a request may take. */
function clientOptions({ address, tls, inboxPrefix, answerTimeout }: Settings): ConstructorParameters<typeof Connection>[0]['client'] {
  const { servers, user, password, token } = address
  return {
    servers: [...servers],
    ...(user !== undefined && password !== undefined && { user, pass: password }),
    ...(token !== undefined && { token }),
    ...(tls && { tls: {} }),
    name: 'comity',
    inboxPrefix,
    noEcho: true,
    timeout: Math.min(answerTimeout, 10_000),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
    reconnectJitter: 250,
    pingInterval: Math.min(answerTimeout / 2, 10_000),
    maxPingOut: 2,
    ignoreAuthErrorAbort: true,
    noAsyncTraces: true,
  }
}
