import { describe, expect, test, vi } from 'vitest'
import {
  type DeliveryHandler,
  type MemoryTransport,
  type MoveRecords,
  type MovingTransport,
  memoryBus,
  movingTransport,
  type OutgoingMessage,
  type Transport,
  TransportUnavailable,
} from '../../src/transport/index.ts'
import { memoryMoveRecords } from './memory-move-records.ts'

const TOPIC = 'crm.customer'
const SUBSCRIPTION = 'marketing.customers'
const plan = { topics: [{ name: TOPIC, team: 'crm' }], subscriptions: [{ name: SUBSCRIPTION, team: 'marketing', topic: TOPIC }] }
const fence = { team: 'crm', incarnation: 1, holder: 'h', term: 1 }
const MARGIN = 60
const until = (condition: () => boolean | Promise<boolean>) =>
  vi.waitFor(async () => expect(await condition()).toBe(true), { timeout: 60_000, interval: 5 })
/** A bus in memory answers without giving anybody else a turn. */
const moment = () => new Promise((resolve) => setTimeout(resolve, 2))

/** Message `n` of a key: its effects must come as 0, 1, 2, …, each once. */
const message = (key: string, n: number): OutgoingMessage => ({ id: `${key}-${n}`, key, attributes: {}, data: '' })
const run = (key: string, from: number, to: number) => Array.from({ length: to - from }, (_, i) => message(key, from + i))

/** Two brokers, an owner that publishes, and consumers that keep an inbox, as the engine does. */
async function world(over: { readonly to?: (inner: Transport) => Transport } = {}) {
  const [oldBus, newBus] = [memoryBus({ buckets: 2 }), memoryBus({ buckets: 2 })]
  const records: MoveRecords = memoryMoveRecords()
  const opened: Transport[] = []
  const old = (): MemoryTransport => oldBus.connect()
  const moving = (margin = MARGIN): MovingTransport => {
    const to = newBus.connect()
    const transport = movingTransport({ from: oldBus.connect(), to: over.to?.(to) ?? to, records, margin })
    opened.push(transport)
    return transport
  }
  for (const bus of [oldBus, newBus]) await bus.connect().provision(plan)

  const inbox = new Set<string>()
  const effects: string[] = []
  const seen: string[] = []
  const handler: DeliveryHandler = async (deliveries) => {
    for (const { message: one } of deliveries) {
      seen.push(one.id)
      if (inbox.has(one.id)) continue
      inbox.add(one.id)
      effects.push(one.id)
    }
    return deliveries.map(() => 'ack')
  }
  const consume = (transport: Transport, handle = handler) => {
    const end = new AbortController()
    const receiving = transport.receive(SUBSCRIPTION, handle, { signal: end.signal })
    return {
      async end() {
        end.abort()
        await receiving
      },
    }
  }
  return {
    ...{ records, old, moving, effects, seen, handler, consume },
    fresh: () => newBus.connect(),
    hasSwitched: async () => (await records.progress(SUBSCRIPTION)).switched,
    of: (key: string) => effects.filter((id) => id.startsWith(`${key}-`)),
    async [Symbol.asyncDispose]() {
      await Promise.all(opened.map((transport) => transport.close()))
    },
  }
}

