import { bucketOf } from '@comity/contract'
import { type Clock, systemClock } from '../../foundation/index.ts'
import { ProvisionConflict, SubscriptionUnknown, TopicUnknown, TransportClosed, TransportForbidden } from '../errors.ts'
import type { Guarantees, TransportLimits } from '../guarantees.ts'
import { highestVersionIn } from '../highest-version.ts'
import { checkBatch } from '../message-check.ts'
import type {
  ClaimResult,
  DeliveryHandler,
  Identity,
  OutgoingMessage,
  ProvisionPlan,
  ProvisionStep,
  ReceiveOptions,
  SeekTarget,
  SendOptions,
  SendResult,
  SubscriptionStats,
  Transport,
} from '../transport.ts'
import { BucketLog } from './bucket-log.ts'
import { MemoryFences } from './memory-fences.ts'
import { type MemoryReceiver, MemorySubscription } from './memory-subscription.ts'

export interface MemoryBusOptions {
  /** Buckets of a topic whose plan names none. Default 8. */
  readonly buckets?: number
  /** Messages kept per bucket, for `seek`, after every subscription has acknowledged them. Default 10 000. */
  readonly keep?: number
  /** How long, in milliseconds, an incarnation must be silent before a stranger may succeed it. Default 15 000. */
  readonly claimSilence?: number
  readonly limits?: Partial<TransportLimits>
  readonly clock?: Clock
}

/** A broker inside this process. Several teams (or several "processes" of one) each connect to it. */
export interface MemoryBus {
  readonly guarantees: Guarantees
  connect(): MemoryTransport
}

export interface MemoryTransport extends Transport {
  claim(identity: Identity): Promise<ClaimResult>
  stats(subscriptions: readonly string[]): Promise<readonly SubscriptionStats[]>
  seek(subscription: string, to: SeekTarget): Promise<void>
  remove(what: { readonly topics?: readonly string[]; readonly subscriptions?: readonly string[] }): Promise<void>
  /** For tests: this client is gone without a goodbye, as after kill -9. What it had not acknowledged comes again, to others. */
  crash(): void
}

interface MemoryTopic {
  readonly team: string
  /** Who may send beside the team. */
  readonly senders: Set<string>
  readonly logs: readonly BucketLog[]
  readonly subscriptions: Set<MemorySubscription>
}

/** A bus with one connection, for programs in which everyone shares one transport value. */
export function memoryTransport(options: MemoryBusOptions = {}): MemoryTransport {
  return memoryBus(options).connect()
}

