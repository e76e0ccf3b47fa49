import { expect, test } from 'vitest'
import { memoryTransport, openTransport, postgresTransport } from '../../src/transport/index.ts'

test('a postgres URL opens the postgres transport, and connects to nothing yet', async () => {
  for (const url of ['postgres://nobody@127.0.0.1:1/none', 'postgresql://nobody@127.0.0.1:1/none']) {
    await using transport = openTransport(url)
    expect(transport.name).toBe('postgres')
  }
})

test('a transport value is taken as it is', () => {
  const transport = memoryTransport()
  expect(openTransport(transport)).toBe(transport)
})

test.each([
  ['memory:', /memoryBus\(\)/],
  ['https://someone:secret@example.com', /postgres:\/\//],
  ['localhost', /postgres:\/\//],
])('%s is refused with what to do, and without its password', (url, remedy) => {
  expect(() => openTransport(url)).toThrow(
    expect.objectContaining({ code: 'COMITY_TRANSPORT_URL_UNKNOWN', remedy: expect.stringMatching(remedy) }),
  )
  expect(() => openTransport(url)).not.toThrow(/secret/)
})

test('options that do not fit are refused', () => {
  const url = 'postgres://nobody@127.0.0.1:1/none'
  expect(() => postgresTransport({ url, bucket: 4 } as never)).toThrow(/did you mean "buckets"/)
  expect(() => postgresTransport({ url, buckets: 6 })).toThrow(/power of two/)
  expect(() => postgresTransport({ url, leaseMs: 5 })).toThrow(/leaseMs/)
  expect(() => postgresTransport({ url, pollMin: 300 })).toThrow(/pollMin/)
})
