import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fromToken, readerOf, streamOf, toToken } from '../src/names.ts'

const text = fc.string({ unit: 'grapheme', maxLength: 20 })

test('any name becomes a token that NATS takes, and back', () => {
  fc.assert(
    fc.property(text, (name) => {
      const token = toToken(name)
      expect(token).toMatch(/^[A-Za-z0-9_=-]*$/)
      expect(fromToken(token)).toBe(Buffer.from(name).toString())
    }),
  )
})

test('names stay readable', () => {
  expect(streamOf('marketing.email-sent')).toBe('comity-marketing_email-sent')
  expect(readerOf('crm.a_b', 3)).toBe('crm_a=5Fb-3')
  expect(() => toToken('ä'.repeat(60))).toThrow(expect.objectContaining({ code: 'COMITY_NATS_NAME_TOO_LONG' }))
})
