import { PubSub, v1 } from '@google-cloud/pubsub'
import type { Delivery, DeliveryResult, OutgoingMessage, Transport } from 'comity/transport'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { brokerIsHere, launchBroker } from '../../../scripts/brokers.mjs'
import { type TcpProxy, tcpProxy } from '../../../test/support/cuttable-proxy.ts'
import { type GooglePubsubOptions, type GooglePubsubTransport, googlePubsubTransport } from '../src/index.ts'

const patience = { timeout: 60_000, interval: 20 }
let sequence = 0
const messages = (count: number, keyOf: (n: number) => string = (n) => `k${n}`): OutgoingMessage[] =>
  Array.from({ length: count }, (_, n) => ({ id: `m${++sequence}`, key: keyOf(n), attributes: {}, data: '{}' }))
const ids = (of: readonly { id: string }[]): string[] => of.map(({ id }) => id)

/** A receive in the background. */
function observe(
  transport: Transport,
  subscription: string,
  answer: (delivery: Delivery) => Promise<DeliveryResult> | DeliveryResult = () => 'ack',
) {
  const ending = new AbortController()
  const seen: string[] = []
  const troubles: (Error | undefined)[] = []
  const ended = transport.receive(
    subscription,
    async (deliveries) => {
      seen.push(...deliveries.map(({ message }) => message.id))
      return Promise.all(deliveries.map(answer))
    },
    { signal: ending.signal, onTrouble: (error) => troubles.push(error) },
  )
  ended.catch(() => undefined)
  const stop = (): Promise<void> => {
    ending.abort()
    return ended
  }
  return { seen, troubles, ended, stop }
}

