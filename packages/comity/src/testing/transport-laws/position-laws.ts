import assert from 'node:assert/strict'
import type { Guarantees } from '../../transport/guarantees.ts'
import type { Transport } from '../../transport/transport.ts'
import { type Law, type LawContext, message, messages } from './law.ts'

type Exemption = (guarantees: Guarantees) => string | undefined
const withReplay: Exemption = (guarantees) => (guarantees.replay ? undefined : 'guarantees.replay is false')
const withStats: Exemption = (guarantees) => (guarantees.stats ? undefined : 'guarantees.stats is false')
const withRemove: Exemption = (guarantees) => (guarantees.remove ? undefined : 'guarantees.remove is false')

async function backlog(transport: Transport, subscription: string): Promise<number | undefined> {
  return (await transport.stats?.([subscription]))?.[0]?.backlog
}

/** Sends, and waits until a receiver has acknowledged it and has gone. */
async function consumed(law: LawContext, transport: Transport, subscription: string, count: number): Promise<readonly string[]> {
  const sent = messages(count, (n) => `k${n}`)
  await transport.send(law.topic, sent)
  const observer = law.observe(transport, subscription)
  await law.eventually('it is consumed', () => sent.every(({ id }) => observer.acknowledged.has(id)))
  await observer.stop()
  return sent.map(({ id }) => id)
}

