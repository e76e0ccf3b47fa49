import { afterAll, describe, expect, test } from 'vitest'
import { type AdversaryOptions, adversarialTransport, type Misdeed, transportLaws } from '../../src/testing/index.ts'
import { type Delivery, type MemoryTransport, memoryBus, type OutgoingMessage } from '../../src/transport/index.ts'
import { eventually } from '../control/eventually.ts'

const NONE = { duplicate: 0, reorder: 0, lose: 0, redeliver: 0, pause: 0, late: 0, stall: 0, unknown: 0 } as const
const MISDEEDS = Object.keys(NONE) as Misdeed[]

function laws(name: string, misdeeds: Partial<Record<Misdeed, number>>, skip: Readonly<Record<string, string>> = {}): void {
  const bus = memoryBus({ claimSilence: 300 })
  let clients = 0
  transportLaws(
    {
      ...{ name, guarantees: bus.guarantees, claimSilence: 300, skip },
      create: async () => {
        const inner = new Map<unknown, MemoryTransport>()
        return {
          async connect() {
            const memory = bus.connect()
            const adverse = adversarialTransport(memory, { seed: ++clients, longest: 30, misdeeds: { ...misdeeds, unknown: 0 } })
            inner.set(adverse, memory)
            return adverse
          },
          crash: async (transport) => inner.get(transport)?.crash(),
          dispose: async () => undefined,
        }
      },
    },
    { describe, test, afterAll },
  )
}

laws(
  'an adversary that only takes its time',
  { ...NONE, pause: 0.3, late: 0.3, stall: 0.1 },
  {
    'messages of one bucket keep the order of their sends': 'while a key is held, others overtake it',
    'a message that has to come again is not overtaken in its bucket': 'an answer may arrive after that of a later call',
  },
)

const repeats = 'it gives out again what it has given out'
laws(
  'an adversary that does everything',
  {},
  {
    'messages of one bucket keep the order of their sends': 'messages of different keys overtake each other',
    'a message that has to come again is not overtaken in its bucket': repeats,
    'never more than prefetch messages are at the handler': 'copies come beside the first',
    'an abort during a handler waits for it, calls it no more, and its answer counts': 'an answer may be lost',
    'a handler may abort its own receive, and its answer counts': 'an answer may be lost',
    'close while a handler is blocked waits for it, and its answer counts': 'an answer may be lost',
    'a bucket does not move while a message of it is at a handler': 'it counts the messages at the handler',
    'seek to the beginning delivers everything retained again, to that subscription only': 'it counts deliveries',
    'a removed subscription is gone, its receivers end with an error, and one made anew starts empty': 'it counts deliveries',
  },
)

interface Seen {
  readonly calls: readonly (readonly Delivery[])[]
  readonly misdeeds: Readonly<Record<Misdeed, number>>
  /** Refused sends. */
  readonly unknown: number
}

/** Sends 200 messages of 5 keys as a relay does, and answers what a handler that acknowledges everything was given. */
async function run(options: AdversaryOptions): Promise<Seen> {
  const bus = memoryBus({ buckets: 2 })
  const transport = adversarialTransport(bus.connect(), { longest: 20, ...options })
  await transport.provision({ topics: [{ name: 't', team: 'a' }], subscriptions: [{ name: 'a.s', team: 'a', topic: 't' }] })
  const sent = Array.from({ length: 200 }, (_, n): OutgoingMessage => ({ id: `m${n}`, key: `k${n % 5}`, attributes: {}, data: '{}' }))
  let unknown = 0
  for (let from = 0; from < sent.length; ) {
    try {
      await transport.send('t', sent.slice(from, from + 10))
      from += 10
    } catch (error) {
      expect(error).toMatchObject({ code: 'COMITY_TRANSPORT_UNAVAILABLE' })
      unknown++
    }
  }
  const calls: (readonly Delivery[])[] = []
  const abort = new AbortController()
  const handler = async (deliveries: readonly Delivery[]) => {
    calls.push(deliveries)
    return deliveries.map(() => 'ack' as const)
  }
  const receiving = transport.receive('a.s', handler, { signal: abort.signal, prefetch: 16 })
  await eventually('everything is acknowledged', async () => (await transport.stats?.(['a.s']))?.[0]?.backlog === 0 || undefined)
  abort.abort()
  await receiving
  await transport.close()
  return { calls, misdeeds: transport.misdeeds, unknown }
}

function firstDeliveriesOf(key: string, { calls }: Seen): readonly number[] {
  const ids = calls.flat().filter(({ message }) => message.key === key)
  return [...new Set(ids.map(({ message }) => Number(message.id.slice(1))))]
}

describe('an adversary', () => {
  test.each(MISDEEDS)('%s: really happens, is counted, and can be left out', async (misdeed) => {
    const alone = await run({ seed: 3, misdeeds: { ...NONE, [misdeed]: 0.5 } })
    expect(alone.misdeeds[misdeed]).toBeGreaterThan(0)
    expect(MISDEEDS.filter((name) => name !== misdeed && alone.misdeeds[name] > 0)).toEqual([])
    const deliveries = alone.calls.flat().length
    if (misdeed === 'duplicate') expect(deliveries).toBeGreaterThan(400)
    else if (misdeed === 'unknown') expect([deliveries, alone.unknown]).toEqual([200 + 10 * alone.misdeeds.unknown, alone.misdeeds.unknown])
    else if (misdeed === 'lose' || misdeed === 'redeliver') expect(deliveries).toBeGreaterThan(200)
    else expect(deliveries).toBe(200)
  })

  test('none of it: a transport as it is', async () => {
    const { calls, misdeeds } = await run({ seed: 1, misdeeds: NONE })
    expect(calls.flat()).toHaveLength(200)
    expect(calls.flat().every(({ redelivered }) => !redelivered)).toBe(true)
    expect(misdeeds).toEqual(NONE)
  })

  test.each([1, 2, 3, 4, 5])('with seed %i: every message comes, and first deliveries of a key are in order', async (seed) => {
    const seen = await run({ seed })
    for (let k = 0; k < 5; k++) expect(firstDeliveriesOf(`k${k}`, seen)).toEqual(Array.from({ length: 40 }, (_, n) => n * 5 + k))
  })

  test('the same seed misbehaves in the same way', async () => {
    const ids = async (seed: number): Promise<unknown> => {
      const { calls } = await run({ seed, misdeeds: { pause: 0, late: 0, stall: 0, lose: 0 } })
      return calls.map((call) => call.map(({ message }) => message.id))
    }
    const first = await ids(9)
    expect(await ids(9)).toEqual(first)
    expect(await ids(10)).not.toEqual(first)
  })
})
