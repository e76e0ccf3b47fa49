import { randomUUID } from 'node:crypto'
import { bucketOf } from '@comity/contract'
import { BadOption, backoff, type Clock, checkOptions, type Logger, silentLogger, systemClock } from '../../foundation/index.ts'
import { SubscriptionUnknown, TransportClosed, TransportForbidden } from '../errors.ts'
import type { Guarantees } from '../guarantees.ts'
import { highestVersionIn } from '../highest-version.ts'
import { checkBatch } from '../message-check.ts'
import type {
  ClaimResult,
  DeliveryHandler,
  Identity,
  OutgoingMessage,
  ReceiveOptions,
  SeekTarget,
  SendOptions,
  SendResult,
  SubscriptionStats,
  Transport,
} from '../transport.ts'
import { Acknowledgements } from './acknowledgements.ts'
import { numberArray, textArray } from './binary-array.ts'
import { BusConnection } from './bus-connection.ts'
import { isPassing } from './bus-errors.ts'
import { provisionBus } from './provision-bus.ts'
import { Receiver, type ReceiverContext } from './receiver.ts'
import { Upkeep } from './upkeep.ts'

export interface PostgresTransportOptions {
  /** The bus's database, as this team's own role (or, to provision, the operator's). */
  readonly url: string
  /** Buckets of a topic whose plan names none. Default 8. */
  readonly buckets?: number
  /** How long a receiver's bucket stays its own after it was last heard of, in milliseconds. Default 10 000. */
  readonly leaseMs?: number
  /** Shortest and longest wait between two looks for news, in milliseconds. Default 5 and 250. */
  readonly pollMin?: number
  readonly pollMax?: number
  /** How long `close` waits for running calls of handlers, in milliseconds. Default 10 000. */
  readonly closeGrace?: number
  /** How long a statement may go unanswered before its connection is given up as half-open, in milliseconds. Default 20 000. */
  readonly answerTimeout?: number
  /** Tests only: accept a server with `fsync = off`. */
  readonly allowUnsafe?: boolean
  readonly logger?: Logger
  readonly clock?: Clock
}

export interface PostgresTransport extends Transport {
  claim(identity: Identity): Promise<ClaimResult>
  stats(subscriptions: readonly string[]): Promise<readonly SubscriptionStats[]>
  seek(subscription: string, to: SeekTarget): Promise<void>
  remove(what: { readonly topics?: readonly string[]; readonly subscriptions?: readonly string[] }): Promise<void>
}

export const postgresGuarantees: Guarantees = Object.freeze({
  orderPerBucket: true,
  oneProcessPerBucket: true,
  durable: true,
  replay: true,
  stats: true,
  remove: true,
  claims: true,
  fencing: true,
  dedupeWindow: 0,
  // comity_bus.settings.keep_unacknowledged
  redeliveryWindow: 31 * 24 * 60 * 60 * 1000,
  limits: Object.freeze({ batchMessages: 1000, batchBytes: 16 * 1024 * 1024, messageBytes: 9 * 1024 * 1024 }),
  access: Object.freeze([]),
})

const optionNames = ['url', 'buckets', 'leaseMs', 'pollMin', 'pollMax', 'closeGrace', 'answerTimeout', 'allowUnsafe', 'logger', 'clock']

