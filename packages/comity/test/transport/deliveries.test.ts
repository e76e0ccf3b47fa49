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
