import { SubscriptionUnknown, TopicUnknown, TransportFailed } from 'comity/transport'
import { type Connection, refusal } from './connection.ts'
import { NatsStreamUnsafe } from './errors.ts'
import { streamOf, subjectOf } from './names.ts'

/** Source: nats-server/server/stream.go, StreamConfig; durations in nanoseconds, -1 = no limit. */
export interface StreamConfig {
  readonly name: string
  readonly description?: string
  readonly subjects: readonly string[]
  readonly retention: string
  readonly storage: string
  readonly max_age: number
  readonly max_msgs: number
  readonly max_bytes: number
  readonly max_msgs_per_subject: number
  readonly discard: string
  readonly num_replicas: number
  readonly allow_direct: boolean
}

export interface StreamInfo {
  readonly config: StreamConfig
  readonly created: string
  readonly state: { readonly last_seq: number; readonly subjects?: Readonly<Record<string, number>> }
}

/** A topic as its stream says it is: one stream per topic, one subject per bucket. */
export interface TopicStream {
  readonly topic: string
  readonly team: string
  /** Who may send beside the team. */
  readonly senders: readonly string[]
  readonly buckets: number
  readonly stream: string
  /** When the stream was made: another one of the same name counts from 1 again. */
  readonly created: string
  readonly lastSequence: number
  readonly config: StreamConfig
}

/** What the stream of a topic must have so that nothing unacknowledged goes missing before the replay window ends. */
export interface StreamDemands {
  /** Milliseconds. */
  readonly retention: number
  readonly allowUnsafe: boolean
}

export const NO_STREAM = 10059
const NANOS = 1_000_000

export const maxAge = (retention: number): number => retention * NANOS

export function streamConfig(
  plan: { readonly name: string; readonly team: string; readonly buckets: number; readonly senders?: readonly string[] },
  wanted: { readonly retention: number; readonly replicas: number },
): StreamConfig {
  return {
    name: streamOf(plan.name),
    // Streams have no metadata before 2.10.
    description: descriptionOf(plan),
    subjects: Array.from({ length: plan.buckets }, (_, bucket) => subjectOf(plan.name, bucket)),
    retention: 'limits',
    storage: 'file',
    max_age: maxAge(wanted.retention),
    // By age alone: a limit of count or size would take what nobody has acknowledged yet.
    max_msgs: -1,
    max_bytes: -1,
    max_msgs_per_subject: -1,
    discard: 'old',
    num_replicas: wanted.replicas,
    allow_direct: true,
  }
}

/** What the stream says of itself: whose it is, and how its keys are spread. */
export function descriptionOf(plan: {
  readonly name: string
  readonly team: string
  readonly buckets: number
  readonly senders?: readonly string[]
}): string {
  const { name: topic, team, buckets, senders = [] } = plan
  return JSON.stringify({ comity: 1, topic, team, buckets, ...(senders.length === 0 ? {} : { senders }) })
}

/** Undefined if there is none. */
export async function findStream(connection: Connection, topic: string): Promise<TopicStream | undefined> {
  const verb = `STREAM.INFO.${streamOf(topic)}`
  const answer = await connection.ask<StreamInfo>(verb)
  if (answer.error?.err_code === NO_STREAM) return undefined
  if (answer.error) throw refusal(answer.error, verb)
  const { config, created, state } = answer
  const said = described(config.description)
  if (said === undefined) {
    throw new TransportFailed({ transport: 'nats', reason: `stream ${config.name} exists, and it was not made for topic ${topic}` })
  }
  return { topic, ...said, stream: config.name, created, lastSequence: state.last_seq, config }
}

export async function topicStream(connection: Connection, topic: string): Promise<TopicStream> {
  const found = await findStream(connection, topic)
  if (found === undefined) throw new TopicUnknown({ topic })
  return found
}

/** For a receiver: the stream, refused where it could lose what was not acknowledged. */
export async function safeTopicStream(
  connection: Connection,
  topic: string,
  subscription: string,
  demands: StreamDemands,
): Promise<TopicStream> {
  const found = await findStream(connection, topic)
  if (found === undefined) throw new SubscriptionUnknown({ subscription })
  refuseLossy(found, demands.allowUnsafe)
  refuseShort(found, demands)
  return found
}

/** What no change of its settings can mend. */
export function refuseLossy({ topic, config }: TopicStream, allowUnsafe: boolean): void {
  if (allowUnsafe) return
  const remedy = 'transport.remove({ topics }), then `comity provision`; its relay sends again what its outbox still has'
  if (config.storage !== 'file')
    throw new NatsStreamUnsafe({ topic, reason: 'it is kept in memory, so a restart of the server loses it', remedy })
  if (config.retention !== 'limits')
    throw new NatsStreamUnsafe({ topic, reason: `its retention is by ${config.retention}, so nothing stays for a replay`, remedy })
}

function refuseShort({ topic, config }: TopicStream, { retention, allowUnsafe }: StreamDemands): void {
  const reason = shortfall(config, retention)
  if (reason === undefined || allowUnsafe) return
  throw new NatsStreamUnsafe({
    topic,
    reason,
    remedy: 'run `comity provision` as the operator, or say a shorter window: ?retention=1d in the URL of its receivers',
  })
}

/** What takes messages away before the window ends, in words; undefined if nothing does. */
export function shortfall(config: StreamConfig, retention: number): string | undefined {
  if (config.max_age !== 0 && config.max_age < maxAge(retention))
    return `retention ${inWords(config.max_age / NANOS)} → ${inWords(retention)}`
  for (const limit of ['max_msgs', 'max_bytes', 'max_msgs_per_subject'] as const)
    if (config[limit] > 0) return `${limit} ${config[limit]} → no limit`
  return undefined
}

export function inWords(milliseconds: number): string {
  for (const [unit, length] of [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
  ] as const)
    if (milliseconds >= length) return `${+(milliseconds / length).toFixed(1)} ${unit}`
  return `${+(milliseconds / 1000).toFixed(1)} s`
}

function described(description = ''): { readonly team: string; readonly buckets: number; readonly senders: readonly string[] } | undefined {
  try {
    const { comity, team, buckets, senders = [] } = JSON.parse(description) as Record<string, unknown>
    if (comity !== 1 || typeof team !== 'string' || typeof buckets !== 'number' || !Array.isArray(senders)) return undefined
    return { team, buckets, senders }
  } catch {
    return undefined
  }
}
