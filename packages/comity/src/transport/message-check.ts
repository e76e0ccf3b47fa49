import { BatchTooLarge } from './errors.ts'
import type { TransportLimits } from './guarantees.ts'
import type { OutgoingMessage, SendResult } from './transport.ts'

/** A batch with its unacceptable messages taken out. The arrays run parallel to `messages`. */
export interface CheckedBatch {
  readonly messages: readonly OutgoingMessage[]
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
/** What nearly all attributes are: as many bytes as characters, and nothing in them that is not storable. */
const ascii = /^[ -~]*$/

/** Throws COMITY_BATCH_TOO_LARGE if the call as a whole passes the limits; a message alone is refused by its result. */
export function checkBatch(batch: readonly OutgoingMessage[], limits: TransportLimits): CheckedBatch {
  if (batch.length > limits.batchMessages) {
    throw new BatchTooLarge(
      { given: `${batch.length} messages`, limit: `${limits.batchMessages} messages` },
      { limit: `${limits.batchMessages} messages` },
    )
  }
  const messages: OutgoingMessage[] = []
  const sizes: number[] = []
  const turnedAway = new Map<number, SendResult>()
  const blockedKeys = new Set<string>()
  let bytes = 0
  for (const [index, message] of batch.entries()) {
    if (blockedKeys.size > 0 && blockedKeys.has(message.key)) {
      turnedAway.set(index, { status: 'blocked' })
      continue
    }
    const size = sizeOf(message)
    const reason = reasonToRefuse(message, size, limits)
    if (reason !== undefined) {
      turnedAway.set(index, { status: 'refused', reason })
      blockedKeys.add(message.key)
      continue
    }
    bytes += size
    messages.push(message)
    sizes.push(size)
  }
  if (bytes > limits.batchBytes) {
    throw new BatchTooLarge({ given: `${bytes} bytes`, limit: `${limits.batchBytes} bytes` }, { limit: `${limits.batchBytes} bytes` })
  }
  return {
    messages,
    sizes,
    results: (accepted) => batch.map((_, index) => turnedAway.get(index) ?? accepted),
  }
}

/** Negative: an attribute is no text, or none that can be stored. */
function sizeOf({ attributes, data }: OutgoingMessage): number {
  let size = Buffer.byteLength(data)
  for (const name in attributes) {
    const value = attributes[name]
    if (typeof value !== 'string') return -1
    if (ascii.test(value) && ascii.test(name)) size += name.length + value.length
    else if (storable(value) && storable(name)) size += Buffer.byteLength(name) + Buffer.byteLength(value)
    else return -1
  }
  return size
}

function reasonToRefuse({ id, key, attributes, data }: OutgoingMessage, size: number, limits: TransportLimits): string | undefined {
  if (size > limits.messageBytes) return `it has ${size} bytes with its attributes, and the limit is ${limits.messageBytes}`
  if (id === '') return 'its id is empty'
  const unstorable = !storable(id) ? 'id' : !storable(key) ? 'key' : !storable(data) ? 'data' : undefined
  if (unstorable !== undefined) return `its ${unstorable} contains a NUL character or a lone surrogate`
  if (size >= 0) return undefined
  for (const name in attributes) {
    const value = attributes[name]
    if (typeof value !== 'string') return `its attribute ${name} is not a string`
    if (!(storable(name) && storable(value))) return `its attribute ${JSON.stringify(name)} contains a NUL character or a lone surrogate`
  }
  return undefined
}
