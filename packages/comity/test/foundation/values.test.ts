import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { backoff, checkOptions, type Duration, parseDuration, systemClock } from '../../src/foundation/index.ts'
import { editDistance } from '../../src/foundation/options.ts'

describe('a duration', () => {
  test.each([
    ['250ms', 250],
    ['5s', 5000],
    ['1.5s', 1500],
    ['10m', 600_000],
    ['1h', 3_600_000],
    ['7d', 604_800_000],
    ['0s', 0],
  ] as const)('%s is %d milliseconds', (text, ms) => expect(parseDuration(text, 'x')).toBe(ms))

  test.each(['5', '', 's', '-5s', '5 s', '5S', '5sec', '1e3s', '5s ', 'Infinitys', 5, null, undefined, {}])(
    '%j has no unit, or is none',
    (value) => {
      expect(() => parseDuration(value as Duration, 'team.lease')).toThrow(
        expect.objectContaining({ code: 'COMITY_BAD_DURATION', path: 'team.lease', remedy: expect.stringContaining("'250ms'") }),
      )
    },
  )
})

describe('options', () => {
  const known = ['database', 'transport', 'namespace']
  const refused = (given: object) => {
    try {
      checkOptions(given, known, 'team')
    } catch (error) {
      return error as Error & { code: string; path: string; remedy: string }
    }
    return undefined
  }

  test('that are known pass', () => {
    expect(refused({})).toBeUndefined()
    expect(refused({ database: 1, namespace: undefined })).toBeUndefined()
  })

  test.each([
    ['databse', 'did you mean "database"?'],
    ['Database', 'did you mean "database"?'],
    ['namespaces', 'did you mean "namespace"?'],
    ['somethingElse', 'the options here are: database, transport, namespace'],
    ['__proto__', 'the options here are: database, transport, namespace'],
  ])('such as "%s" are not: %s', (option, remedy) => {
    expect(refused(JSON.parse(`{"${option}": 1}`))).toMatchObject({ code: 'COMITY_UNKNOWN_OPTION', path: `team.${option}`, remedy })
  })

  test('are compared by edits: 0 only for the same, symmetric, and never more than the longer text', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b, c) => {
        const distance = editDistance(a, b)
        expect(distance === 0).toBe(a === b)
        expect(distance).toBe(editDistance(b, a))
        expect(distance).toBeLessThanOrEqual(Math.max(a.length, b.length))
        expect(editDistance(a, c)).toBeLessThanOrEqual(distance + editDistance(b, c))
      }),
    )
    expect([editDistance('kitten', 'sitting'), editDistance('', 'abc'), editDistance('ab', 'ba')]).toEqual([3, 3, 2])
  })
})

describe('a backoff', () => {
  const bounds = { min: 100, max: 1000 }

  test('doubles its upper bound until the largest', () => {
    expect([0, 1, 2, 3, 4, 5, 1000].map((attempt) => backoff(attempt, bounds, () => 1))).toEqual([100, 200, 400, 800, 1000, 1000, 1000])
  })

  test('is anywhere below it, and never anything else', () => {
    expect(backoff(3, bounds, () => 0)).toBe(0)
    fc.assert(
      fc.property(fc.nat(), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (attempt, random) => {
        const ms = backoff(attempt, bounds, () => random)
        expect(ms).toBeGreaterThanOrEqual(0)
        expect(ms).toBeLessThan(1000)
      }),
    )
  })
})

describe('the clock of the system', () => {
  test('only grows, and wakes who no longer needs to sleep', async () => {
    const before = systemClock.monotonic()
    const stop = new AbortController()
    const asleep = systemClock.sleep(600_000, stop.signal)
    stop.abort()
    await asleep
    await systemClock.sleep(600_000, stop.signal)
    await systemClock.sleep(0)
    expect(systemClock.monotonic()).toBeGreaterThanOrEqual(before)
    expect(systemClock.monotonic() - before).toBeLessThan(60_000)
    expect(Math.abs(systemClock.now().getTime() - Date.now())).toBeLessThan(60_000)
  })
})