describe('a subscription that moves', () => {
  test('reads the old broker until the new one has all that is left; then every effect has happened once, per key in order', async () => {
    await using w = await world()
    const before = w.old()
    await before.send(TOPIC, [...run('a', 0, 5), ...run('b', 0, 5)])
    const [one, two] = [w.consume(w.moving()), w.consume(w.moving())]
    await before.send(TOPIC, run('a', 5, 10))
    await until(() => w.effects.length === 15)
    // The owner moves over: what it had not settled goes again, to both.
    const owner = w.moving()
    await owner.send(TOPIC, run('a', 8, 12))
    for (let n = 12; !(await w.hasSwitched()); n++) {
      await owner.send(TOPIC, [message('a', n), message('b', n - 7)])
      await moment()
    }
    const sent = w.of('a').length
    await owner.send(TOPIC, run('a', 1000, 1003))
    await until(() => w.effects.includes('a-1002'))
    await Promise.all([one.end(), two.end()])
    const numbers = (key: string) => w.of(key).map((id) => Number(id.slice(2)))
    for (const key of ['a', 'b']) expect(numbers(key)).toEqual([...new Set(numbers(key))].sort((x, y) => x - y))
    expect(numbers('a').slice(0, sent - 3)).toEqual(Array.from({ length: sent - 3 }, (_, n) => n))
    expect(w.seen.every((id) => !id.startsWith('comity-mark'))).toBe(true)
  })

  test('waits for a sign of its owner: without one it stays, and a mark on a quiet topic is enough', async () => {
    await using w = await world()
    const consumer = w.consume(w.moving())
    await w.old().send(TOPIC, run('a', 0, 3))
    await until(() => w.effects.length === 3)
    await new Promise((resolve) => setTimeout(resolve, MARGIN * 4))
    expect(await w.hasSwitched()).toBe(false)
    const owner = w.moving()
    await until(async () => {
      await owner.mark(TOPIC, fence)
      return w.hasSwitched()
    })
    await owner.send(TOPIC, run('a', 3, 5))
    await until(() => w.effects.length === 5)
    await consumer.end()
    expect(w.of('a')).toEqual(run('a', 0, 5).map(({ id }) => id))
  })

  test('does not switch while something older is not acknowledged at the old broker', async () => {
    await using w = await world()
    let stuck = true
    const consumer = w.consume(w.moving(), async (deliveries) => {
      if (stuck && deliveries.some(({ message: one }) => one.id === 'a-0')) return deliveries.map(() => 'later')
      return w.handler(deliveries)
    })
    await w.old().send(TOPIC, run('a', 0, 1))
    const owner = w.moving()
    const proven = async () => (await w.records.progress(SUBSCRIPTION)).sentAt !== undefined
    await until(async () => {
      await owner.mark(TOPIC, fence)
      return proven()
    })
    await new Promise((resolve) => setTimeout(resolve, MARGIN * 4))
    expect(await w.hasSwitched()).toBe(false)
    stuck = false
    await until(() => w.hasSwitched())
    await consumer.end()
    expect(w.effects).toEqual(['a-0'])
  })

  test('switches under a load that leaves no moment without a backlog', async () => {
    await using w = await world()
    const consumer = w.consume(w.moving(), async (deliveries) => {
      await new Promise((resolve) => setTimeout(resolve, 20))
      return w.handler(deliveries)
    })
    const owner = w.moving()
    let n = 0
    for (; !(await w.hasSwitched()); n++) {
      await owner.send(TOPIC, [message('a', n), message('b', n)])
      await moment()
    }
    await until(() => w.effects.length === 2 * n)
    await consumer.end()
    for (const key of ['a', 'b']) expect(w.of(key)).toEqual(run(key, 0, n).map(({ id }) => id))
  })

  test('takes what an earlier move left at the new broker for no sign', async () => {
    await using w = await world()
    await w.fresh().send(TOPIC, run('z', 0, 300))
    await new Promise((resolve) => setTimeout(resolve, 5))
    const consumer = w.consume(w.moving())
    await new Promise((resolve) => setTimeout(resolve, MARGIN * 5))
    expect((await w.records.progress(SUBSCRIPTION)).sentAt).toBeUndefined()
    const owner = w.moving()
    await until(async () => {
      await owner.mark(TOPIC, fence)
      return w.hasSwitched()
    })
    await consumer.end()
  })

  test('that is sent back over history proves anew what is left', async () => {
    await using w = await world()
    const transport = w.moving(10_000)
    await w.old().send(TOPIC, run('a', 0, 3))
    const first = await w.records.progress(SUBSCRIPTION)
    await w.records.seen(SUBSCRIPTION, new Date(), first)
    const consumer = w.consume(transport)
    await until(() => w.seen.length === 3)
    await transport.seek?.(SUBSCRIPTION, 'beginning')
    await until(() => w.seen.length === 6)
    expect((await w.records.progress(SUBSCRIPTION)).sentAt).toBeUndefined()
    // A look from before the replay decides nothing.
    await w.records.switch(SUBSCRIPTION, first)
    expect(await w.hasSwitched()).toBe(false)
    await consumer.end()
  })

  test('that has switched is read at the new broker from the start, by a process that begins now', async () => {
    await using w = await world()
    const progress = await w.records.progress(SUBSCRIPTION)
    await w.records.switch(SUBSCRIPTION, progress)
    await w.fresh().send(TOPIC, run('a', 0, 2))
    const transport = w.moving()
    expect(await transport.stats?.([SUBSCRIPTION])).toMatchObject([{ backlog: 2 }])
    const consumer = w.consume(transport)
    await until(() => w.effects.length === 2)
    await consumer.end()
  })
})