export function memoryBus(options: MemoryBusOptions = {}): MemoryBus {
  const { buckets = 8, keep = 10_000, claimSilence = 15_000, clock = systemClock } = options
  const guarantees: Guarantees = Object.freeze({
    orderPerBucket: true,
    oneProcessPerBucket: true,
    // It outlives every client, and it is as durable as the process it is in: there is no broker that could crash alone.
    durable: false,
    replay: true,
    stats: true,
    remove: true,
    claims: true,
    fencing: true,
    dedupeWindow: 0,
    redeliveryWindow: 31 * 24 * 60 * 60 * 1000,
    limits: Object.freeze({ batchMessages: 1000, batchBytes: 16 * 1024 * 1024, messageBytes: 9 * 1024 * 1024, ...options.limits }),
    access: Object.freeze([]),
  })
  const topics = new Map<string, MemoryTopic>()
  const subscriptions = new Map<string, MemorySubscription>()
  const fences = new MemoryFences(claimSilence, clock)

  const topicNamed = (name: string): MemoryTopic => {
    const topic = topics.get(name)
    if (topic === undefined) throw new TopicUnknown({ topic: name })
    return topic
  }
  const subscriptionNamed = (name: string): MemorySubscription => {
    const subscription = subscriptions.get(name)
    if (subscription === undefined) throw new SubscriptionUnknown({ subscription: name })
    return subscription
  }

  function provision(plan: ProvisionPlan, dryRun: boolean): ProvisionStep[] {
    const steps: ProvisionStep[] = []
    for (const { name, team, buckets: wanted, senders = [] } of plan.topics) {
      const existing = topics.get(name)
      if (existing && (existing.team !== team || (wanted ?? existing.logs.length) !== existing.logs.length)) {
        throw new ProvisionConflict({ conflict: `topic ${name} exists with team ${existing.team} and ${existing.logs.length} buckets` })
      }
      if (existing) {
        const added = senders.filter((sender) => !existing.senders.has(sender))
        if (added.length > 0) steps.push({ action: 'update-topic', name, detail: `senders + ${added.join(', ')}` })
        if (!dryRun) for (const sender of added) existing.senders.add(sender)
        continue
      }
      steps.push({ action: 'create-topic', name })
      if (dryRun) continue
      topics.set(name, {
        team,
        senders: new Set(senders),
        logs: Array.from({ length: wanted ?? buckets }, () => new BucketLog()),
        subscriptions: new Set(),
      })
    }
    for (const wanted of plan.subscriptions) {
      const existing = subscriptions.get(wanted.name)
      if (existing && (existing.team !== wanted.team || existing.topic !== wanted.topic)) {
        throw new ProvisionConflict({
          conflict: `subscription ${wanted.name} exists with team ${existing.team} and topic ${existing.topic}`,
        })
      }
      if (existing) continue
      steps.push({ action: 'create-subscription', name: wanted.name })
      if (dryRun) continue
      const topic = topicNamed(wanted.topic)
      const subscription = new MemorySubscription(wanted, topic.logs, () => forget(topic))
      topic.subscriptions.add(subscription)
      subscriptions.set(wanted.name, subscription)
    }
    return steps
  }

  function forget(topic: MemoryTopic): void {
    for (const [bucket, log] of topic.logs.entries()) {
      let passed = log.last
      for (const subscription of topic.subscriptions) passed = Math.min(passed, subscription.positions[bucket] ?? 0)
      log.forget(passed, keep)
    }
  }

  function store(topicName: string, messages: readonly OutgoingMessage[], options: SendOptions): readonly SendResult[] {
    const topic = topicNamed(topicName)
    const checked = checkBatch(messages, guarantees.limits)
    const { fence } = options
    if (fence) {
      if (fence.team !== topic.team && !topic.senders.has(fence.team)) {
        throw new TransportForbidden({
          transport: 'memory',
          reason: `topic ${topicName} belongs to team ${topic.team}`,
          remedy: 'send as its owner',
        })
      }
      if (!fences.admit(fence, highestVersionIn(messages))) return messages.map(() => ({ status: 'stale' }))
    }
    const sentAt = new Date()
    for (const [index, { id, key, attributes, data }] of checked.messages.entries()) {
      const message = Object.freeze({ id, key, attributes: Object.freeze({ ...attributes }), data, sentAt })
      topic.logs[bucketOf(key, topic.logs.length)]?.append({ message, size: checked.sizes[index] ?? 0 })
    }
    if (topic.subscriptions.size === 0) forget(topic)
    for (const subscription of topic.subscriptions) subscription.wake()
    return checked.results({ status: 'stored' })
  }

  function connect(): MemoryTransport {
    const receivers = new Set<MemoryReceiver>()
    const identities = new Map<string, Identity>()
    let closed: Promise<void> | undefined

    /** Everything answers by a promise, and nothing works after close. */
    const open = async <Result>(work: () => Result | Promise<Result>): Promise<Result> => {
      if (closed !== undefined) throw new TransportClosed({ transport: 'memory' })
      return await work()
    }

    async function receive(
      name: string,
      handler: DeliveryHandler,
      { signal, prefetch = 1000, prefetchBytes }: ReceiveOptions,
    ): Promise<void> {
      const subscription = subscriptionNamed(name)
      if (signal.aborted) return
      const receiver = subscription.join(handler, { prefetch, prefetchBytes })
      const end = (): void => void receiver.end()
      receivers.add(receiver)
      signal.addEventListener('abort', end, { once: true })
      try {
        await receiver.ended
      } finally {
        signal.removeEventListener('abort', end)
        receivers.delete(receiver)
      }
    }

    const transport: MemoryTransport = {
      name: 'memory',
      guarantees,
      provision: (plan, options) => open(() => provision(plan, options?.dryRun === true)),
      send: (topic, messages, options = {}) =>
        open(() => {
          options.signal?.throwIfAborted()
          if (options.fence) identities.set(`${options.fence.team} ${options.fence.holder}`, options.fence)
          return store(topic, messages, options)
        }),
      buckets: (topic) => open(() => topicNamed(topic).logs.length),
      isSubscribed: (topic, subscription) => open(() => subscriptions.get(subscription)?.topic === topic),
      receive: (name, handler, options) => open(() => receive(name, handler, options)),
      claim: (identity) =>
        open(() => {
          identities.set(`${identity.team} ${identity.holder}`, identity)
          return fences.claim(identity)
        }),
      stats: (names) => open(() => names.map((name) => subscriptionNamed(name).stats())),
      seek: (name, to) =>
        open(() =>
          subscriptionNamed(name).seek((log) => (to === 'end' ? log.last : to === 'beginning' ? log.first - 1 : log.offsetAt(to.time) - 1)),
        ),
      remove: (what) =>
        open(() => {
          const goneTopics = what.topics ?? []
          const goneSubscriptions = [
            ...(what.subscriptions ?? []),
            ...goneTopics.flatMap((name) => [...(topics.get(name)?.subscriptions ?? [])].map((subscription) => subscription.name)),
          ]
          for (const name of goneSubscriptions) {
            const subscription = subscriptions.get(name)
            if (subscription === undefined) continue
            subscriptions.delete(name)
            topics.get(subscription.topic)?.subscriptions.delete(subscription)
            subscription.remove()
          }
          for (const name of goneTopics) topics.delete(name)
        }),
      crash() {
        closed ??= Promise.resolve()
        for (const receiver of receivers) receiver.crash()
      },
      close() {
        closed ??= (async () => {
          await Promise.all([...receivers].map((receiver) => receiver.end()))
          for (const { team, holder } of identities.values()) fences.withdraw(team, holder)
        })()
        return closed
      },
      [Symbol.asyncDispose]: () => transport.close(),
    }
    return transport
  }

  return { guarantees, connect }
}
