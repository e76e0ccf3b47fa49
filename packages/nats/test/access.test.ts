import { connect, type NatsConnection } from '@nats-io/transport-node'
import type { ProvisionPlan } from 'comity/transport'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { launchBroker } from '../../../scripts/brokers.mjs'
import { natsTransport } from '../src/index.ts'
import { client, messages, receiving } from './clients.ts'
import { type NatsServer, onNats } from './nats-server.ts'

const plan: ProvisionPlan = {
  topics: [
    { name: 'crm.customer', team: 'crm', buckets: 4 },
    { name: 'marketing.email-sent', team: 'marketing', buckets: 4 },
    { name: 'comity.catalog', team: 'comity', buckets: 1, senders: ['crm', 'marketing'], shared: true },
  ],
  subscriptions: [
    { name: 'marketing.customers', team: 'marketing', topic: 'crm.customer' },
    { name: 'crm.emails', team: 'crm', topic: 'marketing.email-sent' },
  ],
}

onNats('a server with the permissions that access writes', () => {
  let server: NatsServer
  const as = (team: string): string => `nats://${team}:secret@127.0.0.1:${server.port}?sync=always&team=${team}`

  beforeAll(async () => {
    const conf = await natsTransport({ url: 'nats://nowhere?sync=always' }).access?.(plan, 'conf')
    server = await launchBroker('nats', { config: conf?.replaceAll(/\$NATS_PASSWORD_[A-Z_]+/g, 'secret') ?? '' })
    await using operator = natsTransport({ url: `nats://comity-operator:secret@127.0.0.1:${server.port}?sync=always` })
    await operator.provision(plan)
  })
  afterAll(() => server?.close())

  test('each team sends, claims, receives with leases, seeks and counts', async () => {
    const [crm, marketing] = [client(server.port, { url: as('crm') }), client(server.port, { url: as('marketing') })]
    const fence = { team: 'crm', incarnation: 1, term: 1, holder: 'p' }
    expect(await crm.claim(fence)).toEqual({ status: 'granted', highestVersion: 1 })
    const sent = messages(40, (n) => `k${n}`)
    expect(await crm.send('crm.customer', sent, { fence })).toEqual(sent.map(() => ({ status: 'stored' })))
    expect(await marketing.stats(['marketing.customers'])).toMatchObject([{ backlog: 40 }])
    const [seen, shared] = [
      receiving(marketing, 'marketing.customers'),
      receiving(client(server.port, { url: as('marketing') }), 'marketing.customers'),
    ]
    await vi.waitFor(() => expect(new Set([...seen, ...shared]).size).toBe(40), 60_000)
    await vi.waitFor(
      async () => expect(await marketing.stats(['marketing.customers'])).toEqual([{ subscription: 'marketing.customers', backlog: 0 }]),
      60_000,
    )
    for (const to of ['end', 'beginning', { time: new Date(Date.now() - 60_000) }] as const) await marketing.seek('marketing.customers', to)
    await vi.waitFor(() => expect(seen.length + shared.length).toBeGreaterThanOrEqual(80), 60_000)
  })

  test('a topic that is nobody’s own takes what its senders say, and makes no user', async () => {
    for (const team of ['crm', 'marketing'])
      expect(await client(server.port, { url: as(team) }).send('comity.catalog', messages(1))).toEqual([{ status: 'stored' }])
    expect(await natsTransport({ url: 'nats://nowhere?sync=always' }).access?.(plan, 'conf')).not.toContain('user: "comity"')
  })

  test('no team sends as another, reads its subscription, takes its leases or removes its topics', async () => {
    const marketing = client(server.port, { url: as('marketing'), answerTimeout: 1000 })
    const forbidden = { code: 'COMITY_TRANSPORT_FORBIDDEN' }
    const fence = { team: 'crm', incarnation: 9, term: 9, holder: 'thief' }
    await expect(marketing.send('crm.customer', messages(1))).rejects.toMatchObject(forbidden)
    await expect(marketing.send('crm.customer', messages(1), { fence })).rejects.toMatchObject(forbidden)
    await expect(marketing.claim(fence)).rejects.toMatchObject(forbidden)
    const { signal } = new AbortController()
    await expect(marketing.receive('crm.emails', async () => [], { signal })).rejects.toMatchObject(forbidden)
    await expect(marketing.seek('crm.emails', 'end')).rejects.toMatchObject(forbidden)
    await expect(marketing.remove({ topics: ['crm.customer'] })).rejects.toMatchObject(forbidden)
    await expect(marketing.remove({ topics: ['marketing.email-sent'] })).rejects.toMatchObject(forbidden)
    await expect(marketing.provision(plan)).rejects.toMatchObject(forbidden)
  })

  test('nor by speaking to the server itself', async () => {
    const crm = client(server.port, { url: as('crm') })
    receiving(crm, 'crm.emails')
    const raw = await connect({ servers: `127.0.0.1:${server.port}`, user: 'marketing', pass: 'secret', inboxPrefix: '_INBOX_marketing' })
    const denied = async (subject: string): Promise<void> => {
      await expect(raw.request(subject, '{}', { timeout: 1000 }), subject).rejects.toThrow(/permissions violation/i)
    }
    for (const subject of [
      'comity.topic.crm_customer.0',
      '$JS.API.STREAM.MSG.GET.comity-crm_customer',
      '$JS.API.STREAM.DELETE.comity-crm_customer',
      '$JS.API.STREAM.PURGE.comity-crm_customer',
      '$JS.API.STREAM.UPDATE.comity-marketing_email-sent',
      '$JS.API.STREAM.CREATE.mine',
      '$JS.API.STREAM.NAMES',
      '$JS.API.CONSUMER.CREATE.comity-marketing_email-sent',
      '$JS.API.CONSUMER.CREATE.comity-marketing_email-sent.crm_emails-0.comity.topic.marketing_email-sent.0',
      '$JS.API.CONSUMER.CREATE.comity-marketing_email-sent.crm_emails-all.comity.topic.marketing_email-sent.*',
      '$JS.API.CONSUMER.CREATE.comity-marketing_email-sent.marketing_customers-all.comity.topic.marketing_email-sent.*',
      '$JS.API.CONSUMER.MSG.NEXT.comity-marketing_email-sent.crm_emails-0',
      '$JS.API.CONSUMER.DELETE.comity-marketing_email-sent.crm_emails-0',
      '$JS.API.CONSUMER.NAMES.comity-crm_customer',
      '$KV.comity-crm.fence',
      '$KV.comity-crm.subscriptions.crm_emails',
      '$JS.API.STREAM.MSG.GET.KV_comity-crm',
      '$JS.API.STREAM.PURGE.KV_comity-crm',
    ]) {
      await denied(subject)
    }
    for (const subject of ['comity.topic.>', '_INBOX_crm.>', '_INBOX.>', '$KV.>', '>'])
      expect(await listening(raw, subject), subject).toMatch(/permissions violation/i)
    await raw.close()
  })
})

function listening(connection: NatsConnection, subject: string): Promise<string> {
  return new Promise((resolve) => {
    connection.subscribe(subject, { callback: (error, message) => resolve(error?.message ?? `heard ${message.subject}`) })
    void connection.flush().then(() => setImmediate(() => resolve('may listen')))
  })
}
