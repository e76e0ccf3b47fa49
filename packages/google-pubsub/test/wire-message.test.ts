import { bucketOf } from '@comity/contract'
import { expect, test } from 'vitest'
import { fromWire, reasonToRefuse, toWire } from '../src/wire-message.ts'

const message = { id: 'm1', key: 'k', attributes: {}, data: '{}' }
const refusal = (changed: Partial<typeof message> & { attributes?: Record<string, string> }): string | undefined =>
  reasonToRefuse({ ...message, ...changed })

test('limits of Pub/Sub are refused by a reason that names them', () => {
  const attributes = (count: number): Record<string, string> => Object.fromEntries(Array.from({ length: count }, (_, n) => [`a${n}`, '']))
  expect(refusal({ attributes: attributes(98) })).toBeUndefined()
  expect(refusal({ attributes: attributes(99) })).toMatch(/99 attributes, and the limit is 98/)
  expect(refusal({ attributes: { a: 'ä'.repeat(512) } })).toBeUndefined()
  expect(refusal({ attributes: { a: `${'ä'.repeat(512)}.` } })).toMatch(/attribute a has 1025 bytes, and the limit .* is 1024/)
  expect(refusal({ id: 'i'.repeat(1025) })).toMatch(/id has 1025 bytes/)
  expect(refusal({ key: 'k'.repeat(1025) })).toMatch(/key has 1025 bytes/)
  expect(refusal({ attributes: { ['n'.repeat(257)]: '' } })).toMatch(/257 bytes, and the limit is 256/)
  expect(refusal({ attributes: { googclient_x: '' } })).toMatch(/begins with "goog"/)
  expect(refusal({ attributes: { 'comity-key': '' } })).toMatch(/reserved/)
  expect(refusal({ attributes: { '': 'x' } })).toMatch(/without a name/)
})

test('a message comes out of the wire as it went in, in its bucket', () => {
  const sent = { id: 'm2', key: 'ключ', attributes: { 'ce-type': 'x', 'ce-empty': '' }, data: '' }
  const wire = toWire(sent, 32)
  const seconds = 1_795_651_200
  expect(fromWire({ messageId: '17', ...wire, publishTime: { seconds: String(seconds), nanos: 5_999_999 } })).toEqual({
    id: '17',
    message: { ...sent, sentAt: new Date(seconds * 1000 + 5) },
    bucket: bucketOf('ключ', 32),
    size: expect.any(Number),
  })
})

test('what somebody published by hand is delivered under the id that the broker gave it', () => {
  const { message: got, bucket } = fromWire({ messageId: '17', data: Buffer.from('x') })
  expect(got).toMatchObject({ id: '17', key: '', data: 'x' })
  expect(bucket).toBeLessThan(1024)
})