/** A Postgres database as the broker. Connects when it is first used; does no work before. */
export function postgresTransport(options: PostgresTransportOptions): PostgresTransport {
  checkOptions(options, optionNames, 'postgresTransport')
  const {
    url,
    buckets = 8,
    leaseMs = 10_000,
    pollMin = 5,
    pollMax = 250,
    closeGrace = 10_000,
    answerTimeout = 20_000,
    allowUnsafe = false,
  } = options
  const { logger = silentLogger, clock = systemClock } = options
  if (!Number.isInteger(Math.log2(buckets)) || buckets > 1024)
    throw new BadOption({ option: 'buckets', expected: 'a power of two from 1 to 1024' })
  if (!(leaseMs >= 100)) throw new BadOption({ option: 'leaseMs', expected: 'at least 100' })
  if (!(pollMin >= 1 && pollMax >= pollMin)) throw new BadOption({ option: 'pollMin', expected: 'at least 1 and at most pollMax' })

  const bus = new BusConnection({ url, allowUnsafe, answerTimeout, logger })
  const acknowledgements = new Acknowledgements(bus)
  const upkeep = new Upkeep({ bus, clock, leaseMs, poll: { min: pollMin, max: pollMax }, logger })
  const context: ReceiverContext = {
    bus,
    acknowledgements,
    clock,
    leaseMs,
    wakeUpkeep: () => upkeep.wake(),
    endUpkeep: (receiver) => upkeep.delete(receiver),
  }
  const instance = randomUUID()
  const receiving = new Set<Promise<void>>()
  const identities = new Map<string, Identity>()
  const bucketCounts = new Map<string, number>()
  const closing = new AbortController()
  let consumers = 0
  let closed: Promise<void> | undefined

  const assertOpen = (): void => {
    if (closed !== undefined) throw new TransportClosed({ transport: 'postgres' })
  }

  async function send(
    topic: string,
    messages: readonly OutgoingMessage[],
    { fence, signal }: SendOptions = {},
  ): Promise<readonly SendResult[]> {
    signal?.throwIfAborted()
    const checked = checkBatch(messages, postgresGuarantees.limits)
    if (checked.messages.length === 0) return checked.results({ status: 'stored' })
    if (fence) identities.set(`${fence.team} ${fence.holder}`, fence)
    const highest = fence ? highestVersionIn(checked.messages) : 0
    const texts = [
      textArray(checked.messages.map((message) => message.id)),
      textArray(checked.messages.map((message) => message.key)),
      textArray(checked.messages.map(({ attributes }) => JSON.stringify(attributes))),
      textArray(checked.messages.map((message) => message.data)),
    ]
    for (;;) {
      const count = bucketCounts.get(topic) ?? (await countBuckets(topic))
      const [row] = await bus.arrays(
        `select comity_bus.send($1::text, $2::integer, $3::text, $4::bigint, $5::bigint, $6::text, $7::bigint,
           $8::integer[], $9::integer[], $10::text[], $11::text[], $12::text[], $13::text[])`,
        [
          topic,
          count,
          fence?.team ?? null,
          fence?.incarnation ?? null,
          fence?.term ?? null,
          fence?.holder ?? null,
          highest,
          numberArray(checked.messages.map((message) => bucketOf(message.key, count))),
          numberArray(checked.sizes),
          ...texts,
        ],
      )
      const answer = String(row?.[0])
      if (answer === 'stale') return messages.map(() => ({ status: 'stale' }))
      if (answer === 'stored') {
        upkeep.sent(topic)
        return checked.results({ status: 'stored' })
      }
      // 'buckets <n>': the topic was removed and made anew.
      bucketCounts.set(topic, Number(answer.split(' ')[1]))
    }
  }

  async function countBuckets(topic: string): Promise<number> {
    const [row] = await bus.rows<{ count: number }>('select comity_bus.buckets_of($1::text) as count', [topic])
    const count = row?.count as number
    bucketCounts.set(topic, count)
    return count
  }

  async function receive(name: string, handler: DeliveryHandler, options: ReceiveOptions): Promise<void> {
    const signal = AbortSignal.any([options.signal, closing.signal])
    const opened = await open(name, options, signal)
    if (opened === undefined || signal.aborted) return
    const receiver = new Receiver({ ...opened, name, holder: `${instance}#${++consumers}` }, handler, options, context)
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
    options: ReceiveOptions,
    signal: AbortSignal,
  ): Promise<{ subscription: number; topic: string } | undefined> {
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        const [row] = await bus.rows<{ id: number; topic: string }>('select * from comity_bus.open($1::text)', [name])
        if (failures > 0) options.onTrouble?.(undefined)
        return row && { subscription: row.id, topic: row.topic }
      } catch (error) {
        if (!isPassing(error)) throw error
        if (failures === 0) options.onTrouble?.(error as Error)
        await clock.sleep(backoff(failures, { min: 50, max: 5000 }), signal)
      }
    }
    return undefined
  }

  async function claim(identity: Identity): Promise<ClaimResult> {
    identities.set(`${identity.team} ${identity.holder}`, identity)
    const [row] = await bus.rows<{
      granted: boolean
      highest_version: string
      incumbent_incarnation: string
      incumbent_holder: string
      silent_for: number
    }>('select * from comity_bus.claim($1::text, $2::bigint, $3::text)', [identity.team, identity.incarnation, identity.holder])
    if (row?.granted) return { status: 'granted', highestVersion: Number(row.highest_version) }
    return {
      status: 'refused',
      incumbent: { team: identity.team, incarnation: Number(row?.incumbent_incarnation), holder: String(row?.incumbent_holder) },
      silentFor: Number(row?.silent_for),
    }
  }

  async function stats(names: readonly string[]): Promise<readonly SubscriptionStats[]> {
    const rows = await bus.rows<{ subscription: string; backlog: string; oldest_sent_at: number | null; expired: string }>(
      'select * from comity_bus.stats($1::text[])',
      [textArray(names)],
    )
    return rows.map((row) => ({
      subscription: row.subscription,
      backlog: Number(row.backlog),
      ...(row.oldest_sent_at === null ? {} : { oldestSentAt: new Date(row.oldest_sent_at) }),
      expired: Number(row.expired),
    }))
  }

  /** A subscription's name says which it is; what is another team's is refused only where there is something to refuse. */
  async function isThere(subscription: string): Promise<boolean> {
    try {
      await stats([subscription])
      return true
    } catch (error) {
      if (error instanceof SubscriptionUnknown) return false
      if (error instanceof TransportForbidden) return true
      throw error
    }
  }

  async function seek(subscription: string, to: SeekTarget): Promise<void> {
    const [word, time] = typeof to === 'string' ? [to, null] : ['time', to.time.toISOString()]
    await bus.rows('select comity_bus.seek($1::text, $2::text, $3::timestamptz)', [subscription, word, time])
    upkeep.wake()
  }

  async function end(): Promise<void> {
    closing.abort()
    const grace = new AbortController()
    await Promise.race([Promise.allSettled(receiving), clock.sleep(closeGrace, grace.signal)])
    grace.abort()
    const withdrawn = [...identities.values()].map(({ team, holder }) =>
      bus.rows('select comity_bus.withdraw($1::text, $2::text)', [team, holder]),
    )
    const enough = new AbortController()
    await Promise.race([Promise.allSettled(withdrawn), clock.sleep(3000, enough.signal)])
    enough.abort()
    upkeep.close()
    acknowledgements.close()
    await bus.close()
  }

  const transport: PostgresTransport = {
    name: 'postgres',
    guarantees: postgresGuarantees,
    async provision(plan, given) {
      assertOpen()
      return provisionBus(bus, { url, buckets, plan, dryRun: given?.dryRun === true })
    },
    async send(topic, messages, given) {
      assertOpen()
      return send(topic, messages, given)
    },
    async buckets(topic) {
      assertOpen()
      return bucketCounts.get(topic) ?? countBuckets(topic)
    },
    async isSubscribed(_topic, subscription) {
      assertOpen()
      return isThere(subscription)
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
      return claim(identity)
    },
    async stats(subscriptions) {
      assertOpen()
      return subscriptions.length === 0 ? [] : stats(subscriptions)
    },
    async seek(subscription, to) {
      assertOpen()
      await seek(subscription, to)
    },
    async remove({ topics = [], subscriptions = [] }) {
      assertOpen()
      for (const topic of topics) bucketCounts.delete(topic)
      await bus.rows('select comity_bus.remove($1::text[], $2::text[])', [textArray(topics), textArray(subscriptions)])
    },
    close() {
      closed ??= end()
      return closed
    },
    [Symbol.asyncDispose]: () => transport.close(),
  }
  return transport
}
