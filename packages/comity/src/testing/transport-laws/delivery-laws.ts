import assert from 'node:assert/strict'
import { bucketOf } from '@comity/contract'
import { type Law, message, messages, statuses } from './law.ts'

const unordered = 'guarantees.orderPerBucket is false'

/** What is sent arrives: everywhere, whole, in order, and again until it is acknowledged. */
export const deliveryLaws: readonly Law[] = [
  {
    name: 'a topic says how many buckets it has, and a message is in the bucket of its key',
    async run(law) {
      const transport = await law.connect()
      const topic = `${law.topic}.four`
      await transport.provision({ topics: [{ name: topic, team: law.team, buckets: 4 }], subscriptions: [] })
      const [a] = (await law.provision(transport, ['of-four'], topic)) as [string]
      assert.equal(await transport.buckets(topic), 4)
      await assert.rejects(transport.buckets(`${law.topic}.unheard-of`), { code: 'COMITY_TOPIC_UNKNOWN' })
      const observer = law.observe(transport, a)
      const sent = messages(20, (n) => `k${n}`)
      await transport.send(topic, sent)
      await law.eventually('all arrive', () => observer.acknowledged.size === sent.length)
      for (const { message, bucket } of observer.seen) assert.equal(bucket, bucketOf(message.key, 4), message.key)
    },
  },
  {
    name: 'every message reaches every subscription',
    async run(law) {
      const transport = await law.connect()
      const [a, b, c] = (await law.provision(transport, ['a', 'b', 'c'])) as [string, string, string]
      const observers = [a, b, c].map((name) => law.observe(transport, name))
      const sent = messages(500, (n) => `k${n % 37}`)
      for (let from = 0; from < sent.length; from += 50) {
        assert.deepEqual(new Set(statuses(await transport.send(law.topic, sent.slice(from, from + 50)))), new Set(['stored']))
      }
      const expected = new Set(sent.map((each) => each.id))
      for (const observer of observers) {
        await law.eventually('every subscription gets every message', () => new Set(observer.ids).size === expected.size)
        assert.deepEqual(new Set(observer.ids), expected)
      }
    },
  },
  {
    name: 'nothing is skipped while many send at once',
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const observer = law.observe(transport, a)
      const senders = await Promise.all([1, 2, 3, 4].map(() => law.connect()))
      const sent = await Promise.all(
        senders.map(async (sender, s) => {
          const own = messages(300, (n) => `s${s}-k${n % 11}`)
          for (let from = 0; from < own.length; from += 7) await sender.send(law.topic, own.slice(from, from + 7))
          return own
        }),
      )
      await law.eventually('all of 1200 arrive', () => new Set(observer.ids).size === 1200)
      assert.deepEqual(new Set(observer.ids), new Set(sent.flat().map((each) => each.id)))
    },
  },
  {
    name: 'messages of one bucket keep the order of their sends',
    exempts: (guarantees) => (guarantees.orderPerBucket ? undefined : unordered),
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const observer = law.observe(transport, a, { prefetch: 64 })
      const sent = messages(600, (n) => `k${n % 13}`)
      for (let from = 0; from < sent.length; from += 30) await transport.send(law.topic, sent.slice(from, from + 30))
      await law.eventually('all arrive', () => observer.acknowledged.size === sent.length)
      const order = new Map(sent.map((each, n) => [each.id, n]))
      const last = new Map<number, number>()
      for (const { bucket, message: each, redelivered } of observer.seen) {
        if (redelivered) continue
        const n = order.get(each.id) as number
        assert.ok(n > (last.get(bucket) ?? -1), `bucket ${bucket}: message ${n} came after ${last.get(bucket)}`)
        last.set(bucket, n)
      }
    },
  },
  {
    name: 'what is answered with later comes again, marked as redelivered',
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const sent = messages(40, (n) => `k${n % 5}`)
      const unwilling = new Set(sent.filter((_, n) => n % 4 === 0).map((each) => each.id))
      const observer = law.observe(transport, a, {
        answer: ({ id }, seenBefore) => (unwilling.has(id) && seenBefore < 2 ? 'later' : 'ack'),
      })
      await transport.send(law.topic, sent)
      await law.eventually('all are acknowledged', () => observer.acknowledged.size === sent.length)
      for (const id of unwilling) assert.ok(observer.times(id) >= 3, `${id} came ${observer.times(id)} times`)
      const again = observer.seen.filter(
        (delivery, n) => unwilling.has(delivery.message.id) && observer.ids.indexOf(delivery.message.id) < n,
      )
      assert.ok(
        again.every((delivery) => delivery.redelivered),
        'a repetition says that it is one',
      )
    },
  },
  {
    name: 'what a rejecting handler was given comes again',
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const sent = messages(20, (n) => `k${n % 3}`)
      const observer = law.observe(transport, a, {
        answer: (_, seenBefore) => (seenBefore === 0 ? Promise.reject(new RangeError('a handler that fails')) : 'ack'),
      })
      await transport.send(law.topic, sent)
      await law.eventually('all are acknowledged', () => observer.acknowledged.size === sent.length)
    },
  },
  {
    name: 'a message that has to come again is not overtaken in its bucket',
    exempts: (guarantees) => (guarantees.orderPerBucket ? undefined : unordered),
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const sent = messages(12, () => 'one-key')
      const stubborn = sent[3]?.id
      const observer = law.observe(transport, a, {
        prefetch: 2,
        answer: ({ id }, seenBefore) => (id === stubborn && seenBefore < 2 ? 'later' : 'ack'),
      })
      await transport.send(law.topic, sent)
      await law.eventually('all are acknowledged', () => observer.acknowledged.size === sent.length)
      // At most what was out together with it (prefetch 2) may have been seen before its last repetition.
      const lastSeen = observer.ids.lastIndexOf(stubborn as string)
      const overtaking = new Set(observer.ids.slice(0, lastSeen).filter((id) => sent.findIndex((each) => each.id === id) > 4))
      assert.deepEqual([...overtaking], [])
    },
  },
  {
    name: 'a subscription gets what is sent after it was created, and nothing older',
    async run(law) {
      const transport = await law.connect()
      await law.provision(transport, ['early'])
      await transport.send(
        law.topic,
        messages(50, (n) => `k${n}`),
      )
      const [late] = (await law.provision(transport, ['late'])) as [string]
      const after = messages(50, (n) => `k${n}`)
      await transport.send(law.topic, after)
      const observer = law.observe(transport, late)
      await law.eventually('what was sent afterwards arrives', () => observer.acknowledged.size >= after.length)
      assert.deepEqual(new Set(observer.ids), new Set(after.map((each) => each.id)))
    },
  },
  {
    name: 'what was sent while nobody received arrives later',
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const first = law.observe(transport, a)
      const one = message('k')
      await transport.send(law.topic, [one])
      await law.eventually('the first arrives', () => first.acknowledged.has(one.id))
      await first.stop()
      const missed = messages(30, (n) => `k${n}`)
      await transport.send(law.topic, missed)
      const second = law.observe(transport, a)
      await law.eventually('what was missed arrives', () => second.acknowledged.size >= missed.length)
      assert.deepEqual(new Set(second.ids), new Set(missed.map((each) => each.id)))
    },
  },
  {
    name: 'never more than prefetch messages are at the handler',
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      await transport.send(
        law.topic,
        messages(200, (n) => `k${n}`),
      )
      const waiting: (() => void)[] = []
      const observer = law.observe(transport, a, {
        prefetch: 10,
        answer: () => new Promise((resolve) => waiting.push(() => resolve('ack'))),
      })
      await law.eventually('ten are at the handler', () => observer.running === 10)
      while (observer.acknowledged.size < 200) {
        const before = observer.acknowledged.size
        for (const answer of waiting.splice(0)) answer()
        await law.eventually('more come after an answer', () => observer.acknowledged.size > before)
        if (observer.acknowledged.size < 200) await law.eventually('the next are handed out', () => waiting.length > 0)
      }
      assert.ok(observer.mostRunning <= 10, `${observer.mostRunning} were at the handler at once`)
    },
  },
  {
    name: 'a megabyte and nothing at all arrive as they were sent',
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const observer = law.observe(transport, a)
      const large = message('k', JSON.stringify('ä'.repeat(512 * 1024)))
      const empty = message('k', '')
      assert.deepEqual(statuses(await transport.send(law.topic, [large, empty])), ['stored', 'stored'])
      await law.eventually('both arrive', () => observer.acknowledged.size === 2)
      for (const sent of [large, empty]) {
        assert.ok(observer.seen.find((delivery) => delivery.message.id === sent.id)?.message.data === sent.data, 'data as it was sent')
      }
    },
  },
  {
    name: 'ids, keys, attributes and data arrive character by character',
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const observer = law.observe(transport, a)
      const odd = [
        'plain',
        'ünï-çødé',
        '漢字',
        '👩‍👩‍👧',
        'é (not composed)',
        '"quotes" \\back\\ {braces}',
        'tab\tnewline\nreturn\r',
        "'; --",
        'NULL',
        ' ',
        '%41',
      ]
      const sent = odd.map((text) => ({
        ...message(`key ${text}`, JSON.stringify({ text }), { 'ce-type': 'law.odd', 'ce-text': encodeURIComponent(text), 'ce-empty': '' }),
      }))
      assert.deepEqual(new Set(statuses(await transport.send(law.topic, sent))), new Set(['stored']))
      await law.eventually('all arrive', () => observer.acknowledged.size === sent.length)
      for (const each of sent) {
        const { id, key, attributes, data } =
          observer.seen.find((delivery) => delivery.message.id === each.id)?.message ?? message('missing')
        assert.deepEqual({ id, key, attributes: { ...attributes }, data }, each)
      }
    },
  },
  {
    name: 'NUL and lone surrogates are refused, or arrive as they were sent',
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const observer = law.observe(transport, a)
      const sent = [message('nul', '"\0"'), message('surrogate', '"\ud800"'), message('last')]
      const results = await transport.send(law.topic, sent)
      assert.equal(results[2]?.status, 'stored')
      await law.eventually('the last arrives', () => observer.acknowledged.has(sent[2]?.id as string))
      for (const [n, each] of sent.entries()) {
        if (results[n]?.status !== 'stored') continue
        await law.eventually('what was stored arrives', () => observer.acknowledged.has(each.id))
        assert.equal(observer.seen.find((delivery) => delivery.message.id === each.id)?.message.data, each.data)
      }
    },
  },
  {
    name: 'a refused message blocks the later ones of its key, and nothing else',
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const observer = law.observe(transport, a)
      const tooLarge = message('blocked', 'x'.repeat(law.guarantees.limits.messageBytes + 1))
      const sent = [message('blocked'), tooLarge, message('free'), message('blocked'), message('free')]
      const results = await transport.send(law.topic, sent)
      assert.deepEqual(statuses(results), ['stored', 'refused', 'stored', 'blocked', 'stored'])
      assert.match(results[1]?.status === 'refused' ? results[1].reason : '', /\d/, 'the reason names the limit')
      await law.eventually('the others arrive', () => observer.acknowledged.size === 3)
      assert.deepEqual(new Set(observer.ids), new Set([sent[0]?.id, sent[2]?.id, sent[4]?.id]))
    },
  },
  {
    name: 'a batch beyond the limits is rejected as a whole',
    async run(law) {
      const transport = await law.connect()
      await law.provision(transport, [])
      await assert.rejects(
        transport.send(
          law.topic,
          messages(law.guarantees.limits.batchMessages + 1, () => 'k'),
        ),
        { code: 'COMITY_BATCH_TOO_LARGE' },
      )
    },
  },
  {
    name: 'thousands of keys',
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const observer = law.observe(transport, a)
      const batch = Math.min(1000, law.guarantees.limits.batchMessages)
      const sent = messages(5000, (n) => `key-${n}`)
      for (let from = 0; from < sent.length; from += batch) await transport.send(law.topic, sent.slice(from, from + batch))
      await law.eventually('all arrive', () => observer.acknowledged.size === sent.length)
    },
  },
  {
    name: 'hundreds of subscriptions',
    async run(law) {
      const transport = await law.connect()
      const names = await law.provision(
        transport,
        Array.from({ length: 200 }, (_, n) => `s${n}`),
      )
      const observers = names.map((name) => law.observe(transport, name))
      const sent = messages(20, (n) => `k${n}`)
      await transport.send(law.topic, sent)
      await law.eventually('every one gets all', () => observers.every((observer) => observer.acknowledged.size === sent.length))
    },
  },
]
