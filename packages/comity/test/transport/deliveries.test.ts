import { expect, test } from 'vitest'
import { BucketWindow } from '../../src/transport/bucket-window.ts'
import { Deliveries } from '../../src/transport/deliveries.ts'

test('calls of the handler keep their size under load, and every bucket has its turn', async () => {
  const sizes: number[] = []
  const buckets = new Set<number>()
  const deliveries = new Deliveries({
    async handler(given) {
      sizes.push(given.length)
      buckets.add(given[0]?.bucket ?? -1)
      return given.map(() => 'ack' as const)
    },
    prefetch: 100,
    mayDeliver: () => true,
    onMoved: () => undefined,
    onRoom: () => undefined,
  })
  for (let bucket = 0; bucket < 4; bucket++) {
    const window = new BucketWindow(bucket, 1, 0)
    for (let offset = 1; offset <= 2500; offset++) {
      window.add(offset, 1, { id: `${bucket}-${offset}`, key: 'k', attributes: {}, data: '', sentAt: new Date(0) })
    }
    deliveries.open(window)
  }
  deliveries.pump()
  await Promise.all([...deliveries.windows.values()].map((window) => window.drained()))
  while (sizes.reduce((sum, size) => sum + size, 0) < 10_000) await new Promise((resolve) => setImmediate(resolve))
  expect(buckets.size).toBe(4)
  expect(sizes).toHaveLength(10_000 / 25)
  await deliveries.stop()
})

test('a handler is given no more bytes at once than it may have, and one message however large', async () => {
  let out = 0
  let most = 0
  let calls = 0
  const deliveries = new Deliveries({
    async handler(given) {
      const bytes = given.reduce((sum, { message }) => sum + message.data.length, 0)
      out += bytes
      most = Math.max(most, out)
      calls++
      await new Promise((resolve) => setImmediate(resolve))
      out -= bytes
      return given.map(() => 'ack' as const)
    },
    prefetch: 100,
    prefetchBytes: 1000,
    mayDeliver: () => true,
    onMoved: () => undefined,
    onRoom: () => undefined,
  })
  const window = new BucketWindow(0, 1, 0)
  for (const [i, size] of [400, 400, 400, 5000, 10, ...Array<number>(50).fill(90)].entries()) {
    window.add(i + 1, size, { id: `${i}`, key: 'k', attributes: {}, data: 'x'.repeat(size), sentAt: new Date(0) })
  }
  deliveries.open(window)
  deliveries.pump()
  while (window.position < 55) await new Promise((resolve) => setImmediate(resolve))
  expect(most).toBe(5000)
  expect(calls).toBeGreaterThan(6)
  await deliveries.stop()
})
