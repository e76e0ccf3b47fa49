import vm from 'node:vm'
import { ComityError } from '@comity/contract'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  DEFAULT_MAX_BYTES,
  guardJson,
  guardSize,
  HARD_MAX_BYTES,
  HasByteOrderMark,
  MAX_DEPTH,
  MAX_NODES,
  NotJsonText,
  NotJsonValue,
  NotUtf8,
  parseJson,
  parseJsonEach,
  SizeLimitTooHigh,
  TooDeep,
  TooLarge,
  TooManyNodes,
} from '../../src/schema/index.ts'

const json = fc
  .jsonValue({ stringUnit: 'grapheme' })
  .filter((value) => !/\\u0000|"__proto__":|-0/.test(JSON.stringify(value)) && !hasMinusZero(value))

describe('the publishing door', () => {
  it('lets JSON through', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(() => guardJson(value)).not.toThrow()
      }),
    )
    guardJson(Object.assign(Object.create(null), { a: 1 }))
    guardJson(vm.runInNewContext('({ a: [1] })'))
    const shared = { a: 1 }
    guardJson([shared, shared, { shared }])
  })

  it('lets nothing through that JSON would change', () => {
    fc.assert(
      fc.property(
        fc.anything({
          withBigInt: true,
          withDate: true,
          withMap: true,
          withSet: true,
          withTypedArray: true,
          withSparseArray: true,
          withNullPrototype: true,
          stringUnit: 'binary',
        }),
        (value) => {
          try {
            guardJson(value)
          } catch (error) {
            expect(error).toBeInstanceOf(ComityError)
            return
          }
          fc.pre(!hasMinusZero(value))
          expect(withPrototypes(JSON.parse(JSON.stringify(value)))).toEqual(withPrototypes(value))
        },
      ),
      { numRuns: 2000 },
    )
  })

  class Money {
    readonly amount = 1
  }
  it.each<[string, unknown, string, string]>([
    ['undefined', { a: undefined }, 'a', 'undefined'],
    ['a function', { a: [() => 1] }, 'a[0]', 'a function'],
    ['a symbol', { a: Symbol('x') }, 'a', 'a symbol'],
    ['a symbol as a name', { a: { [Symbol('x')]: 1 } }, 'a', 'named by a symbol'],
    ['a BigInt', { a: 1n }, 'a', 'a BigInt'],
    ['a Date', { a: { b: new Date() } }, 'a.b', 'an instance of Date'],
    ['a Map', { a: new Map() }, 'a', 'an instance of Map'],
    ['bytes', { a: Buffer.from('x') }, 'a', 'an instance of Buffer'],
    ['a class', { a: new Money() }, 'a', 'an instance of Money'],
    ['a boxed text', { a: new String('x') }, 'a', 'an instance of String'],
    ['NaN', { a: Number.NaN }, 'a', 'NaN'],
    ['Infinity', { a: -Infinity }, 'a', 'beyond the range'],
    ['a hole', { a: new Array(1) }, 'a[0]', 'undefined'],
    ['a NUL', { a: 'x\0y' }, 'a', 'NUL'],
    ['a NUL in a name', { 'x\0y': 1 }, '*', 'name of a property with a NUL'],
    ['half a character', { a: '\ud83d' }, 'a', 'half of a surrogate pair'],
    ['half a character in a name', { '\ud83d': 1 }, '*', 'half of a surrogate pair'],
    ['__proto__', JSON.parse('{"a":{"__proto__":{"x":1}}}'), 'a.__proto__', '__proto__'],
    ['nothing at all', undefined, 'the data', 'undefined'],
  ])('refuses %s with its path', (_, value, path, problem) => {
    const error = thrown(() => guardJson(value))
    expect(error).toBeInstanceOf(NotJsonValue)
    expect(error.path).toBe(path)
    expect(error.message).toContain(problem)
    expect(error.remedy).not.toBe('')
  })

  it('refuses a cycle', () => {
    const cycle: Record<string, unknown> = { a: {} }
    cycle.a = { b: [cycle] }
    expect(thrown(() => guardJson(cycle)).message).toContain('contains itself')
  })

  it('refuses more than 64 levels and 100,000 values', () => {
    expect(() => guardJson(nested(MAX_DEPTH))).not.toThrow()
    const error = thrown(() => guardJson(nested(MAX_DEPTH + 1)))
    expect(error).toBeInstanceOf(TooDeep)
    expect(error.limit).toBe('64 levels')
    expect(() => guardJson(new Array(MAX_NODES - 1).fill(0))).not.toThrow()
    expect(() => guardJson(new Array(MAX_NODES).fill(0))).toThrow(TooManyNodes)
    let bomb: unknown = 0
    for (let level = 0; level < 60; level++) bomb = [bomb, bomb]
    expect(() => guardJson(bomb)).toThrow(TooManyNodes)
  })

  it('never shows a text or an unusual name', () => {
    const error = thrown(() => guardJson({ 'ann@example.com': { text: 'secret\0' } }))
    expect(error.message).not.toContain('secret')
    expect(error.message).not.toContain('example.com')
  })
})

describe('sizes', () => {
  it('count bytes of UTF-8', () => {
    expect(() => guardSize('é'.repeat(5), 10)).not.toThrow()
    const error = thrown(() => guardSize('é'.repeat(5), 9))
    expect(error).toBeInstanceOf(TooLarge)
    expect(error.limit).toBe('9 bytes')
    expect(() => guardSize(new Uint8Array(10), 10)).not.toThrow()
    expect(() => guardSize(new Uint8Array(11), 10)).toThrow(TooLarge)
    expect(() => guardSize('x'.repeat(DEFAULT_MAX_BYTES))).not.toThrow()
    expect(() => guardSize('x'.repeat(DEFAULT_MAX_BYTES + 1))).toThrow(TooLarge)
  })

  it('cannot be set beyond 8 MiB', () => {
    for (const limit of [HARD_MAX_BYTES + 1, 0, -1, 1.5, Number.NaN]) expect(() => guardSize('x', limit)).toThrow(SizeLimitTooHigh)
    expect(() => guardSize('x', HARD_MAX_BYTES)).not.toThrow()
  })
})

