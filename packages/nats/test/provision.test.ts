import { connect, type NatsConnection } from '@nats-io/transport-node'
import { openTransport as openByUrl } from 'comity/transport'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { launchBroker } from '../../../scripts/brokers.mjs'
import { natsTransport, openTransport } from '../src/index.ts'
import { client, messages, receiving, topicOn } from './clients.ts'
import { onNats } from './nats-server.ts'

const DAY = 86_400_000
const signal = new AbortController().signal

onNats('provisioning', (server) => {
  let raw: NatsConnection
  beforeAll(async () => {
    raw = await connect({ servers: `127.0.0.1:${server().port}` })
  })
  afterAll(() => raw.close())

  async function configure(topic: string, verb: 'CREATE' | 'UPDATE', changes: object): Promise<void> {
    const stream = `comity-${topic.replace('.', '_')}`
    const { config } = (await raw.request(`$JS.API.STREAM.INFO.${stream}`)).json<{ config: object }>()
    if (verb === 'CREATE') await raw.request(`$JS.API.STREAM.DELETE.${stream}`)
    const answer = (await raw.request(`$JS.API.STREAM.${verb}.${stream}`, JSON.stringify({ ...config, ...changes }))).json<{
      error?: object
    }>()
    expect(answer.error).toBeUndefined()
  }

  test('what takes messages away before the window ends is mended, and said', async () => {
    const transport = client(server().port)
    const { topic } = await topicOn(transport)
    await configure(topic, 'UPDATE', { max_age: DAY * 1e6, max_msgs: 5 })
    const plan = { topics: [{ name: topic, team: 'crm' }], subscriptions: [] }
    const step = { action: 'update-topic', name: topic, detail: 'retention 1 d → 7 d, max_msgs 5 → no limit' }
    expect(await transport.provision(plan, { dryRun: true })).toEqual([step])
    expect(await transport.provision(plan)).toEqual([step])
    expect(await transport.provision(plan)).toEqual([])
    await transport.send(topic, messages(20))
  })

  test('a receiver refuses a stream that could lose what it has not acknowledged, and names the way out', async () => {
    const transport = client(server().port)
    const short = await topicOn(transport)
    await configure(short.topic, 'UPDATE', { max_age: DAY * 1e6 })
    const refused = transport.receive(short.subscription, async () => [], { signal })
    await expect(refused).rejects.toMatchObject({
      code: 'COMITY_NATS_STREAM_UNSAFE',
      message: expect.stringContaining('retention 1 d → 7 d'),
    })
    const inMemory = await topicOn(transport)
    await configure(inMemory.topic, 'CREATE', { storage: 'memory' })
    const unsafe = { code: 'COMITY_NATS_STREAM_UNSAFE', message: expect.stringContaining('kept in memory') }
    await expect(transport.receive(inMemory.subscription, async () => [], { signal })).rejects.toMatchObject(unsafe)
    await expect(transport.provision({ topics: [{ name: inMemory.topic, team: 'crm' }], subscriptions: [] })).rejects.toMatchObject(unsafe)
  })

  test('what is in a namespace is provisioned, and brings its messages', async () => {
    const transport = client(server().port)
    const plan = {
      topics: [{ name: 'staging.crm.customer', team: 'staging.crm' }],
      subscriptions: ['staging.marketing.crm-customer', 'staging.marketing.comity.catalog'].map((name) => ({
        ...{ name, team: 'staging.marketing', topic: 'staging.crm.customer' },
      })),
    }
    await transport.provision(plan)
    expect(await transport.provision(plan)).toEqual([])
    await transport.send('staging.crm.customer', messages(3))
    const ended = new AbortController()
    const received: string[] = []
    const receiving = transport.receive(
      'staging.marketing.crm-customer',
      async (deliveries) => {
        received.push(...deliveries.map(({ message }) => message.id))
        return deliveries.map(() => 'ack' as const)
      },
      { signal: ended.signal },
    )
    await vi.waitFor(() => expect(received).toHaveLength(3), { timeout: 60_000 })
    ended.abort()
    await receiving
  })

  test('another team, other buckets, or another topic is a conflict', async () => {
    const transport = client(server().port)
    const { topic, subscription } = await topicOn(transport)
    const conflict = { code: 'COMITY_PROVISION_CONFLICT' }
    await expect(transport.provision({ topics: [{ name: topic, team: 'marketing' }], subscriptions: [] })).rejects.toMatchObject(conflict)
    await expect(transport.provision({ topics: [{ name: topic, team: 'crm', buckets: 32 }], subscriptions: [] })).rejects.toMatchObject(
      conflict,
    )
    const other = await topicOn(transport)
    const moved = { name: subscription, team: 'crm', topic: other.topic }
    await expect(transport.provision({ topics: [], subscriptions: [moved] })).rejects.toMatchObject(conflict)
    await expect(transport.provision({ topics: [], subscriptions: [{ ...moved, team: 'marketing' }] })).rejects.toMatchObject(conflict)
  })

  test('a topic that was lost and made anew is received from its beginning', async () => {
    const transport = client(server().port)
    const { topic, subscription } = await topicOn(transport)
    await transport.send(topic, messages(50))
    await configure(topic, 'CREATE', {})
    const sent = messages(10)
    await transport.send(topic, sent)
    const seen = receiving(transport, subscription)
    await vi.waitFor(() => expect(seen).toEqual(sent.map(({ id }) => id)), 60_000)
  })

  test('one bucket, where the plan says so', async () => {
    const transport = client(server().port)
    await transport.provision({ topics: [{ name: 'crm.single', team: 'crm', buckets: 1 }], subscriptions: [] })
    const info = (await raw.request('$JS.API.STREAM.INFO.comity-crm_single')).json<{ config: { subjects: string[] } }>()
    expect(info.config.subjects).toEqual(['comity.topic.crm_single.0'])
  })
})

