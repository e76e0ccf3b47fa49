import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Horizon } from '../../src/outbox/horizon.ts'
import { Gaps } from '../../src/relay/gaps.ts'

const reading = (hi: number, lockers: string[] = [], prepared: string[] = []) => ({ hi, identity: 'life', lockers, prepared })

describe('horizon', () => {
  test('ends at once when nobody holds the outbox', () => {
    const horizon = new Horizon()
    horizon.observe(reading(7))
    expect(horizon.ended).toBe(7)
    expect(horizon.settle()).toBe(7)
    expect(horizon.ended).toBeUndefined()
  })
  test('waits for the transactions of its first reading only', () => {
    const horizon = new Horizon()
    horizon.observe(reading(7, ['1/1', '2/1']))
    horizon.observe(reading(9, ['2/1', '3/1']))
    expect(horizon.ended).toBeUndefined()
    horizon.observe(reading(12, ['3/1', '4/1']))
    expect(horizon.ended).toBe(7)
  })
  test('a locker that was prepared meanwhile is not taken for ended', () => {
    const horizon = new Horizon()
    horizon.observe(reading(7, ['1/1']))
    horizon.observe(reading(8, [], ['-1/700']))
    expect(horizon.ended).toBeUndefined()
    horizon.observe(reading(8))
    expect(horizon.ended).toBe(7)
  })
  test('a forgotten prepared transaction that had nothing to do with it holds nothing up for ever', () => {
    const horizon = new Horizon()
    horizon.observe(reading(7, ['1/1'], ['-1/600']))
    horizon.observe(reading(8, ['1/1']))
    horizon.observe(reading(9, []))
    expect(horizon.ended).toBe(7)
  })
})

test('gaps hold exactly the versions that were neither seen nor settled', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { minLength: 1 }),
      fc.array(fc.integer({ min: 1, max: 60 })),
      fc.integer({ min: 0, max: 60 }),
      (seen, late, settled) => {
        const gaps = new Gaps()
        const expected = new Set<number>()
        let last = 0
        for (const version of seen.sort((a, b) => a - b)) {
          gaps.append(last + 1, version - 1)
          for (let v = last + 1; v < version; v++) expected.add(v)
          last = version
        }
        for (const version of late) {
          gaps.remove(version)
          expected.delete(version)
        }
        gaps.removeUpTo(settled)
        for (const version of expected) if (version <= settled) expected.delete(version)
        const held = gaps.ranges.flatMap(({ lo, hi }) => Array.from({ length: hi - lo + 1 }, (_, i) => lo + i))
        expect(held).toEqual([...expected].sort((a, b) => a - b))
      },
    ),
  )
})
