import assert from 'node:assert/strict'
import type { ProvisionStep } from '../../transport/transport.ts'
import { type Law, message, messages, statuses } from './law.ts'

const volatile = 'guarantees.durable is false'

/** Beginnings and ends: of a transport, of a receive, of a client, of the broker. */
export const lifecycleLaws: readonly Law[] = [
  {
    name: 'the guarantees are those that were announced, and optional methods exist exactly where they say so',
    async run(law) {
      const transport = await law.connect()
      assert.deepEqual(transport.guarantees, law.guarantees)
      assert.ok(Object.isFrozen(transport.guarantees), 'guarantees are frozen')
      const methods = { seek: 'replay', stats: 'stats', remove: 'remove', claim: 'claims' } as const
      for (const [method, guarantee] of Object.entries(methods)) {
        const exists = typeof transport[method as keyof typeof methods] === 'function'
        assert.equal(exists, transport.guarantees[guarantee], `${method} exists if and only if guarantees.${guarantee}`)
      }
      assert.equal(
        transport.access !== undefined,
        transport.guarantees.access.length > 0,
        'access exists if and only if guarantees.access names a form',
      )
      assert.ok(transport.guarantees.claims || !transport.guarantees.fencing, 'who fences sends can tell who is alive')
    },
  },
  {
    name: 'provisioning twice changes nothing, and a dry run creates nothing',
    async run(law) {
      const transport = await law.connect()
      const plan = {
        topics: [{ name: law.topic, team: law.team }],
        subscriptions: [{ name: `${law.team}.a`, team: law.team, topic: law.topic }],
      }
      const steps = [
        { action: 'create-topic', name: law.topic },
        { action: 'create-subscription', name: `${law.team}.a` },
      ]
      const said = (done: readonly ProvisionStep[]): unknown => done.map(({ action, name }) => ({ action, name }))
      assert.deepEqual(said(await transport.provision(plan, { dryRun: true })), steps)
      assert.deepEqual(said(await transport.provision(plan)), steps)
      assert.deepEqual(await transport.provision(plan), [])
      const one = message('k')
      await transport.send(law.topic, [one])
      assert.deepEqual(await transport.provision(plan), [])
      const observer = law.observe(transport, `${law.team}.a`)
      await law.eventually('the message is still there', () => observer.acknowledged.has(one.id))
    },
  },
  {
    name: 'what does not exist is named',
    async run(law) {
      const transport = await law.connect()
      await law.provision(transport, [])
      await assert.rejects(transport.send(`${law.topic}-missing`, [message('k')]), { code: 'COMITY_TOPIC_UNKNOWN' })
      await assert.rejects(
        transport.receive(`${law.team}.missing`, async (deliveries) => deliveries.map(() => 'ack'), {
          signal: new AbortController().signal,
        }),
        { code: 'COMITY_SUBSCRIPTION_UNKNOWN' },
      )
    },
  },
  {
    name: 'an acknowledged send survives a restart of the broker',
    exempts: (guarantees) => (guarantees.durable ? undefined : volatile),
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const sent = messages(200, (n) => `k${n % 20}`)
      assert.deepEqual(new Set(statuses(await transport.send(law.topic, sent))), new Set(['stored']))
      assert.ok(law.broker.restartBroker, 'this law needs restartBroker(); skip it with a reason where there is none')
      await law.broker.restartBroker()
      const observer = law.observe(await law.connect(), a)
      await law.eventually('all arrive', () => observer.acknowledged.size === sent.length)
    },
  },
  {
    name: 'a receive goes on by itself after the broker restarted, and says so',
    exempts: (guarantees) => (guarantees.durable ? undefined : volatile),
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const observer = law.observe(transport, a)
      const before = messages(20, (n) => `k${n}`)
      await transport.send(law.topic, before)
      await law.eventually('it receives', () => observer.acknowledged.size === before.length)
      assert.ok(law.broker.restartBroker, 'this law needs restartBroker(); skip it with a reason where there is none')
      await law.broker.restartBroker()
      const after = messages(20, (n) => `k${n}`)
      await law.eventually('sending works again', () =>
        transport.send(law.topic, after).then(
          () => true,
          () => false,
        ),
      )
      await law.eventually('it receives again', () => after.every(({ id }) => observer.acknowledged.has(id)))
      assert.ok(
        observer.troubles.some((error) => error instanceof Error),
        'the loss was reported',
      )
      await law.eventually('the return was reported', () => observer.troubles.at(-1) === undefined)
    },
  },
  {
    name: 'what a crashed client had not acknowledged comes again, to another',
    async run(law) {
      const doomed = await law.connect()
      const [a] = (await law.provision(doomed, ['a'])) as [string]
      const sent = messages(60, (n) => `k${n}`)
      await doomed.send(law.topic, sent)
      const done = new Set(sent.slice(0, 20).map((each) => each.id))
      const first = law.observe(doomed, a, { answer: ({ id }) => (done.has(id) ? 'ack' : new Promise(() => undefined)) })
      await law.eventually('all are at its handler', () => first.seen.length >= sent.length)
      assert.ok(law.broker.crash, 'this law needs crash(); skip it with a reason where there is none')
      await law.broker.crash(doomed)
      const second = law.observe(await law.connect(), a)
      await law.eventually('another gets them', () => sent.every(({ id }) => done.has(id) || second.acknowledged.has(id)))
    },
  },
  {
    name: 'an abort ends a receive that waits; one that was aborted before does nothing',
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const observer = law.observe(transport, a)
      const one = message('k')
      await transport.send(law.topic, [one])
      await law.eventually('it receives', () => observer.acknowledged.has(one.id))
      await observer.stop()
      await transport.send(law.topic, [message('k')])
      await transport.receive(a, async () => assert.fail('a handler was called after the abort'), { signal: AbortSignal.abort() })
    },
  },
  {
    name: 'an abort during a handler waits for it, calls it no more, and its answer counts',
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const sent = messages(30, () => 'one-key')
      await transport.send(law.topic, sent)
      let answer: () => void = () => undefined
      const blocked = new Promise<'ack'>((resolve) => {
        answer = () => resolve('ack')
      })
      const observer = law.observe(transport, a, { prefetch: 5, answer: () => blocked })
      await law.eventually('five are at the handler', () => observer.running === 5)
      observer.abort()
      let over = false
      void observer.ended.then(() => {
        over = true
      })
      await new Promise((resolve) => setImmediate(resolve))
      assert.equal(over, false, 'receive waits for its handler')
      answer()
      await observer.ended
      assert.equal(observer.seen.length, 5)
      const next = law.observe(transport, a)
      await law.eventually('the rest arrives', () => next.acknowledged.size >= 25)
      assert.ok(
        observer.ids.every((id) => !next.ids.includes(id)),
        'what was acknowledged at the end does not come again',
      )
    },
  },
  {
    name: 'a handler may abort its own receive, and its answer counts',
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const sent = messages(10, () => 'one-key')
      await transport.send(law.topic, sent)
      const observer = law.observe(transport, a, {
        prefetch: 1,
        answer: () => {
          observer.abort()
          return 'ack'
        },
      })
      await observer.ended
      assert.equal(observer.seen.length, 1)
      const next = law.observe(transport, a)
      await law.eventually('the rest arrives', () => next.acknowledged.size >= 9)
      assert.equal(next.times(observer.ids[0] as string), 0, 'what was acknowledged does not come again')
    },
  },
  {
    name: 'close ends a receive that waits, at once',
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const observer = law.observe(transport, a)
      const one = message('k')
      await transport.send(law.topic, [one])
      await law.eventually('it receives', () => observer.acknowledged.has(one.id))
      await transport.close()
      await observer.ended
    },
  },
  {
    name: 'close while a handler is blocked waits for it, and its answer counts',
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const one = message('k')
      await transport.send(law.topic, [one])
      let answer: () => void = () => undefined
      const observer = law.observe(transport, a, {
        answer: () =>
          new Promise((resolve) => {
            answer = () => resolve('ack')
          }),
      })
      await law.eventually('it is at the handler', () => observer.running === 1)
      const closed = transport.close()
      answer()
      await closed
      await observer.ended
      const other = await law.connect()
      const two = message('k')
      await other.send(law.topic, [two])
      const next = law.observe(other, a)
      await law.eventually('the next arrives', () => next.acknowledged.has(two.id))
      assert.deepEqual(next.ids, [two.id])
    },
  },
  {
    name: 'close twice is close once, and a closed transport says that it is',
    async run(law) {
      const transport = await law.connect()
      await law.provision(transport, ['a'])
      await Promise.all([transport.close(), transport.close()])
      await transport.close()
      await transport[Symbol.asyncDispose]()
      await assert.rejects(transport.send(law.topic, [message('k')]), { code: 'COMITY_TRANSPORT_CLOSED' })
      await assert.rejects(
        transport.receive(`${law.team}.a`, async () => [], { signal: new AbortController().signal }),
        { code: 'COMITY_TRANSPORT_CLOSED' },
      )
      await (await law.connect()).close()
    },
  },
]
