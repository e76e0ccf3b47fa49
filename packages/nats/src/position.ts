import { type SeekTarget, type SubscriptionStats, SubscriptionUnknown, TransportFailed } from 'comity/transport'
import { type ApiAnswer, type Connection, refusal, unavailable } from './connection.ts'
import { type LeaseTable, positionOf, sought } from './lease-table.ts'
import { counterOf, subjectOf } from './names.ts'
import type { Subscription } from './subscriptions.ts'
import { type TopicStream, topicStream } from './topic-stream.ts'

interface ConsumerInfo {
  readonly num_pending: number
  readonly delivered: { readonly stream_seq: number }
}

/** Sets the positions of all buckets. Every process that receives starts over from there, within a second. */
export async function seek(connection: Connection, subscription: Subscription, to: SeekTarget): Promise<void> {
  const { value } = await subscription.table()
  const topic = await topicStream(connection, value.topic)
  const position =
    to === 'beginning' ? 0 : to === 'end' ? topic.lastSequence : await sequenceBefore(connection, topic, subscription.name, to.time)
  const changed = await subscription.change((table) => sought(table, position))
  if (changed === undefined) throw new SubscriptionUnknown({ subscription: subscription.name })
}

/** Positions are asked of the holders' own notes, then what follows them is counted by the server. */
export async function stats(connection: Connection, subscription: Subscription): Promise<SubscriptionStats> {
  const { value: table } = await subscription.table()
  const topic = await topicStream(connection, table.topic)
  const counted = await Promise.all(
    (await positions(subscription, table)).map((position, bucket) => oldestAfter(connection, topic, bucket, position)),
  )
  let backlog = 0
  let oldest: Date | undefined
  // One after the other: they share the name of one consumer.
  for (const [bucket, found] of counted.entries()) {
    if (found === undefined) continue
    backlog += (
      await inspect(connection, topic, subscription.name, bucket, { deliver_policy: 'by_start_sequence', opt_start_seq: found.sequence })
    ).num_pending
    if (oldest === undefined || found.sentAt < oldest) oldest = found.sentAt
  }
  return { subscription: subscription.name, backlog, ...(oldest && { oldestSentAt: oldest }) }
}

async function positions(subscription: Subscription, { holders, leases }: LeaseTable): Promise<readonly number[]> {
  const acknowledged = new Map(await Promise.all(holders.map(async (holder) => [holder, await subscription.acknowledged(holder)] as const)))
  return leases.map((lease, bucket) => positionOf(lease, bucket, (lease.holder !== null && acknowledged.get(lease.holder)) || []))
}

async function oldestAfter(
  connection: Connection,
  { stream, topic }: TopicStream,
  bucket: number,
  position: number,
): Promise<{ readonly sequence: number; readonly sentAt: Date } | undefined> {
  const question = { seq: position + 1, next_by_subj: subjectOf(topic, bucket) }
  const { headers } = await connection.request(`$JS.API.DIRECT.GET.${stream}`, JSON.stringify(question))
  if (headers === undefined || headers.code >= 300) {
    if (headers?.code === 404) return undefined
    throw new TransportFailed({ transport: 'nats', reason: `looking into ${stream}: ${headers?.description ?? 'no answer'}` })
  }
  return { sequence: Number(headers.get('Nats-Sequence')), sentAt: new Date(headers.get('Nats-Time-Stamp')) }
}

/** The sequence before the first message of that time or later: a consumer that would start there says so. */
async function sequenceBefore(connection: Connection, topic: TopicStream, subscription: string, time: Date): Promise<number> {
  const { delivered } = await inspect(connection, topic, subscription, '*', {
    deliver_policy: 'by_start_time',
    opt_start_time: time.toISOString(),
  })
  return delivered.stream_seq
}

/** What the server says of a consumer that exists for a moment. Two who ask at once take turns. */
async function inspect(
  connection: Connection,
  { stream, topic }: TopicStream,
  subscription: string,
  bucket: number | '*',
  start: object,
): Promise<ConsumerInfo> {
  const name = counterOf(subscription)
  const subject = subjectOf(topic, bucket)
  const config = {
    name,
    ack_policy: 'none',
    filter_subject: subject,
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: 1e9,
    ...start,
  }
  for (let attempt = 0; attempt < 50; attempt++) {
    const verb = `CONSUMER.CREATE.${stream}.${name}.${subject}`
    const answer: ApiAnswer<ConsumerInfo> = await connection.ask(verb, { stream_name: stream, config })
    if (answer.error && answer.error.code === 503) throw refusal(answer.error, verb)
    if (answer.error === undefined) {
      await connection.ask(`CONSUMER.DELETE.${stream}.${name}`)
      return answer
    }
    if (attempt > 10 && answer.error.code !== 400 && answer.error.code !== 500) throw refusal(answer.error, verb)
    await new Promise((resolve) => setTimeout(resolve, 5 + Math.random() * 20))
  }
  throw unavailable(`counting what waits for ${subscription} was disturbed again and again`)
}
