import assert from 'node:assert/strict'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nameOfObject, objectId } from '../src/index.ts'

const asText = fc.string({ unit: 'grapheme', maxLength: 25 })

test('every name has an id that Pub/Sub takes, and comes back from it', () => {
  fc.assert(
    fc.property(asText, fc.constantFrom('', 'trial-', 'g'), (name, prefix) => {
      const id = objectId(name, prefix)
      assert.match(id, /^[A-Za-z][A-Za-z0-9\-._~+%]{2,254}$/)
      assert.doesNotMatch(id, prefix === 'g' ? /^$/ : /^goog/i)
      assert.equal(nameOfObject(id, prefix), name)
    }),
  )
})

test('no two names share an id', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ unit: fc.constantFrom('c', '%', '-', '4', '1', 'A', 'g', 'o'), maxLength: 5 })), (names) => {
      assert.equal(new Set(names.map((name) => objectId(name))).size, names.length)
    }),
  )
})

test('names of contracts and of the system pass as they are', () => {
  for (const name of ['crm.customer', 'marketing.email-sent', 'comity.crm.heartbeat', 'marketing.comity-commands'])
    expect(objectId(name)).toBe(name)
})

test('what is no id of ours has no name, and what is too long is refused', () => {
  expect(nameOfObject('other.topic', 'trial-')).toBeUndefined()
  expect(nameOfObject('with+plus')).toBeUndefined()
  expect(nameOfObject('%zz')).toBeUndefined()
  expect(() => objectId('x'.repeat(256))).toThrowError(expect.objectContaining({ code: 'COMITY_PUBSUB_NAME_INVALID' }))
  expect(() => objectId('x'.repeat(250), 'trial-')).toThrowError(expect.objectContaining({ code: 'COMITY_PUBSUB_NAME_INVALID' }))
})