describe('the receiving door', () => {
  it('reads what JSON.stringify writes', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(parseJson(JSON.stringify(value))).toEqual(value)
        expect(parseJson(Buffer.from(JSON.stringify(value)))).toEqual(value)
      }),
    )
  })

  it('reads an array value by value, and leaves out what it would refuse of one', () => {
    const long = 'x'.repeat(5000)
    const refused = ['{"a":"\\u0000"}', '{"__proto__":1}', '"\\ud800"', '[1e400]', `[${'9'.repeat(250)}e99]`, `[${'9'.repeat(400)}]`]
    const deepest = `${'['.repeat(64)}${']'.repeat(64)}`
    fc.assert(
      fc.property(fc.array(json, { maxLength: 5 }), fc.subarray(refused), fc.boolean(), (values, bad, padded) => {
        const texts = [...values.map((value) => JSON.stringify(value)), ...bad, deepest, ...(padded ? [JSON.stringify(long)] : [])]
        const read = parseJsonEach(`[${texts.join()}]`)
        expect(read).toEqual(texts.map((text) => (bad.includes(text) ? undefined : JSON.parse(text))))
      }),
    )
    expect(() => parseJsonEach(`[${'['.repeat(65)}${']'.repeat(65)}]`)).toThrow(TooDeep)
    expect(() => parseJsonEach('[1,]')).toThrow(NotJsonText)
    // Too long for the short way, with what only the walk sees.
    for (const text of refused) expect(() => parseJson(`["${long}",${text}]`), text).toThrow(ComityError)
  })

  it('refuses every other text by a typed error, and pollutes nothing', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 60 }),
          fc.string({ unit: fc.constantFrom('{', '}', '[', ']', '"', ':', ',', '1', 'e', '\\', 'u', 'd', '8', ' ', '\ud800') }),
        ),
        (input) => {
          try {
            parseJson(input)
          } catch (error) {
            expect(error).toBeInstanceOf(ComityError)
          }
        },
      ),
      { numRuns: 2000 },
    )
  })

  it('refuses what is not UTF-8, and a byte order mark', () => {
    expect(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22))).toThrow(NotUtf8)
    expect(() => parseJson(Uint8Array.of(0xef, 0xbb, 0xbf, 0x31))).toThrow(HasByteOrderMark)
    expect(() => parseJson('\ufeff1')).toThrow(HasByteOrderMark)
    expect(() => parseJson(Buffer.from('{"a":1}', 'utf16le'))).toThrow(NotJsonText)
  })

  it.each(['', ' ', '{', '[1,]', "{'a':1}", 'undefined', 'NaN', '1 2', '{"a":1}x', '"a'])('refuses %j', (text) => {
    expect(() => parseJson(text)).toThrow(NotJsonText)
  })

  it('says where, without the text', () => {
    const error = thrown(() => parseJson('{"mail":"ann@example.com",}'))
    expect(error.message).toContain('position 26')
    expect(error.message).not.toContain('example')
  })

  it('refuses what JSON.parse would let through', () => {
    expect(() => parseJson('{"a":1e400}')).toThrow('beyond the range')
    expect(() => parseJson('{"a":"\\u0000"}')).toThrow('NUL')
    expect(() => parseJson('{"a":"\\ud800"}')).toThrow('surrogate')
    expect(() => parseJson('{"__proto__":{"polluted":true}}')).toThrow('__proto__')
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
    expect(() => parseJson(`[${'0,'.repeat(MAX_NODES)}0]`)).toThrow(TooManyNodes)
    expect(() => parseJson(`"${'x'.repeat(50)}"`, 51)).toThrow(TooLarge)
  })

  it('refuses a depth bomb of megabytes at once', () => {
    const before = process.memoryUsage().heapUsed
    expect(() => parseJson('['.repeat(8_000_000), HARD_MAX_BYTES)).toThrow(TooDeep)
    expect(() => parseJson('{"a":'.repeat(1_000_000), HARD_MAX_BYTES)).toThrow(TooDeep)
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(100_000_000)
    expect(() => parseJson(JSON.stringify(nested(65)))).toThrow(TooDeep)
    expect(() => parseJson(JSON.stringify([nested(64), 'x'.repeat(5000)]))).toThrow(TooDeep)
  })

  it('does not count brackets inside of texts', () => {
    const text = `${'[{"\\'.repeat(3000)}\\`
    expect(parseJson(JSON.stringify({ text, more: [text] }))).toEqual({ text, more: [text] })
  })
})

function nested(levels: number): unknown {
  let value: unknown = 1
  for (let level = 0; level < levels; level++) value = level % 2 === 0 ? [value] : { a: value }
  return value
}

function hasMinusZero(value: unknown): boolean {
  if (Object.is(value, -0)) return true
  return value !== null && typeof value === 'object' && Object.values(value).some(hasMinusZero)
}

/** Objects without a prototype come back from JSON with one. */
function withPrototypes(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value
  return Array.isArray(value)
    ? value.map(withPrototypes)
    : Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, withPrototypes(inner)]))
}

function thrown(action: () => void): ComityError {
  try {
    action()
  } catch (error) {
    if (error instanceof ComityError) return error
    throw error
  }
  return expect.unreachable('nothing was thrown')
}