onNats('connecting', (server) => {
  test('a server with the usual max_payload is refused, and the line of its configuration named', async () => {
    const usual = await launchBroker('nats', { config: 'max_payload: 1MB' })
    const transport = client(usual.port)
    const plan = { topics: [{ name: 'crm.a', team: 'crm' }], subscriptions: [] }
    await expect(transport.provision(plan)).rejects.toMatchObject({
      code: 'COMITY_NATS_PAYLOAD_TOO_SMALL',
      remedy: expect.stringContaining('max_payload: 9MB'),
    })
    await usual.close()
  })

  test('a URL opens it, with what its parameters say', async () => {
    const url = `nats://127.0.0.1:${server().port},127.0.0.1:${server().port}?team=crm&sync=always&buckets=4`
    await using transport = openTransport(url, {})
    await transport.provision({ topics: [{ name: 'crm.four', team: 'crm' }], subscriptions: [] })
    expect(await transport.provision({ topics: [{ name: 'crm.four', team: 'crm', buckets: 4 }], subscriptions: [] })).toEqual([])
    expect(openByUrl(transport)).toBe(transport)
  })

  test('what cannot be meant is refused before anything is connected', () => {
    const refused = (url: string, code: string): void => expect(() => natsTransport({ url })).toThrow(expect.objectContaining({ code }))
    refused('nats://localhost', 'COMITY_NATS_SYNC_UNSAID')
    refused('nats://localhost?sync=sometimes', 'COMITY_BAD_OPTION')
    refused('nats://localhost?sync=always&bucket=4', 'COMITY_UNKNOWN_OPTION')
    refused('nats://localhost?sync=always&buckets=5', 'COMITY_BAD_OPTION')
    refused('nats://localhost?sync=always&retention=100d', 'COMITY_BAD_OPTION')
    refused('nats://', 'COMITY_NATS_URL_INVALID')
    refused('nats://user:%zz@localhost', 'COMITY_NATS_URL_INVALID')
  })
})
