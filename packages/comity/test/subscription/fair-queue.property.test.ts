import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../src/foundation/index.ts'
import { FairQueue } from '../../src/subscription/fair-queue.ts'
import { TenantShares } from '../../src/subscription/tenant-shares.ts'

const turns = () => new TenantShares({ prefetch: 1000, clock: systemClock })
const item = fc.record({ key: fc.constantFrom('a', 'b', 'c', 'd', 'e'), tenant: fc.constantFrom(undefined, 'x', 'y', 'z') })
const step = fc.oneof(
  { weight: 3, arbitrary: item.map((one) => ({ push: one })) },
  { weight: 2, arbitrary: fc.nat(4).map((take) => ({ take })) },
  fc.nat(4).map((fail) => ({ fail })),
  fc.constantFrom('a', 'b', 'c').map((rest) => ({ rest })),
  fc.constantFrom('', 'x', 'y').map((aside) => ({ aside })),
)

describe('a fair queue', () => {
  test('loses nothing, keeps each key in order, whatever tenants a key has, and counts what it holds', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const queue = new FairQueue<{ key: string; tenant: string | undefined; n: number; alone: boolean }>(turns())
        const out: { key: string; n: number }[] = []
        let n = 0
        for (const one of steps) {
          if ('push' in one) queue.push({ ...one.push, n: n++, alone: n % 7 === 0 })
          else if ('take' in one) out.push(...queue.take(one.take))
          else if ('fail' in one) queue.unshift(queue.take(one.fail))
          else if ('rest' in one) queue.unshift(queue.takeKey(one.rest))
          else out.push(...queue.takeTenant(one.aside, 2))
          expect(queue.size).toBe(n - out.length)
        }
        out.push(...queue.takeAll())
        expect(queue.size).toBe(0)
        expect(out.map((one) => one.n).sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i))
        for (const key of ['a', 'b', 'c', 'd', 'e']) {
          const own = out.filter((one) => one.key === key).map((one) => one.n)
          expect(own).toEqual([...own].sort((a, b) => a - b))
        }
      }),
      { numRuns: 300 },
    )
  })

  test('serves tenants in turns: one who floods it delays another by one message', () => {
    const queue = new FairQueue<{ key: string; tenant: string; alone: boolean }>(turns())
    for (let i = 0; i < 100; i++) queue.push({ key: `f${i}`, tenant: 'flood', alone: false })
    queue.push({ key: 'q1', tenant: 'quiet', alone: false })
    queue.push({ key: 'q2', tenant: 'quiet', alone: false })
    expect(queue.take(4).map(({ key }) => key)).toEqual(['f0', 'q1', 'f1', 'q2'])
  })
})
