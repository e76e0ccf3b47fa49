import { BatchTooLarge } from './errors.ts'
import type { TransportLimits } from './guarantees.ts'
import type { OutgoingMessage, SendResult } from './transport.ts'

/** A batch with its unacceptable messages taken out. The arrays run parallel to `messages`. */
export interface CheckedBatch {
  readonly messages: readonly OutgoingMessage[]
  /** Attributes as JSON text. */
  readonly attributes: readonly string[]
  /** Bytes of each message, data and attributes together. */
  readonly sizes: readonly number[]
  /** The results of the whole call, given what became of the accepted messages. */
  results(accepted: SendResult): readonly SendResult[]
}

/** NUL, which Postgres cannot store, and lone surrogates, which UTF-8 cannot carry: most brokers would change them silently. */
function storable(text: string): boolean {
  return !text.includes('\0') && (text as WellFormedString).isWellFormed()
}
/** ES2024; Node has it since 20. */
type WellFormedString = string & { isWellFormed(): boolean }
/** How JSON.stringify writes them (and perhaps an innocent backslash: then each attribute is looked at). */
const suspicious = /\\u(?:0000|d[89a-f])/

/** Throws COMITY_BATCH_TOO_LARGE if the call as a whole passes the limits; a message alone is refused by its result. */
export function checkBatch(batch: readonly OutgoingMessage[], limits: TransportLimits): CheckedBatch {
  if (batch.length > limits.batchMessages) {
    throw new BatchTooLarge(
      { given: `${batch.length} messages`, limit: `${limits.batchMessages} messages` },
      { limit: `${limits.batchMessages} messages` },
    )
  }
  const messages: OutgoingMessage[] = []
  const attributes: string[] = []
  const sizes: number[] = []
  const turnedAway = new Map<number, SendResult>()
  const blockedKeys = new Set<string>()
  let bytes = 0
  for (const [index, message] of batch.entries()) {
    if (blockedKeys.size > 0 && blockedKeys.has(message.key)) {
      turnedAway.set(index, { status: 'blocked' })
      continue
    }
    const json = JSON.stringify(message.attributes)
    const size = Buffer.byteLength(message.data) + Buffer.byteLength(json)
    const reason = reasonToRefuse(message, json, size, limits)
    if (reason !== undefined) {
      turnedAway.set(index, { status: 'refused', reason })
      blockedKeys.add(message.key)
      continue
    }
    bytes += size
    messages.push(message)
    attributes.push(json)
    sizes.push(size)
  }
  if (bytes > limits.batchBytes) {
    throw new BatchTooLarge({ given: `${bytes} bytes`, limit: `${limits.batchBytes} bytes` }, { limit: `${limits.batchBytes} bytes` })
  }
  return {
    messages,
    attributes,
    sizes,
    results: (accepted) => batch.map((_, index) => turnedAway.get(index) ?? accepted),
  }
}

function reasonToRefuse(
  { id, key, attributes, data }: OutgoingMessage,
  json: string,
  size: number,
  limits: TransportLimits,
): string | undefined {
  if (size > limits.messageBytes) return `it has ${size} bytes with its attributes, and the limit is ${limits.messageBytes}`
  if (id === '') return 'its id is empty'
  const unstorable = !storable(id) ? 'id' : !storable(key) ? 'key' : !storable(data) ? 'data' : undefined
  if (unstorable !== undefined) return `its ${unstorable} contains a NUL character or a lone surrogate`
  const suspect = suspicious.test(json)
  for (const name in attributes) {
    const value = attributes[name]
    if (typeof value !== 'string') return `its attribute ${name} is not a string`
    if (suspect && !(storable(name) && storable(value)))
      return `its attribute ${JSON.stringify(name)} contains a NUL character or a lone surrogate`
  }
  return undefined
}
