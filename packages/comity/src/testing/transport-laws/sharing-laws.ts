import assert from 'node:assert/strict'
import { type Law, messages } from './law.ts'
import type { Observer } from './observer.ts'

const shared = 'guarantees.oneProcessPerBucket is false'

/** Two receivers of one subscription: each bucket at one of them, shared anew when one joins, leaves or dies. */
export const sharingLaws: readonly Law[] = [
  {
    name: 'competing receivers get every message between them',
    async run(law) {
      const transports = [await law.connect(), await law.connect()]
      const [a] = (await law.provision(transports[0] as never, ['a'])) as [string]
      const observers = transports.map((transport) => law.observe(transport, a))
      const sent = messages(400, (n) => `k${n}`)
      for (let from = 0; from < sent.length; from += 20) await transports[0]?.send(law.topic, sent.slice(from, from + 20))
      await law.eventually('all are acknowledged', () =>
        sent.every(({ id }) => observers.some((observer) => observer.acknowledged.has(id))),
      )
    },
  },
  {
    name: 'a bucket is at one receiver at a time, also while one joins',
    exempts: (guarantees) => (guarantees.oneProcessPerBucket ? undefined : shared),
    async run(law) {
      const [first, second] = [await law.connect(), await law.connect()]
      const [a] = (await law.provision(first, ['a'])) as [string]
      const handling = new Map<string, Observer[]>()
      const violations: string[] = []
      const observers: Observer[] = []
      // Each call stays for a turn of the event loop at least, so that an overlap is seen.
      const observe = (transport: typeof first): Observer => {
        const observer: Observer = law.observe(transport, a, {
          prefetch: 20,
          answer: async ({ key }): Promise<'ack'> => {
            const here = handling.get(key) ?? []
            handling.set(key, here)
            here.push(observer)
            await new Promise((resolve) => setImmediate(resolve))
            if (here.some((each) => each !== observer)) violations.push(key)
            here.splice(here.indexOf(observer), 1)
            return 'ack'
          },
        })
        observers.push(observer)
        return observer
      }
      observe(first)
      let count = 0
      const acknowledged = (): number => new Set(observers.flatMap((observer) => [...observer.acknowledged])).size
      const load = async (batches: number): Promise<void> => {
        for (let n = 0; n < batches; n++) {
          await first.send(
            law.topic,
            messages(20, (m) => `k${m % 16}`),
          )
          count += 20
        }
      }
      await load(10)
      const joined = observe(second)
      await law.eventually('the one that joined gets its share', async () => {
        await load(1)
        return joined.seen.length > 0
      })
      await law.eventually('everything is acknowledged', () => acknowledged() === count)
      assert.deepEqual(violations, [], 'keys that were at two receivers at once')
      const buckets = observers.map((observer) => new Set(observer.seen.map((delivery) => delivery.bucket)))
      assert.ok((buckets[1]?.size ?? 0) < new Set(buckets.flatMap((set) => [...set])).size, 'the first kept some')
    },
  },
  {
    name: 'a bucket does not move while a message of it is at a handler',
    exempts: (guarantees) => (guarantees.oneProcessPerBucket ? undefined : shared),
    async run(law) {
      const [first, second] = [await law.connect(), await law.connect()]
      const [a, b] = (await law.provision(first, ['a', 'b'])) as [string, string]
      let release: () => void = () => undefined
      const released = new Promise<'ack'>((resolve) => {
        release = () => resolve('ack')
      })
      const holding = law.observe(first, a, { answer: () => released })
      await first.send(
        law.topic,
        messages(64, (n) => `k${n}`),
      )
      await law.eventually('all are at the first', () => holding.running === 64)
      const joined = law.observe(second, a)
      // Another subscription of the same client shows that there was time to deliver.
      const other = law.observe(second, b)
      for (let round = 1; round <= 5; round++) {
        await first.send(
          law.topic,
          messages(64, (n) => `k${n}`),
        )
        await law.eventually('the other subscription has them', () => other.acknowledged.size === 64 * (round + 1))
      }
      assert.equal(joined.seen.length, 0, 'the second got messages of buckets that are at the first')
      release()
      await law.eventually('the second gets its share', async () => {
        await first.send(
          law.topic,
          messages(16, (n) => `k${n}`),
        )
        return joined.seen.length > 0
      })
    },
  },
  {
    name: 'the buckets of a receiver that leaves go to the others',
    async run(law) {
      const [first, second] = [await law.connect(), await law.connect()]
      const [a] = (await law.provision(first, ['a'])) as [string]
      const leaving = law.observe(first, a)
      const staying = law.observe(second, a)
      await law.eventually('both receive', async () => {
        await first.send(
          law.topic,
          messages(32, (n) => `k${n}`),
        )
        return leaving.seen.length > 0 && staying.seen.length > 0
      })
      await leaving.stop()
      const after = messages(64, (n) => `k${n}`)
      await second.send(law.topic, after)
      await law.eventually('the other gets all', () => after.every(({ id }) => staying.acknowledged.has(id)))
    },
  },
  {
    name: 'the buckets of a receiver that died go to the others',
    async run(law) {
      const [first, second] = [await law.connect(), await law.connect()]
      const [a] = (await law.provision(first, ['a'])) as [string]
      const dying = law.observe(first, a)
      const staying = law.observe(second, a)
      await law.eventually('both receive', async () => {
        await second.send(
          law.topic,
          messages(32, (n) => `k${n}`),
        )
        return dying.seen.length > 0 && staying.seen.length > 0
      })
      assert.ok(law.broker.crash, 'this law needs crash(); skip it with a reason where there is none')
      await law.broker.crash(first)
      const after = messages(64, (n) => `k${n}`)
      await second.send(law.topic, after)
      await law.eventually('the other gets all', () => after.every(({ id }) => staying.acknowledged.has(id)))
    },
  },
]