/** Going back, counting, taking away. */
export const positionLaws: readonly Law[] = [
  {
    name: 'seek to the beginning delivers everything retained again, to that subscription only',
    exempts: withReplay,
    async run(law) {
      const transport = await law.connect()
      const [a, b] = (await law.provision(transport, ['a', 'b'])) as [string, string]
      const first = await consumed(law, transport, a, 40)
      const other = law.observe(transport, b)
      await law.eventually('the other has all', () => other.acknowledged.size === first.length)
      await transport.seek?.(a, 'beginning')
      const observer = law.observe(transport, a)
      await law.eventually('all come again', () => first.every((id) => observer.acknowledged.has(id)))
      const marker = message('marker')
      await transport.send(law.topic, [marker])
      await law.eventually('the other goes on', () => other.acknowledged.has(marker.id))
      assert.equal(other.seen.length, first.length + 1)
    },
  },
  {
    name: 'seek reaches a receiver that is running',
    exempts: withReplay,
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const sent = messages(40, (n) => `k${n}`)
      const observer = law.observe(transport, a)
      await transport.send(law.topic, sent)
      await law.eventually('all arrive', () => observer.acknowledged.size === sent.length)
      await (await law.connect()).seek?.(a, 'beginning')
      await law.eventually('all come again', () => sent.every(({ id }) => observer.times(id) >= 2))
    },
  },
  {
    name: 'seek to the end leaves what is waiting behind',
    exempts: withReplay,
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      await transport.send(
        law.topic,
        messages(40, (n) => `k${n}`),
      )
      await transport.seek?.(a, 'end')
      const after = messages(40, (n) => `k${n}`)
      await transport.send(law.topic, after)
      const observer = law.observe(transport, a)
      await law.eventually('what follows arrives', () => after.every(({ id }) => observer.acknowledged.has(id)))
      assert.equal(new Set(observer.ids).size, after.length)
    },
  },
  {
    name: 'seek to a time delivers what was sent then and later',
    exempts: withReplay,
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      await consumed(law, transport, a, 30)
      const observer = law.observe(transport, a)
      const second = messages(30, (n) => `k${n}`)
      await law.eventually("the broker's clock has moved on", async () => {
        const probe = message('probe')
        await transport.send(law.topic, [probe])
        await law.eventually('the probe arrives', () => observer.acknowledged.has(probe.id))
        const times = observer.seen.map((delivery) => delivery.message.sentAt.getTime())
        return Math.max(...times) > Math.min(...times) + 2
      })
      await transport.send(law.topic, second)
      await law.eventually('all arrive', () => second.every(({ id }) => observer.acknowledged.has(id)))
      await observer.stop()
      const sentAt = new Map(observer.seen.map((delivery) => [delivery.message.id, delivery.message.sentAt]))
      const time = new Date(Math.min(...second.map(({ id }) => (sentAt.get(id) as Date).getTime())))
      await transport.seek?.(a, { time })
      const again = law.observe(transport, a)
      await law.eventually('what was sent since comes again', () => second.every(({ id }) => again.acknowledged.has(id)))
      for (const { message: each } of again.seen) assert.ok(each.sentAt.getTime() >= time.getTime() - 1, `${each.id} is older`)
    },
  },
  {
    name: 'stats count what is not acknowledged, and say how old it is',
    exempts: withStats,
    async run(law) {
      const transport = await law.connect()
      const [a] = (await law.provision(transport, ['a'])) as [string]
      const counted = async (): Promise<unknown> => {
        const [stats] = (await transport.stats?.([a])) ?? []
        return { subscription: stats?.subscription, backlog: stats?.backlog, oldestSentAt: stats?.oldestSentAt }
      }
      assert.deepEqual(await counted(), { subscription: a, backlog: 0, oldestSentAt: undefined })
      await transport.send(
        law.topic,
        messages(25, (n) => `k${n}`),
      )
      const [waiting] = (await transport.stats?.([a])) ?? []
      assert.equal(waiting?.backlog, 25)
      assert.ok(Math.abs(Date.now() - (waiting?.oldestSentAt?.getTime() ?? 0)) < 60_000, 'the oldest was sent just now')
      const observer = law.observe(transport, a)
      await law.eventually('all are acknowledged', () => observer.acknowledged.size === 25)
      await law.eventually('the backlog is gone', async () => (await backlog(transport, a)) === 0)
      assert.deepEqual(await counted(), { subscription: a, backlog: 0, oldestSentAt: undefined })
    },
  },
  {
    name: 'whether a topic is read by a subscription can be told, by who sends to it',
    async run(law) {
      const [owner, sender] = [await law.connect(), await law.connect()]
      const of = (subscription: string): Promise<boolean> => sender.isSubscribed(law.topic, subscription)
      assert.equal(await of(`${law.team}.a`), false, 'before there is a topic')
      await law.provision(owner, ['b'])
      assert.equal(await of(`${law.team}.a`), false, 'before there is a subscription')
      const [a] = (await law.provision(owner, ['a'])) as [string]
      await sender.send(law.topic, [message('k')])
      assert.equal(await of(a), true)
      if (!law.guarantees.remove) return
      await owner.remove?.({ subscriptions: [a] })
      assert.equal(await of(a), false, 'after it was removed')
    },
  },
  {
    name: 'a removed subscription is gone, its receivers end with an error, and one made anew starts empty',
    exempts: withRemove,
    async run(law) {
      const transport = await law.connect()
      const [a, b] = (await law.provision(transport, ['a', 'b'])) as [string, string]
      const observer = law.observe(transport, a)
      const one = message('k')
      await transport.send(law.topic, [one])
      await law.eventually('it receives', () => observer.acknowledged.has(one.id))
      await transport.remove?.({ subscriptions: [a] })
      await assert.rejects(observer.ended, { code: 'COMITY_SUBSCRIPTION_UNKNOWN' })
      await law.provision(transport, ['a'])
      const two = message('k')
      await transport.send(law.topic, [two])
      const anew = law.observe(transport, a)
      const other = law.observe(transport, b)
      await law.eventually('both get what follows', () => anew.acknowledged.has(two.id) && other.acknowledged.has(two.id))
      assert.deepEqual(anew.ids, [two.id])
      assert.deepEqual(other.ids, [one.id, two.id])
    },
  },
  {
    name: 'a removed topic is gone, and removing what does not exist is fine',
    exempts: withRemove,
    async run(law) {
      const transport = await law.connect()
      await law.provision(transport, ['a'])
      await transport.remove?.({ subscriptions: [`${law.team}.a`], topics: [law.topic] })
      await transport.remove?.({ subscriptions: [`${law.team}.a`, `${law.team}.never`], topics: [law.topic, `${law.topic}-never`] })
      await assert.rejects(transport.send(law.topic, [message('k')]), { code: 'COMITY_TOPIC_UNKNOWN' })
    },
  },
]
