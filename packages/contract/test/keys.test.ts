import { checkKey, InvalidKey, keyOf, tenantOf } from '@comity/contract'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

const one = { keyFields: ['id'] }
const two = { keyFields: ['region', 'id'] }
const goodText = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
  .map((text) => text.normalize('NFC'))
  .filter((text) => Buffer.byteLength(text) <= 256 && !/\p{Cc}/u.test(text))

describe('keyOf', () => {
  it('gives a text as it is and an integer in decimal', () => {
    fc.assert(
      fc.property(goodText, (id) => {
        expect(keyOf(one, { id })).toBe(id)
      }),
    )
    fc.assert(
      fc.property(fc.maxSafeInteger(), (id) => {
        expect(keyOf(one, { id })).toBe(String(id === 0 ? 0 : id))
      }),
    )
    expect(keyOf(one, { id: -0 })).toBe('0')
  })

  it('gives a composite key as the JSON array of its values', () => {
    expect(keyOf(two, { id: 7, region: 'a"b' })).toBe('["a\\"b",7]')
    const short = goodText.filter((text) => Buffer.byteLength(JSON.stringify(text)) < 200)
    fc.assert(
      fc.property(short, fc.maxSafeInteger(), (region, id) => {
        expect(JSON.parse(keyOf(two, { region, id }))).toEqual([region, id === 0 ? 0 : id])
      }),
    )
  })

  it('gives different keys to different values', () => {
    const part = goodText.filter((text) => Buffer.byteLength(JSON.stringify(text)) < 120)
    fc.assert(
      fc.property(fc.tuple(part, part), fc.tuple(part, part), ([a, b], [c, d]) => {
        expect(keyOf(two, { region: a, id: b }) === keyOf(two, { region: c, id: d })).toBe(a === c && b === d)
      }),
    )
  })

  it.each([
    [{}, 'is missing'],
    [null, 'is missing'],
    [Object.create({ id: 'inherited' }), 'is missing'],
    [{ id: null }, 'is neither a string nor an integer'],
    [{ id: ['a'] }, 'is neither a string nor an integer'],
    [{ id: true }, 'is neither a string nor an integer'],
    [{ id: 1n }, 'is neither a string nor an integer'],
    [{ id: 1.5 }, 'is not an integer'],
    [{ id: Number.NaN }, 'is not an integer'],
    [{ id: 2 ** 53 }, 'is not an integer between'],
    [{ id: '' }, 'is empty'],
    [{ id: 'a\u0000' }, 'control character at position 1'],
    [{ id: 'a\nb' }, 'control character'],
    [{ id: '\u0085' }, 'control character'],
    [{ id: 'e\u0301' }, 'not in Unicode form NFC'],
    [{ id: '\ud800' }, 'half of a surrogate pair'],
    [{ id: 'é'.repeat(129) }, 'is 258 bytes long'],
  ])('refuses a key, case %#', (data, problem) => {
    expect(() => keyOf(one, data)).toThrow(InvalidKey)
    expect(() => keyOf(one, data)).toThrow(problem)
  })

  it('checks each part of a composite key', () => {
    expect(() => keyOf(two, { region: '', id: 1 })).toThrow('is empty')
    expect(() => keyOf(two, { region: 'a\u0001', id: 1 })).toThrow('control character')
    expect(() => keyOf(two, { region: 'x'.repeat(250), id: 12345 })).toThrow('is 260 bytes long')
  })

  it('never shows the key in an error', () => {
    expect(() => keyOf(one, { id: 'secret@example.com\n' })).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining('secret') }),
    )
  })
})

describe('checkKey', () => {
  it('takes exactly what keyOf gives', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        const fine =
          text !== '' && text.isWellFormed() && !/\p{Cc}/u.test(text) && text.normalize('NFC') === text && Buffer.byteLength(text) <= 256
        if (fine) expect(() => checkKey(text)).not.toThrow()
        else expect(() => checkKey(text)).toThrow(InvalidKey)
      }),
      { numRuns: 1000 },
    )
    expect(() => checkKey('x'.repeat(256))).not.toThrow()
    expect(() => checkKey('x'.repeat(257))).toThrow(InvalidKey)
    expect(() => checkKey('é'.repeat(128))).not.toThrow()
  })
})

describe('tenantOf', () => {
  it('gives the tenant, or undefined where the contract has none', () => {
    expect(tenantOf({ tenantField: 'agencyId' }, { agencyId: 42 })).toBe('42')
    expect(tenantOf({}, { agencyId: 42 })).toBeUndefined()
    expect(() => tenantOf({ tenantField: 'agencyId' }, { id: 'a' })).toThrow('the tenant is missing')
  })
})
