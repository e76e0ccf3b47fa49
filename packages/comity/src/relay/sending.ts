import type { OutgoingMessage, SendOptions, SendResult, Transport } from '../transport/transport.ts'

/**
 * Sends the messages of one topic within the transport's limits of a call, one call after the other, so that the order per
 * key holds. After a refused message the later ones of its key are `blocked`, also in later calls.
 */
export async function sendWithinLimits(
  transport: Transport,
  topic: string,
  messages: readonly OutgoingMessage[],
  options: SendOptions,
): Promise<readonly SendResult[]> {
  const { batchMessages, batchBytes } = transport.guarantees.limits
  const results: SendResult[] = []
  const refusedKeys = new Set<string>()
  for (let from = 0; from < messages.length; ) {
    const call: OutgoingMessage[] = []
    const positions: number[] = []
    let bytes = 0
    for (; from < messages.length && call.length < batchMessages; from++) {
      const message = messages[from] as OutgoingMessage
      if (refusedKeys.has(message.key)) {
        results[from] = { status: 'blocked' }
        continue
      }
      const size = sizeOf(message)
      if (call.length > 0 && bytes + size > batchBytes) break
      bytes += size
      call.push(message)
      positions.push(from)
    }
    if (call.length === 0) continue
    for (const [i, result] of (await transport.send(topic, call, options)).entries()) {
      results[positions[i] as number] = result
      if (result.status === 'refused' || result.status === 'blocked') refusedKeys.add((call[i] as OutgoingMessage).key)
    }
  }
  return results
}

/** At most this many bytes: a UTF-16 unit is at most three of UTF-8, attributes are ASCII, and their JSON has some marks. */
function sizeOf({ data, attributes }: OutgoingMessage): number {
  let size = data.length * 3
  for (const name in attributes) size += name.length + (attributes[name] as string).length + 6
  return size
}
