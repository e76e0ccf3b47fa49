import { expect, test } from 'vitest'
import { memoryBus } from '../../src/transport/index.ts'

const plan = {
  topics: [{ name: 'crm.customer', team: 'crm' }],
  subscriptions: [{ name: 'marketing.customers', team: 'marketing', topic: 'crm.customer' }],
}
const messages = (count: number) => Array.from({ length: count }, (_, n) => ({ id: `m${n}`, key: `k${n}`, attributes: {}, data: '' }))

test('an idle receiver holds no timer', async () => {
  const bus = memoryBus()
  await using transport = bus.connect()
  await transport.provision(plan)
  const before = process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
  let received = 0
  let done = (): void => undefined
  const all = new Promise<void>((resolve) => {
    done = resolve
  })
  const abort = new AbortController()
  const receiving = transport.receive(
    'marketing.customers',
    async (deliveries) => {
      received += deliveries.length
      if (received === 100) done()
      return deliveries.map(() => 'ack')
    },
    { signal: abort.signal },
  )
  await transport.send('crm.customer', messages(100))
  await all
  expect(process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length).toBe(before)
  abort.abort()
  await receiving
})

test('acknowledged messages beyond `keep` are forgotten, others never', async () => {
  const bus = memoryBus({ buckets: 1, keep: 10 })
  await using transport = bus.connect()
  await transport.provision(plan)
  for (let n = 0; n < 20; n++) await transport.send('crm.customer', messages(50))
  expect(await transport.stats(['marketing.customers'])).toMatchObject([{ backlog: 1000 }])
  const received = async (count: number): Promise<number> => {
    const abort = new AbortController()
    let seen = 0
    await transport.receive(
      'marketing.customers',
      async (deliveries) => {
        seen += deliveries.length
        if (seen >= count) abort.abort()
        return deliveries.map(() => 'ack')
      },
      { signal: abort.signal },
    )
    return seen
  }
  expect(await received(1000)).toBe(1000)
  await transport.seek('marketing.customers', 'beginning')
  const [{ backlog } = { backlog: -1 }] = await transport.stats(['marketing.customers'])
  expect(backlog).toBeGreaterThanOrEqual(10)
  expect(backlog).toBeLessThan(20)
  expect(await received(backlog)).toBe(backlog)
})

test('what is delivered cannot be changed by who sent it, nor by another receiver', async () => {
  await using transport = memoryBus().connect()
  await transport.provision(plan)
  const attributes = { 'ce-type': 'a' }
  const message = { id: 'm', key: 'k', attributes, data: '{}' }
  await transport.send('crm.customer', [message])
  attributes['ce-type'] = 'changed'
  const abort = new AbortController()
  await transport.receive(
    'marketing.customers',
    async ([delivery]) => {
      abort.abort()
      expect(delivery?.message.attributes).toEqual({ 'ce-type': 'a' })
      expect(Object.isFrozen(delivery?.message.attributes)).toBe(true)
      return ['ack']
    },
    { signal: abort.signal },
  )
})
