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
  ['localhost', /postgres:\/\//],
])('%s is refused with what to do', (url, remedy) => {
  expect(() => openTransport(url)).toThrow(
    expect.objectContaining({ code: 'COMITY_TRANSPORT_URL_UNKNOWN', remedy: expect.stringMatching(remedy) }),
  )
})

test('any other scheme is the name of a package; one that is not installed is named, and the password is not', () => {
  const url = 'https://someone:secret@example.com'
  expect(() => openTransport(url)).toThrow(
    expect.objectContaining({ code: 'COMITY_TRANSPORT_NOT_INSTALLED', remedy: expect.stringMatching(/npm install @comity\/https/) }),
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
