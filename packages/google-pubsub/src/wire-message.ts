import { bucketOf } from '@comity/contract'
import type { protos } from '@google-cloud/pubsub'
import type { IncomingMessage, OutgoingMessage } from 'comity/transport'

type Received = protos.google.pubsub.v1.IPubsubMessage

/** Attributes of our own, beside the message's. */
const ID = 'comity-id'
const KEY = 'comity-key'

/** A message of a PublishRequest; its ordering key is its bucket. */
export interface WireMessage {
  readonly data: Buffer
  readonly attributes: Readonly<Record<string, string>>
  readonly orderingKey: string
}

/** Why Pub/Sub would not take this message; undefined = it would. Source: https://cloud.google.com/pubsub/quotas#resource_limits */
export function reasonToRefuse({ id, key, attributes }: OutgoingMessage): string | undefined {
  const names = Object.keys(attributes)
  if (names.length > 98) return `it has ${names.length} attributes, and the limit is 98 (of Pub/Sub's 100 two are its id and its key)`
  for (const [what, value] of [['id', id] as const, ['key', key] as const]) {
    const reason = tooLong(what, value)
    if (reason !== undefined) return reason
  }
  for (const name of names) {
    if (name === '') return 'it has an attribute without a name'
    if (name === ID || name === KEY) return `its attribute ${name} is reserved for the transport`
    if (/^goog/i.test(name)) return `its attribute ${name} begins with "goog", which Pub/Sub keeps to itself`
    if (Buffer.byteLength(name) > 256) return `the name of an attribute has ${Buffer.byteLength(name)} bytes, and the limit is 256`
    const reason = tooLong(`attribute ${name}`, attributes[name] as string)
    if (reason !== undefined) return reason
  }
  return undefined
}
function tooLong(what: string, value: string): string | undefined {
  // Three bytes are the most that a UTF-16 unit takes.
  if (value.length * 3 <= 1024) return undefined
  const bytes = Buffer.byteLength(value)
  return bytes > 1024 ? `its ${what} has ${bytes} bytes, and the limit for an attribute's value is 1024` : undefined
}

export function toWire({ id, key, attributes, data }: OutgoingMessage, buckets: number): WireMessage {
  return { data: Buffer.from(data), attributes: { ...attributes, [ID]: id, [KEY]: key }, orderingKey: String(bucketOf(key, buckets)) }
}

/** As a receiver gets it. What somebody else published, without our attributes, is given the broker's id and its ordering key as key. */
export function fromWire({ messageId, data, attributes: given, orderingKey, publishTime }: Received): {
  /** The broker's. */
  readonly id: string
  readonly message: IncomingMessage
  readonly bucket: number
  readonly size: number
} {
  const broker = messageId ?? ''
  const received = given ?? {}
  const { [ID]: id = broker, [KEY]: key = orderingKey ?? '', ...attributes } = received
  const content = Buffer.from(data ?? '')
  let size = content.length
  for (const name in received) size += name.length + (received[name] as string).length
  const bucket = /^\d{1,4}$/.test(orderingKey ?? '') ? Number(orderingKey) : bucketOf(orderingKey ?? '', 1024)
  const sentAt = new Date(Number(publishTime?.seconds ?? 0) * 1000 + Math.floor((publishTime?.nanos ?? 0) / 1_000_000))
  return { id: broker, message: { id, key, attributes, data: content.toString(), sentAt }, bucket, size }
}
