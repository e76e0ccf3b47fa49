import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fromToken, readerOf, streamOf, teamOf, toToken } from '../src/names.ts'

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

test('a subscription says whose it is, in a namespace too', () => {
  expect(['crm.crm-customer', 'crm.comity.copy-x', 'staging.crm.crm-customer', 'staging.crm.comity.copy-x'].map(teamOf)).toEqual([
    ...['crm', 'crm'],
    ...['staging.crm', 'staging.crm'],
  ])
})

test('names stay readable', () => {
  expect(streamOf('marketing.email-sent')).toBe('comity-marketing_email-sent')
  expect(readerOf('crm.a_b', 3)).toBe('crm_a=5Fb-3')
  expect(() => toToken('ä'.repeat(60))).toThrow(expect.objectContaining({ code: 'COMITY_NATS_NAME_TOO_LONG' }))
})
