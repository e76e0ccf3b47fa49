import { systemClock, TransportFailed, TransportUnavailable } from 'comity/transport'
import { expect, test } from 'vitest'
import { BucketPublisher, type PublishRequest } from '../src/bucket-publisher.ts'
import type { WireMessage } from '../src/wire-message.ts'

const lost = () => new TransportUnavailable({ transport: 'google-pubsub', reason: 'cut' })
const of = (bucket: number, ...texts: string[]): WireMessage[] =>
  texts.map((text) => ({ data: Buffer.from(text), attributes: {}, orderingKey: String(bucket) }))
const sizes = (messages: readonly WireMessage[], size = 1): number[] => messages.map(() => size)

/** A service that writes down what it stores, and can be told to answer later or not at all. */
function service(answer: (bucket: string, attempt: number) => Promise<void> = async () => undefined) {
  const stored: string[] = []
  const requests: string[] = []
  const attempts = new Map<string, number>()
  let most = 0
  const out = new Map<string, number>()
  const publish: PublishRequest = async (_, messages) => {
    const bucket = messages[0]?.orderingKey as string
    const texts = messages.map(({ data }) => data.toString())
    requests.push(texts.join(''))
    out.set(bucket, (out.get(bucket) ?? 0) + 1)
    most = Math.max(most, out.get(bucket) as number)
    const attempt = (attempts.get(bucket) ?? 0) + 1
    attempts.set(bucket, attempt)
    try {
      await answer(bucket, attempt)
      stored.push(...texts)
    } finally {
      out.set(bucket, (out.get(bucket) as number) - 1)
    }
  }
  return { publish, stored, requests, mostOut: () => most }
}
const publisherOf = (publish: PublishRequest, giveUpAfter = 5000): BucketPublisher =>
  new BucketPublisher({ publish, clock: systemClock, giveUpAfter })
const send = (publisher: BucketPublisher, messages: readonly WireMessage[]): Promise<void> => publisher.send('t', messages, sizes(messages))

test('a bucket has one request out, and what comes meanwhile goes together', async () => {
  const answers: (() => void)[] = []
  const pubsub = service(() => new Promise((resolve) => answers.push(resolve)))
  const publisher = publisherOf(pubsub.publish)
  const sends = [send(publisher, of(1, 'a', 'b')), send(publisher, of(1, 'c')), send(publisher, of(1, 'd', 'e'))]
  expect(pubsub.requests).toEqual(['ab'])
  answers.shift()?.()
  await sends[0]
  expect(pubsub.requests).toEqual(['ab', 'cde'])
  answers.shift()?.()
  await Promise.all(sends)
  expect(pubsub.mostOut()).toBe(1)
})

test('a request that fails is sent again as it was, before anything newer of its bucket, and holds back no other bucket', async () => {
  let heal: () => void = () => undefined
  const healed = new Promise<void>((resolve) => {
    heal = resolve
  })
  const pubsub = service(async (bucket, attempt) => {
    if (bucket !== '1') return
    if (attempt === 2) await healed
    if (attempt <= 2) throw lost()
  })
  const publisher = publisherOf(pubsub.publish)
  const first = send(publisher, of(1, 'a', 'b'))
  const later = send(publisher, of(1, 'c'))
  await send(publisher, of(2, 'x'))
  await send(publisher, of(2, 'y'))
  expect(pubsub.stored).toEqual(['x', 'y'])
  heal()
  await Promise.all([first, later])
  expect(pubsub.stored).toEqual(['x', 'y', 'a', 'b', 'c'])
  expect(pubsub.requests.filter((texts) => texts === 'ab')).toHaveLength(3)
})

test('what stays unknown is given up, with everything behind it, and the next send begins anew', async () => {
  const pubsub = service(async (bucket, attempt) => {
    if (bucket === '1' && attempt <= 1) throw lost()
  })
  const publisher = publisherOf(pubsub.publish, 1)
  const sends = [send(publisher, [...of(1, 'a'), ...of(2, 'x')]), send(publisher, of(1, 'b'))]
  await expect(sends[0]).rejects.toMatchObject({ error: { code: 'COMITY_TRANSPORT_UNAVAILABLE' }, partly: true })
  await expect(sends[1]).rejects.toMatchObject({ error: { code: 'COMITY_TRANSPORT_UNAVAILABLE' }, partly: false })
  expect(pubsub.stored).toEqual(['x'])
  await send(publisher, of(1, 'a', 'b'))
  expect(pubsub.stored).toEqual(['x', 'a', 'b'])
})

test('what cannot pass is not tried again', async () => {
  const pubsub = service(async () => {
    throw new TransportFailed({ transport: 'google-pubsub', reason: 'no' })
  })
  await expect(send(publisherOf(pubsub.publish), of(1, 'a'))).rejects.toMatchObject({ error: { code: 'COMITY_TRANSPORT_FAILED' } })
  expect(pubsub.requests).toHaveLength(1)
})

test('a request has 1000 messages and 9 MB at most, and one message always', async () => {
  const pubsub = service()
  const publisher = publisherOf(pubsub.publish)
  const many = of(1, ...Array.from({ length: 2500 }, () => 'm'))
  await send(publisher, many)
  expect(pubsub.requests.map((texts) => texts.length)).toEqual([1000, 1000, 500])
  const large = of(1, 'a', 'b', 'c', 'd')
  await publisher.send('t', large, [5_000_000, 4_000_000, 9_400_000, 1])
  expect(pubsub.requests.slice(3)).toEqual(['ab', 'c', 'd'])
})

test('close fails what waits', async () => {
  const pubsub = service(() => new Promise(() => undefined))
  const publisher = publisherOf(pubsub.publish)
  void send(publisher, of(1, 'a'))
  const waiting = send(publisher, of(1, 'b'))
  publisher.close()
  await expect(waiting).rejects.toMatchObject({ error: { code: 'COMITY_TRANSPORT_CLOSED' } })
})
