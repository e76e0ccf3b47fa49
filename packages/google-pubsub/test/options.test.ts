import { expect, test } from 'vitest'
import { googlePubsubGuarantees, googlePubsubTransport, objectsOf, openTransport } from '../src/index.ts'

test('options are checked before anything is loaded', () => {
  const refused = (options: object): void => {
    expect(() => googlePubsubTransport({ project: 'p', ...options })).toThrowError(expect.objectContaining({ code: 'COMITY_BAD_OPTION' }))
  }
  refused({ project: '' })
  refused({ buckets: 3 })
  refused({ buckets: 2048 })
  refused({ retention: '9m' })
  refused({ retention: '32d' })
  refused({ ackDeadline: '9s' })
  refused({ prefix: 'goog-' })
  expect(() => googlePubsubTransport({ project: 'p', bucket: 1 } as never)).toThrowError(/did you mean "buckets"/)
})

test('a URL names the project and what else it can hold', () => {
  const opened = openTransport('google-pubsub://my-project?emulator=127.0.0.1:8085&retention=3d&buckets=64')
  expect(opened.name).toBe('google-pubsub')
  expect(opened.guarantees).toEqual({ ...googlePubsubGuarantees, redeliveryWindow: 3 * 86_400_000 })
  expect(openTransport('google-pubsub://my-project').guarantees).toBe(googlePubsubGuarantees)
  expect(() => openTransport('google-pubsub://my-project?bucket=64')).toThrowError(/emulator, prefix, buckets/)
})

test('a plan says what it takes of the quotas', () => {
  const plan = {
    topics: [
      { name: 'crm.customer', team: 'crm' },
      { name: 'comity.crm.heartbeat', team: 'crm', buckets: 1 },
    ],
    subscriptions: [{ name: 'marketing.customer', team: 'marketing', topic: 'crm.customer' }],
  }
  expect(objectsOf(plan)).toEqual({
    topics: 2,
    subscriptions: 1,
    teams: { crm: { topics: 2, subscriptions: 0 }, marketing: { topics: 0, subscriptions: 1 } },
    share: { topics: 0.0002, subscriptions: 0.0001 },
    bytesPerSecond: 33_000_000,
    fits: true,
  })
})