describe('a send to both', () => {
  test('is stored when both have it, and comes again to both, in order, when the new one did not answer', async () => {
    let lost = 1
    await using w = await world({
      to: (inner) => ({
        ...inner,
        async send(topic, messages, options) {
          if (lost-- > 0) throw new TransportUnavailable({ transport: 'new', reason: 'it is away' })
          return inner.send(topic, messages, options)
        },
      }),
    })
    const owner = w.moving()
    await expect(owner.send(TOPIC, run('a', 0, 2))).rejects.toThrow(/it is away/)
    expect((await owner.send(TOPIC, run('a', 0, 2))).map(({ status }) => status)).toEqual(['stored', 'stored'])
    const read = async (transport: Transport, count: number) => {
      const ids: string[] = []
      const end = new AbortController()
      await transport.receive(
        SUBSCRIPTION,
        async (deliveries) => {
          ids.push(...deliveries.map(({ message: one }) => one.id))
          if (ids.length >= count) end.abort()
          return deliveries.map(() => 'ack')
        },
        { signal: end.signal },
      )
      return ids
    }
    expect(await read(w.old(), 4)).toEqual(['a-0', 'a-1', 'a-0', 'a-1'])
    expect(await read(w.fresh(), 2)).toEqual(['a-0', 'a-1'])
  })

  test('reaches the new one only after the old one has stored it', async () => {
    await using w = await world()
    const owner = w.moving()
    await w.old().remove({ topics: [TOPIC] })
    await expect(owner.send(TOPIC, run('a', 0, 1))).rejects.toMatchObject({ code: 'COMITY_TOPIC_UNKNOWN' })
    expect(await w.fresh().stats([SUBSCRIPTION])).toMatchObject([{ backlog: 0 }])
  })

  test('says that nothing is known when the new broker fails after the old one has stored', async () => {
    await using w = await world()
    const owner = w.moving()
    await w.fresh().remove({ topics: [TOPIC] })
    await expect(owner.send(TOPIC, run('a', 0, 1))).rejects.toMatchObject({ code: 'COMITY_TRANSPORT_UNAVAILABLE' })
  })

  test('lets nothing of a key go on behind what one of them refuses', async () => {
    await using w = await world({
      to: (inner) => ({
        ...inner,
        send: async (_topic, messages) =>
          messages.map(({ key }) => (key === 'b' ? { status: 'refused', reason: 'not this one' } : { status: 'stored' })),
      }),
    })
    const owner = w.moving()
    const huge = { ...message('a', 0), data: 'x'.repeat(10 * 1024 * 1024) }
    const results = await owner.send(TOPIC, [huge, message('b', 0), message('a', 1), message('c', 0)])
    expect(results.map(({ status }) => status)).toEqual(['refused', 'refused', 'blocked', 'stored'])
  })

  test('is stale when either of them says so', async () => {
    await using w = await world()
    const newer = { ...fence, term: 9, holder: 'other' }
    await w.fresh().send(TOPIC, run('b', 0, 1), { fence: newer })
    expect(await w.moving().send(TOPIC, run('a', 0, 2), { fence })).toEqual([{ status: 'stale' }, { status: 'stale' }])
  })
})

test('what needs no order is read at both all the time, also while the new one does not know it', async () => {
  const [oldBus, newBus] = [memoryBus(), memoryBus()]
  await oldBus.connect().provision(plan)
  const transport = movingTransport({
    ...{ from: oldBus.connect(), to: newBus.connect(), records: memoryMoveRecords(), margin: 3_600_000 },
    isReadAtBoth: () => true,
  })
  const seen: string[] = []
  const end = new AbortController()
  const receiving = transport.receive(
    SUBSCRIPTION,
    async (deliveries) => {
      seen.push(...deliveries.map(({ message: one }) => one.id))
      return deliveries.map(() => 'ack')
    },
    { signal: end.signal },
  )
  await oldBus.connect().send(TOPIC, run('a', 0, 1))
  await newBus.connect().provision(plan)
  await newBus.connect().send(TOPIC, run('b', 0, 1))
  await until(() => seen.includes('a-0') && seen.includes('b-0'))
  end.abort()
  await receiving
  await transport.close()
})

test('an old broker that does not say what it still has is not left by a move', () => {
  const { stats: _, ...silent } = memoryBus().connect()
  expect(() => movingTransport({ from: silent as Transport, to: memoryBus().connect(), records: memoryMoveRecords(), margin: 1 })).toThrow(
    /stop what publishes, wait until every subscription is idle/,
  )
})