describe.skipIf(!brokerIsHere('google-pubsub'))("on Google's emulator", () => {
  let broker: Awaited<ReturnType<typeof launchBroker>>
  let admin: PubSub
  let subscriber: v1.SubscriberClient
  const opened: Transport[] = []
  const open = (options: Partial<GooglePubsubOptions> = {}): GooglePubsubTransport => {
    const transport = googlePubsubTransport({
      ...{ project: 'comity', emulator: `127.0.0.1:${broker.port}`, ackDeadline: '10s', closeGrace: '300ms' },
      ...options,
    })
    opened.push(transport)
    return transport
  }
  const plan = (name: string) => ({
    topics: [{ name: `${name}.topic`, team: name }],
    subscriptions: [{ name: `${name}.sub`, team: name, topic: `${name}.topic` }],
  })

  beforeAll(async () => {
    vi.stubEnv('METADATA_SERVER_DETECTION', 'none')
    broker = await launchBroker('google-pubsub')
    admin = new PubSub({ projectId: 'comity', apiEndpoint: `127.0.0.1:${broker.port}`, emulatorMode: true })
    subscriber = new v1.SubscriberClient((await admin.getClientConfig()) as never)
  })
  afterAll(async () => {
    await Promise.all(opened.map((transport) => transport.close()))
    await Promise.all([subscriber.close(), admin.close()])
    await broker.close()
    vi.unstubAllEnvs()
  })

  test('provisioning says what differs before it changes it, and then nothing differs', async () => {
    await open().provision(plan('changed'))
    const transport = open({ retention: '3d', topicRetention: '1d', ackDeadline: '20s' })
    const steps = await transport.provision(plan('changed'), { dryRun: true })
    expect(steps.map(({ action, name }) => [action, name])).toEqual([
      ['update-topic', 'changed.topic'],
      ['update-subscription', 'changed.sub'],
    ])
    expect(steps[0]?.detail).toBe('retention 0 d → 1 d')
    expect(steps[1]?.detail).toMatch(/retention 7 d → 3 d/)
    expect(steps[1]?.detail).toMatch(/ack deadline 10 s → 20 s/)
    expect(await transport.provision(plan('changed'))).toEqual(steps)
    expect(await transport.provision(plan('changed'))).toEqual([])
    const [is] = await subscriber.getSubscription({ subscription: 'projects/comity/subscriptions/changed.sub' })
    expect(is).toMatchObject({
      enableMessageOrdering: true,
      retainAckedMessages: true,
      ackDeadlineSeconds: 20,
      expirationPolicy: { ttl: null },
      labels: { 'managed-by': 'comity', team: 'changed' },
    })
  })

  test('what Pub/Sub can never change is a conflict with the command, and nothing is changed', async () => {
    const transport = open()
    await transport.provision({ topics: plan('fixed').topics, subscriptions: [] })
    await admin.createSubscription('fixed.topic', 'fixed.sub')
    await expect(transport.provision(plan('fixed'))).rejects.toMatchObject({
      code: 'COMITY_PROVISION_CONFLICT',
      message: expect.stringContaining('gcloud pubsub subscriptions delete fixed.sub --project=comity'),
    })
    await expect(transport.provision({ topics: [{ name: 'fixed.topic', team: 'other' }], subscriptions: [] })).rejects.toMatchObject({
      code: 'COMITY_PROVISION_CONFLICT',
      message: expect.stringContaining('belongs to team fixed'),
    })
    await expect(transport.provision({ topics: [{ name: 'fixed.topic', team: 'fixed', buckets: 2 }], subscriptions: [] })).rejects.toThrow(
      /32 buckets/,
    )
  })

  test.each([
    ['without ordering', {}, /order/, /subscriptions delete unsafe-0/],
    [
      'short retention',
      { enableMessageOrdering: true, messageRetentionDuration: { seconds: 600 } },
      /600 s → 7 d/,
      /--message-retention-duration=604800s/,
    ],
    ['expiry', { enableMessageOrdering: true, expirationPolicy: { ttl: { seconds: 86_400 } } }, /after 1 d/, /--expiration-period=never/],
    [
      'a dead-letter topic',
      { enableMessageOrdering: true, deadLetterPolicy: { deadLetterTopic: 'projects/comity/topics/unsafe.dead', maxDeliveryAttempts: 5 } },
      /dead-letter/,
      /--clear-dead-letter-policy/,
    ],
    ['a filter', { enableMessageOrdering: true, filter: 'attributes:x' }, /filter/, /subscriptions delete/],
    ['exactly-once', { enableMessageOrdering: true, enableExactlyOnceDelivery: true }, /exactly-once/, /--no-enable-exactly-once-delivery/],
  ])('a subscription is refused that is unsafe: %s', async (what, settings, problem, command) => {
    const transport = open()
    await transport.provision({
      topics: [
        { name: 'unsafe.topic', team: 'unsafe' },
        { name: 'unsafe.dead', team: 'unsafe' },
      ],
      subscriptions: [],
    })
    const name = what === 'without ordering' ? 'unsafe-0' : `unsafe-${what.replaceAll(' ', '-')}`
    await subscriber.createSubscription({
      name: `projects/comity/subscriptions/${name}`,
      topic: 'projects/comity/topics/unsafe.topic',
      ...settings,
    })
    const refused = observe(transport, name).ended
    await expect(refused).rejects.toMatchObject({ code: 'COMITY_PUBSUB_SUBSCRIPTION_UNSAFE' })
    await expect(refused).rejects.toThrow(problem)
    await expect(refused).rejects.toThrow(command)
  })

  test('limits of Pub/Sub are refused by the result, and block the key', async () => {
    const transport = open()
    await transport.provision(plan('limits'))
    const [good, bad, behind, free] = messages(4, (n) => (n < 3 ? 'one' : 'two')) as [
      OutgoingMessage,
      OutgoingMessage,
      OutgoingMessage,
      OutgoingMessage,
    ]
    const sent = [good, { ...bad, attributes: { long: 'x'.repeat(1025) } }, behind, free]
    expect(await transport.send('limits.topic', sent)).toEqual([
      { status: 'stored' },
      { status: 'refused', reason: expect.stringMatching(/attribute long has 1025 bytes, and the limit .* 1024/) },
      { status: 'blocked' },
      { status: 'stored' },
    ])
  })

  test('two receivers of a subscription: each key in order at each, and without a hole between them', async () => {
    const [first, second] = [open(), open()]
    await first.provision(plan('two'))
    const begun: string[] = []
    const answer = async ({ message }: Delivery): Promise<DeliveryResult> => {
      begun.push(message.id)
      await new Promise((resolve) => setImmediate(resolve))
      return 'ack'
    }
    const observers = [observe(first, 'two.sub', answer), observe(second, 'two.sub', answer)]
    const sent: OutgoingMessage[] = []
    const load = async (): Promise<void> => {
      const batch = messages(100, (n) => `k${n % 20}`)
      sent.push(...batch)
      await first.send('two.topic', batch)
    }
    await vi.waitFor(async () => {
      await load()
      for (const { seen } of observers) expect(seen.length).toBeGreaterThan(0)
    }, patience)
    for (let n = 0; n < 5; n++) await load()
    await vi.waitFor(() => expect(new Set(begun).size).toBe(sent.length), patience)
    const order = new Map(sent.map(({ id }, n) => [id, n]))
    const done = new Map<string, number>()
    for (const id of begun) {
      const { key } = sent[order.get(id) as number] as OutgoingMessage
      const nth = sent.filter((each) => each.key === key).findIndex((each) => each.id === id)
      // A repetition is fine; something newer than the next is a hole.
      expect(nth, `${key}: ${id}`).toBeLessThanOrEqual((done.get(key) ?? -1) + 1)
      done.set(key, Math.max(done.get(key) ?? -1, nth))
    }
    await Promise.all(observers.map(({ stop }) => stop()))
  })

  test('what a receive has answered when it ends does not come again, and what it had not comes to others at once', async () => {
    const transport = open()
    await transport.provision(plan('ends'))
    const sent = messages(300, (n) => `k${n % 50}`)
    await transport.send('ends.topic', sent)
    let end: () => void = () => undefined
    const ending = new Promise<void>((resolve) => {
      end = resolve
    })
    const answered = new Set(ids(sent.slice(0, 100)))
    const first = observe(transport, 'ends.sub', async ({ message }) => {
      await ending
      return answered.has(message.id) ? 'ack' : 'later'
    })
    await vi.waitFor(() => expect(first.seen).toHaveLength(300), patience)
    const stopped = first.stop()
    end()
    await stopped
    const began = performance.now()
    const second = observe(transport, 'ends.sub')
    await vi.waitFor(() => expect(new Set([...answered, ...second.seen]).size).toBe(300), patience)
    expect(performance.now() - began, 'it had not to wait for the ack deadline').toBeLessThan(8000)
    expect(second.seen.filter((id) => answered.has(id))).toEqual([])
    await second.stop()
  })

  test('a stream to which nothing comes is opened anew, again and again, and misses nothing', async () => {
    const transport = open({ quietFor: '200ms' })
    await transport.provision(plan('quiet'))
    const receiver = observe(transport, 'quiet.sub')
    for (let round = 1; round <= 3; round++) {
      await new Promise((resolve) => setTimeout(resolve, 700))
      const sent = messages(20)
      await transport.send('quiet.topic', sent)
      await vi.waitFor(() => expect(receiver.seen.slice(-20).sort()).toEqual(ids(sent).sort()), patience)
    }
    expect(receiver.troubles).toEqual([])
    await receiver.stop()
  })

  test('a snapshot brings back what was not acknowledged when it was taken, and all that came later', async () => {
    const transport = open()
    await transport.provision(plan('snap'))
    const sent = messages(20)
    const observer = observe(transport, 'snap.sub')
    await transport.snapshot('snap.sub', 'snap-before')
    await transport.send('snap.topic', sent)
    await vi.waitFor(() => expect(new Set(observer.seen).size).toBe(20), patience)
    await observer.stop()
    await transport.seekToSnapshot('snap.sub', 'snap-before')
    const again = observe(transport, 'snap.sub')
    await vi.waitFor(() => expect(new Set(again.seen)).toEqual(new Set(ids(sent))), patience)
    await again.stop()
    await transport.removeSnapshot('snap-before')
  })

  test('a lost connection is reported', async () => {
    const proxy: TcpProxy = await tcpProxy({ host: '127.0.0.1', port: broker.port })
    const [near, far] = [open({ emulator: `127.0.0.1:${proxy.port}` }), open()]
    await far.provision(plan('cut'))
    const observer = observe(near, 'cut.sub')
    await far.send('cut.topic', messages(10))
    await vi.waitFor(() => expect(observer.seen).toHaveLength(10), patience)
    await proxy.cut()
    await vi.waitFor(() => expect(observer.troubles.at(-1)).toMatchObject({ code: 'COMITY_TRANSPORT_UNAVAILABLE' }), patience)
    await observer.stop()
  })

  test('a send that stays unknown is rejected as such', async () => {
    const proxy = await tcpProxy({ host: '127.0.0.1', port: broker.port })
    const near = open({ emulator: `127.0.0.1:${proxy.port}`, publishTimeout: '300ms', giveUpAfter: '600ms' })
    await open().provision(plan('unknown'))
    await near.send('unknown.topic', messages(10))
    proxy.freeze()
    await expect(near.send('unknown.topic', messages(10))).rejects.toMatchObject({ code: 'COMITY_TRANSPORT_UNAVAILABLE' })
    proxy.heal()
    expect((await near.send('unknown.topic', messages(10))).every(({ status }) => status === 'stored')).toBe(true)
  })

  // The last: it takes everything with it.
  test('an emulator that restarts forgets: trouble, then a subscription that is unknown, and all is well after provisioning', async () => {
    const transport = open()
    await transport.provision(plan('restart'))
    const observer = observe(transport, 'restart.sub')
    await transport.send('restart.topic', messages(10))
    await vi.waitFor(() => expect(observer.seen).toHaveLength(10), patience)
    await broker.kill()
    await vi.waitFor(() => expect(observer.troubles.at(-1)).toMatchObject({ code: 'COMITY_TRANSPORT_UNAVAILABLE' }), patience)
    await broker.restart()
    await expect(observer.ended).rejects.toMatchObject({ code: 'COMITY_SUBSCRIPTION_UNKNOWN' })
    await transport.provision(plan('restart'))
    const again = observe(transport, 'restart.sub')
    const after = messages(10)
    await transport.send('restart.topic', after)
    await vi.waitFor(() => expect(new Set(again.seen)).toEqual(new Set(ids(after))), patience)
    await again.stop()
  })
})
