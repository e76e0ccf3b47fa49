import { TransportUnavailable } from './errors.ts'
import type { TransportLimits } from './guarantees.ts'
import { checkBatch } from './message-check.ts'
import type { OutgoingMessage, SendOptions, SendResult, Transport } from './transport.ts'

/**
 * One send to two brokers, **the old one first**: whatever is at the new one was at the old one before. A message counts as stored when both
 * have it; what the old one does not store never reaches the new one, and neither do later messages of its key (they are `blocked` there).
 * Throws COMITY_TRANSPORT_UNAVAILABLE when the new one fails after the old one has stored: the caller sends all of it again, to both, in order.
 */
export async function sendToBoth(
  [from, to]: readonly [Transport, Transport],
  limits: TransportLimits,
  topic: string,
  messages: readonly OutgoingMessage[],
  options: SendOptions = {},
): Promise<readonly SendResult[]> {
  // By the limits of both: what one of them would refuse for its size alone, neither gets.
  const checked = checkBatch(messages, limits)
  const first = await from.send(topic, checked.messages, options)
  if (first.some(({ status }) => status === 'stale')) return messages.map(() => ({ status: 'stale' }))
  const stored = checked.messages.filter((_, i) => first[i]?.status === 'stored')
  const second = stored.length === 0 ? [] : await sendOn(to, topic, stored, options)
  if (second.some(({ status }) => status === 'stale')) return messages.map(() => ({ status: 'stale' }))
  let next = 0
  const both = first.map((result) => (result.status === 'stored' ? (second[next++] as SendResult) : result))
  const turnedAway = checked.results({ status: 'stored' })
  let accepted = 0
  return turnedAway.map((result) => (result.status === 'stored' ? (both[accepted++] as SendResult) : result))
}

async function sendOn(
  to: Transport,
  topic: string,
  messages: readonly OutgoingMessage[],
  options: SendOptions,
): Promise<readonly SendResult[]> {
  try {
    return await to.send(topic, messages, options)
  } catch (error) {
    if (error instanceof TransportUnavailable) throw error
    // Not "nothing was stored": the old broker has it.
    const reason = error instanceof Error ? (error.message.split('\n', 1)[0] as string) : String(error)
    throw new TransportUnavailable({ transport: to.name, reason: `it does not take what the old broker took: ${reason}` }, { cause: error })
  }
}
