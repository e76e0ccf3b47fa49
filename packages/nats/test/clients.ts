import type { OutgoingMessage } from 'comity/transport'
import { onTestFinished } from 'vitest'
import { type NatsTransport, type NatsTransportOptions, natsTransport } from '../src/index.ts'

/** A client with short times, closed with the test. */
export function client(port: number, options: Partial<NatsTransportOptions> = {}): NatsTransport {
  const transport = natsTransport({
    url: `nats://127.0.0.1:${port}?sync=always`,
    leaseMs: 1500,
    closeGrace: 300,
    claimSilence: 400,
    ...options,
  })
  onTestFinished(() => transport.close())
  return transport
}

let topics = 0

/** A topic of its own, with a subscription. */
export async function topicOn(transport: NatsTransport, team = 'crm'): Promise<{ readonly topic: string; readonly subscription: string }> {
  const topic = `${team}.t${++topics}`
  const subscription = `${team}.s${topics}`
  await transport.provision({ topics: [{ name: topic, team }], subscriptions: [{ name: subscription, team, topic }] })
  return { topic, subscription }
}

let ids = 0

export function messages(count: number, key: (n: number) => string = () => 'k'): OutgoingMessage[] {
  return Array.from({ length: count }, (_, n) => ({ id: `m${++ids}`, key: key(n), attributes: { 'ce-type': 'test' }, data: '{}' }))
}

/** Receives in the background until the test ends; answers the ids as they come. */
export function receiving(transport: NatsTransport, subscription: string, onTrouble?: (error: Error | undefined) => void): string[] {
  const seen: string[] = []
  const stop = new AbortController()
  const handler = async (deliveries: readonly { readonly message: OutgoingMessage }[]): Promise<'ack'[]> => {
    seen.push(...deliveries.map(({ message }) => message.id))
    return deliveries.map(() => 'ack')
  }
  const ended = transport.receive(subscription, handler, { signal: stop.signal, ...(onTrouble && { onTrouble }) })
  onTestFinished(async () => {
    stop.abort()
    await ended
  })
  return seen
}
