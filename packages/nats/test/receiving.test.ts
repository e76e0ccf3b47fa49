import { setTimeout } from 'node:timers/promises'
import { connect } from '@nats-io/transport-node'
import { type DeliveryHandler, type Logger, type OutgoingMessage as Message, silentLogger } from 'comity/transport'
import { expect, onTestFinished, test, vi } from 'vitest'
import { client, messages, receiving, topicOn } from './clients.ts'
import { onNats } from './nats-server.ts'
import { delivers, tamperingProxy } from './tampering-proxy.ts'

const ids = (sent: readonly { readonly id: string }[]): string[] => sent.map(({ id }) => id)

onNats('receiving', (server) => {
  test('a pull that the server never saw is found out, said, and made anew', async () => {
    const proxy = await tamperingProxy(server().port)
    const events: unknown[] = []
    const logger: Logger = { ...silentLogger, warn: (fields) => events.push(fields.event) }
    const { topic, subscription } = await topicOn(client(server().port))
    let pulls = 0
    proxy.fromClient = (frame) => (frame.line.includes('CONSUMER.MSG.NEXT') && ++pulls === 1 ? undefined : frame)
    const seen = receiving(client(proxy.port, { stallAfter: 200, logger }), subscription)
    await vi.waitFor(() => expect(pulls).toBe(1), 5000)
    const sent = messages(5)
    await client(server().port).send(topic, sent)
    await vi.waitFor(() => expect(seen).toEqual(ids(sent)), 5000)
    expect(events).toContain('comity.transport.stalled')
  })

  test('a message lost on its way to the receiver is noticed by the next, and comes before it', async () => {
    const proxy = await tamperingProxy(server().port)
    const { topic, subscription } = await topicOn(client(server().port))
    let delivered = 0
    proxy.fromServer = (frame) => (delivers(frame) && ++delivered === 3 ? undefined : frame)
    const seen = receiving(client(proxy.port), subscription)
    const sent = messages(20)
    await client(server().port).send(topic, sent)
    await vi.waitFor(() => expect(seen).toEqual(ids(sent)), 5000)
  })

  test('whoever holds all buckets reads them together, others one by one; while receivers come and go each message comes once, in order', async () => {
    const proxy = await tamperingProxy(server().port)
    const modes: string[] = []
    proxy.fromClient = (frame) => {
      const made = /CONSUMER\.CREATE\.\S+-(all|\d+)\.comity\.topic/.exec(frame.line)
      const mode = made && (made[1] === 'all' ? 'together' : 'one by one')
      if (mode && mode !== modes.at(-1)) modes.push(mode)
      return frame
    }
    const sender = client(server().port)
    const { topic, subscription } = await topicOn(sender)
    const seen: Message[] = []
    const receive = (port: number): { readonly count: () => number; readonly end: () => Promise<void> } => {
      let count = 0
      const stop = new AbortController()
      const handler: DeliveryHandler = async (deliveries) => {
        seen.push(...deliveries.map(({ message }) => message))
        count += deliveries.length
        return deliveries.map(() => 'ack')
      }
      const ended = client(port).receive(subscription, handler, { signal: stop.signal })
      const end = (): Promise<void> => {
        stop.abort()
        return ended
      }
      onTestFinished(end)
      return { count: () => count, end }
    }
    const sent: Message[] = []
    const sending = new AbortController()
    const sends = (async () => {
      for (; !sending.signal.aborted; await setTimeout(5)) {
        const batch = messages(40, (n) => `k${n}`)
        await sender.send(topic, batch)
        sent.push(...batch)
      }
    })()
    receive(proxy.port)
    for (const round of [1, 2]) {
      await vi.waitFor(() => expect(modes).toHaveLength(2 * round - 1), 5000)
      const other = receive(server().port)
      await vi.waitFor(() => expect(other.count()).toBeGreaterThan(100), 5000)
      await other.end()
    }
    await vi.waitFor(() => expect(modes).toHaveLength(5), 5000)
    sending.abort()
    await sends
    await vi.waitFor(() => expect(new Set(ids(seen)).size).toBe(sent.length), 5000)
    const ofKey = (all: readonly Message[], n: number): string[] => ids(all.filter(({ key }) => key === `k${n}`))
    for (let n = 0; n < 40; n++) expect(ofKey(seen, n)).toEqual(ofKey(sent, n))
    expect(modes).toEqual(['together', 'one by one', 'together', 'one by one', 'together'])
  })

  test('a seek reaches a process that does not hear of it, within a second', async () => {
    const proxy = await tamperingProxy(server().port)
    const { topic, subscription } = await topicOn(client(server().port))
    proxy.fromServer = (frame) => (frame.line.startsWith('MSG comity.news.') ? undefined : frame)
    const seen = receiving(client(proxy.port, { leaseMs: 10_000 }), subscription)
    const sent = messages(10)
    const other = client(server().port)
    await other.send(topic, sent)
    await vi.waitFor(() => expect(seen).toEqual(ids(sent)), 5000)
    await other.seek(subscription, 'beginning')
    const began = performance.now()
    await vi.waitFor(() => expect(seen).toEqual([...ids(sent), ...ids(sent)]), { timeout: 5000, interval: 10 })
    expect(performance.now() - began).toBeLessThan(1500)
  })

  test('a message larger than what is asked for at once comes all the same, in its place', async () => {
    const transport = client(server().port)
    const { topic, subscription } = await topicOn(transport)
    const [small, large, last] = messages(3) as [Message, Message, Message]
    const data = JSON.stringify('x'.repeat(7 * 1024 * 1024))
    await transport.send(topic, [small, { ...large, data }, last])
    const seen = receiving(transport, subscription)
    await vi.waitFor(() => expect(seen).toEqual(ids([small, large, last])), 5000)
  })

  test('what retention has taken before anyone received it holds nobody up', async () => {
    const raw = await connect({ servers: `127.0.0.1:${server().port}` })
    const transport = client(server().port)
    const { topic, subscription } = await topicOn(transport)
    const sent = messages(10)
    await transport.send(topic, sent)
    await raw.request(`$JS.API.STREAM.PURGE.comity-${topic.replace('.', '_')}`, JSON.stringify({ seq: 6 }))
    const seen = receiving(transport, subscription)
    await vi.waitFor(() => expect(seen).toEqual(ids(sent.slice(5))), 5000)
    await raw.close()
  })

  test('a stream that ends before the position, as after a restore, is delivered from its beginning', async () => {
    const raw = await connect({ servers: `127.0.0.1:${server().port}` })
    const transport = client(server().port)
    const { topic, subscription } = await topicOn(transport)
    const sent = messages(5)
    await transport.send(topic, sent)
    const key = `$KV.comity-crm.subscriptions.${subscription.replace('.', '_')}`
    const stored = (await raw.request('$JS.API.STREAM.MSG.GET.KV_comity-crm', JSON.stringify({ last_by_subj: key }))).json<{
      message: { data: string }
    }>()
    const table = JSON.parse(Buffer.from(stored.message.data, 'base64').toString()) as { leases: object[] }
    await raw.request(key, JSON.stringify({ ...table, leases: table.leases.map((lease) => ({ ...lease, position: 1000 })) }))
    const seen = receiving(transport, subscription)
    await vi.waitFor(() => expect(seen).toEqual(ids(sent)), 5000)
    await raw.close()
  })

  test('a receiver whose stream is deleted by hand ends, and says what is missing', async () => {
    const raw = await connect({ servers: `127.0.0.1:${server().port}` })
    const transport = client(server().port)
    const { topic, subscription } = await topicOn(transport)
    const [sent, seen] = [messages(1), [] as string[]]
    const handler: DeliveryHandler = async (deliveries) => {
      seen.push(...deliveries.map(({ message }) => message.id))
      return deliveries.map(() => 'ack')
    }
    const ended = transport.receive(subscription, handler, { signal: new AbortController().signal })
    await transport.send(topic, sent)
    await vi.waitFor(() => expect(seen).toEqual(ids(sent)), 5000)
    const rejected = expect(ended).rejects.toMatchObject({ code: 'COMITY_SUBSCRIPTION_UNKNOWN' })
    await raw.request(`$JS.API.STREAM.DELETE.comity-${topic.replace('.', '_')}`)
    await rejected
    await raw.close()
  })

  test('what somebody else has put into a topic is delivered as it is, and stops nobody', async () => {
    const raw = await connect({ servers: `127.0.0.1:${server().port}` })
    const transport = client(server().port)
    const { topic, subscription } = await topicOn(transport)
    await raw.request(`comity.topic.${topic.replace('.', '_')}.0`, 'no JSON')
    const sent = messages(3)
    await transport.send(topic, sent)
    const seen = receiving(transport, subscription)
    await vi.waitFor(() => expect(new Set(seen)).toEqual(new Set(['nats:1', ...ids(sent)])), 5000)
    await raw.close()
  })
})
