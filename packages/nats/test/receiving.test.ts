import { setTimeout } from 'node:timers/promises'
import { bucketOf } from '@comity/contract'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { type DeliveryHandler, type Logger, type OutgoingMessage as Message, silentLogger } from 'comity/transport'
import { expect, onTestFinished, test, vi } from 'vitest'
import { TcpProxy } from '../../../test/support/tcp-proxy.ts'
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
    await vi.waitFor(() => expect(pulls).toBe(1), 60_000)
    const sent = messages(5)
    await client(server().port).send(topic, sent)
    await vi.waitFor(() => expect(seen).toEqual(ids(sent)), 60_000)
    expect(events).toContain('comity.transport.stalled')
  })

  test('a half-open connection is given up after one and a half answer timeouts, and messages come through a new one', async () => {
    const proxy = await TcpProxy.to({ host: '127.0.0.1', port: server().port })
    onTestFinished(() => proxy.close())
    const sender = client(server().port)
    const { topic, subscription } = await topicOn(sender)
    const seen = receiving(client(proxy.port, { answerTimeout: 1000 }), subscription)
    const [before, after] = [messages(1), messages(5)]
    await sender.send(topic, before)
    await vi.waitFor(() => expect(seen).toEqual(ids(before)), 60_000)
    proxy.disturb({ kind: 'black-hole' })
    await setTimeout(2500)
    proxy.disturb({ kind: 'none' })
    await sender.send(topic, after)
    // By pings every ten seconds it would take twenty.
    await vi.waitFor(() => expect(seen).toEqual(ids([...before, ...after])), 60_000)
  })

  test('a message lost on its way to the receiver is noticed by the next, and comes before it', async () => {
    const proxy = await tamperingProxy(server().port)
    const { topic, subscription } = await topicOn(client(server().port))
    let delivered = 0
    proxy.fromServer = (frame) => (delivers(frame) && ++delivered === 3 ? undefined : frame)
    const seen = receiving(client(proxy.port), subscription)
    const sent = messages(20)
    await client(server().port).send(topic, sent)
    await vi.waitFor(() => expect(seen).toEqual(ids(sent)), 60_000)
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
      // So long a lease that a busy machine loses none: what was at its handler would come twice.
      const ended = client(port, { leaseMs: 10_000 }).receive(subscription, handler, { signal: stop.signal })
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
      await vi.waitFor(() => expect(modes).toHaveLength(2 * round - 1), 60_000)
      const other = receive(server().port)
      await vi.waitFor(() => expect(other.count()).toBeGreaterThan(100), 60_000)
      await other.end()
    }
    await vi.waitFor(() => expect(modes).toHaveLength(5), 60_000)
    sending.abort()
    await sends
    await vi.waitFor(() => expect(new Set(ids(seen)).size).toBe(sent.length), 60_000)
    const ofKey = (all: readonly Message[], n: number): string[] => ids(all.filter(({ key }) => key === `k${n}`))
    for (let n = 0; n < 40; n++) expect(ofKey(seen, n)).toEqual(ofKey(sent, n))
    expect(modes).toEqual(['together', 'one by one', 'together', 'one by one', 'together'])
  })

  test('a bucket whose messages have to come again and again does not hold up the others', async () => {
    const transport = client(server().port)
    const { topic, subscription } = await topicOn(transport)
    const [stuck, others] = [messages(200, () => 'stuck'), messages(2000, (n) => `k${n}`)]
    await transport.send(topic, stuck)
    for (let n = 0; n < others.length; n += 1000) await transport.send(topic, others.slice(n, n + 1000))
    const [seen, stop] = [new Set<string>(), new AbortController()]
    const handler: DeliveryHandler = async (deliveries) => {
      // Long enough that all that may wait is here when the first has to come again.
      if (seen.size < 64) await setTimeout(300)
      for (const { message } of deliveries) seen.add(message.id)
      return deliveries.map(({ message }) => (message.key === 'stuck' ? 'later' : 'ack'))
    }
    const ended = transport.receive(subscription, handler, { signal: stop.signal, prefetch: 64 })
    const elsewhere = others.filter(({ key }) => bucketOf(key, 16) !== bucketOf('stuck', 16))
    await vi.waitFor(() => expect(elsewhere.filter(({ id }) => !seen.has(id))).toEqual([]), 60_000)
    stop.abort()
    await ended
  })

  test('the position of a quiet bucket moves along with the others: who takes it over need not begin far behind', async () => {
    const raw = await connect({ servers: `127.0.0.1:${server().port}` })
    const transport = client(server().port)
    const { topic, subscription } = await topicOn(transport)
    const [sent, stop, seen] = [messages(50), new AbortController(), [] as string[]]
    await transport.send(topic, sent)
    const handler: DeliveryHandler = async (deliveries) => {
      seen.push(...deliveries.map(({ message }) => message.id))
      return deliveries.map(() => 'ack')
    }
    const ended = transport.receive(subscription, handler, { signal: stop.signal })
    await vi.waitFor(() => expect(seen).toEqual(ids(sent)), 60_000)
    stop.abort()
    await ended
    const { table } = await tableOf(raw, subscription)
    expect(new Set(table.leases.map(({ position }) => position))).toEqual(new Set([50]))
    await raw.close()
  })

  test('a seek reaches a process that does not hear of it, within a second', async () => {
    const proxy = await tamperingProxy(server().port)
    const { topic, subscription } = await topicOn(client(server().port))
    proxy.fromServer = (frame) => (frame.line.startsWith('MSG comity.news.') ? undefined : frame)
    const seen = receiving(client(proxy.port, { leaseMs: 10_000 }), subscription)
    const sent = messages(10)
    const other = client(server().port)
    await other.send(topic, sent)
    await vi.waitFor(() => expect(seen).toEqual(ids(sent)), 60_000)
    await other.seek(subscription, 'beginning')
    const began = performance.now()
    await vi.waitFor(() => expect(seen).toEqual([...ids(sent), ...ids(sent)]), { timeout: 60_000, interval: 10 })
    expect(performance.now() - began).toBeLessThan(1500)
  })

  test('a message larger than what is asked for at once comes all the same, in its place', async () => {
    const transport = client(server().port)
    const { topic, subscription } = await topicOn(transport)
    const [small, large, last] = messages(3) as [Message, Message, Message]
    const data = JSON.stringify('x'.repeat(7 * 1024 * 1024))
    await transport.send(topic, [small, { ...large, data }, last])
    const seen = receiving(transport, subscription)
    await vi.waitFor(() => expect(seen).toEqual(ids([small, large, last])), 60_000)
  })

  test('what retention has taken before anyone received it holds nobody up', async () => {
    const raw = await connect({ servers: `127.0.0.1:${server().port}` })
    const transport = client(server().port)
    const { topic, subscription } = await topicOn(transport)
    const sent = messages(10)
    await transport.send(topic, sent)
    await raw.request(`$JS.API.STREAM.PURGE.comity-${topic.replace('.', '_')}`, JSON.stringify({ seq: 6 }))
    const seen = receiving(transport, subscription)
    await vi.waitFor(() => expect(seen).toEqual(ids(sent.slice(5))), 60_000)
    await raw.close()
  })

  test.each([
    { of: 'all buckets', isAhead: () => true },
    { of: 'one bucket', isAhead: (bucket: number) => bucket === bucketOf('k', 16) },
  ])('a stream that ends before the position of $of, as after a restore, is delivered from its beginning', async ({ isAhead }) => {
    const raw = await connect({ servers: `127.0.0.1:${server().port}` })
    const transport = client(server().port)
    const { topic, subscription } = await topicOn(transport)
    const sent = messages(5)
    await transport.send(topic, sent)
    const { key, table } = await tableOf(raw, subscription)
    const leases = table.leases.map((lease, bucket) => (isAhead(bucket) ? { ...lease, position: 1000 } : lease))
    await raw.request(key, JSON.stringify({ ...table, leases }))
    const seen = receiving(transport, subscription)
    await vi.waitFor(() => expect(seen).toEqual(ids(sent)), 60_000)
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
    await vi.waitFor(() => expect(seen).toEqual(ids(sent)), 60_000)
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
    await vi.waitFor(() => expect(new Set(seen)).toEqual(new Set(['nats:1', ...ids(sent)])), 60_000)
    await raw.close()
  })
})

/** The lease table as it is stored, and the subject that stores another one. */
async function tableOf(
  raw: NatsConnection,
  subscription: string,
): Promise<{ readonly key: string; readonly table: { readonly leases: readonly { readonly position: number }[] } }> {
  const key = `$KV.comity-crm.subscriptions.${subscription.replace('.', '_')}`
  const stored = (await raw.request('$JS.API.STREAM.MSG.GET.KV_comity-crm', JSON.stringify({ last_by_subj: key }))).json<{
    message: { data: string }
  }>()
  return { key, table: JSON.parse(Buffer.from(stored.message.data, 'base64').toString()) }
}
