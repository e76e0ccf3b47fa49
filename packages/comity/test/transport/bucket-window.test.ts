import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BucketWindow, type WindowEntry } from '../../src/transport/bucket-window.ts'

const message = (offset: number) => ({ id: `m${offset}`, key: 'k', attributes: {}, data: '', sentAt: new Date(offset) })

test('whatever the handler answers, in whatever order: nothing is lost, order holds, the position is what is acknowledged without a gap', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.array(
        fc.record({
          act: fc.constantFrom('add', 'take', 'settle', 'resume'),
          size: fc.nat(7),
          pick: fc.nat(),
          acks: fc.array(fc.boolean(), { maxLength: 8 }),
        }),
        {
          maxLength: 300,
        },
      ),
      (count, steps) => {
        const window = new BucketWindow(0, 1, 0)
        const out: WindowEntry[][] = []
        const acknowledged = new Set<number>()
        let added = 0
        let resting = false
        let newest = 0

        const take = (most: number): void => {
          const entries = window.take(most)
          if (entries.length === 0) return
          for (let n = 1; n < entries.length; n++)
            expect((entries[n] as WindowEntry).offset).toBeGreaterThan((entries[n - 1] as WindowEntry).offset)
          for (const { offset } of entries) {
            expect(acknowledged.has(offset)).toBe(false)
            if (offset <= newest) continue
            // First deliveries are in order, without a gap.
            expect(offset).toBe(newest + 1)
            newest = offset
          }
          out.push(entries)
        }
        const settle = (pick: number, acks: readonly boolean[]): void => {
          const entries = out.splice(pick % Math.max(1, out.length), 1)[0]
          if (entries === undefined) return
          const results = entries.map((_, n) => (acks[n] === false ? ('later' as const) : ('ack' as const)))
          for (const [n, { offset }] of entries.entries()) if (results[n] === 'ack') acknowledged.add(offset)
          if (window.settle(entries, results).pause !== undefined) resting = true
          let contiguous = 0
          while (acknowledged.has(contiguous + 1)) contiguous++
          expect(window.position).toBe(contiguous)
        }
        const resume = (): void => {
          if (resting) window.resume()
          resting = false
        }

        for (const { act, size, pick, acks } of steps) {
          if (act === 'add' && added < count) window.add(++added, 1, message(added))
          if (act === 'take') take(size)
          if (act === 'settle') settle(pick, acks)
          if (act === 'resume') resume()
          expect(window.out).toBe(out.flat().length)
        }
        // From here on everything is acknowledged: all of it must come.
        while (window.position < added) {
          while (out.length > 0) settle(0, [])
          resume()
          take(5)
        }
        expect(window.length).toBe(0)
        expect([window.held, window.heldBytes, window.out]).toEqual([0, 0, 0])
      },
    ),
    { numRuns: 500 },
  )
})
