import { Client } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { type TcpProxy, tcpProxy } from '../../../../test/support/cuttable-proxy.ts'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import type { Clock } from '../../src/foundation/index.ts'
import {
  type Delivery,
  migrateBus,
  type PostgresTransport,
  type PostgresTransportOptions,
  postgresTransport,
} from '../../src/transport/index.ts'

const plan = {
  topics: [{ name: 't', team: 'crm' }],
  subscriptions: [{ name: 'crm.s', team: 'crm', topic: 't' }],
}
let count = 0
const message = () => ({ id: `m${++count}`, key: `k${count}`, attributes: {}, data: '{}' })

test('a connection that answers no more is given up, and everything goes on over a new one', async () => {
  const { proxy, transport } = await busBehindProxy({ answerTimeout: 500 })
  const receiver = receive(transport, 'crm.s')
  await transport.send('t', [message()])
  await receiver.until(() => receiver.seen.length === 1)
  proxy.freeze()
  await expect(transport.send('t', [message()])).rejects.toMatchObject({ code: 'COMITY_TRANSPORT_UNAVAILABLE' })
  await receiver.until(() => receiver.troubles.length === 1)
  proxy.heal()
  await receiver.until(() => receiver.troubles.length === 2)
  expect(receiver.troubles).toEqual([expect.objectContaining({ code: 'COMITY_TRANSPORT_UNAVAILABLE' }), undefined])
  const after = message()
  await transport.send('t', [after])
  await receiver.until(() => receiver.seen.some((delivery) => delivery.message.id === after.id))
})

test('connections that are reset are reported and replaced', async () => {
  const { proxy, transport } = await busBehindProxy()
  const receiver = receive(transport, 'crm.s')
  for (let round = 0; round < 5; round++) {
    proxy.heal()
    const next = message()
    while (true) {
      const stored = await transport.send('t', [next]).then(
        () => true,
        (error: { code?: string }) => error.code !== 'COMITY_TRANSPORT_UNAVAILABLE',
      )
      if (stored) break
    }
    await receiver.until(() => receiver.seen.some((delivery) => delivery.message.id === next.id))
  }
})

test('closing needs no broker', async () => {
  const { proxy, transport } = await busBehindProxy()
  const receiver = receive(transport, 'crm.s')
  await transport.claim({ team: 'crm', incarnation: 1, holder: 'p' })
  await transport.send('t', [message()])
  await receiver.until(() => receiver.seen.length === 1)
  await proxy.cut()
  await transport.close()
  await receiver.ended
})

test('closing does not wait long for a broker that answers no more', async () => {
  const { proxy, transport } = await busBehindProxy()
  const receiver = receive(transport, 'crm.s')
  await transport.claim({ team: 'crm', incarnation: 1, holder: 'p' })
  await transport.send('t', [message()])
  await receiver.until(() => receiver.seen.length === 1)
  proxy.freeze()
  const began = performance.now()
  await transport.close()
  await receiver.ended
  expect(performance.now() - began).toBeLessThan(15_000) // an answer may take 20 s
})

test('a receive that begins while the broker is away waits for it', async () => {
  const { proxy, transport } = await busBehindProxy({ answerTimeout: 300 })
  proxy.freeze()
  const receiver = receive(transport, 'crm.s')
  await receiver.until(() => receiver.troubles.length === 1)
  proxy.heal()
  await receiver.until(() => receiver.troubles.length === 2)
  await transport.send('t', [message()])
  await receiver.until(() => receiver.seen.length === 1)
})

test('a pooler that takes no session settings is fine', async () => {
  const refusal = 'SFATAL\0C08P01\0Munsupported startup parameter: statement_timeout\0\0'
  const error = Buffer.concat([Buffer.from('E'), Buffer.from([0, 0, 0, refusal.length + 4]), Buffer.from(refusal)])
  let refused = 0
  const { transport } = await busBehindProxy({}, (first) => {
    if (!first.includes('statement_timeout')) return undefined
    refused++
    return error
  })
  const receiver = receive(transport, 'crm.s')
  await transport.send('t', [message()])
  await receiver.until(() => receiver.seen.length === 1)
  expect(refused).toBeGreaterThan(0)
})

test('any number of subscriptions shares three connections, and they say whose they are', async () => {
  const { url, transport } = await busBehindProxy()
  const names = Array.from({ length: 30 }, (_, n) => `crm.s${n}`)
  await transport.provision({ ...plan, subscriptions: names.map((name) => ({ name, team: 'crm', topic: 't' })) })
  const receivers = names.map((name) => receive(transport, name))
  await Promise.all(Array.from({ length: 20 }, () => transport.send('t', [message()])))
  for (const receiver of receivers) await receiver.until(() => receiver.seen.length === 20)
  const client = new Client(url)
  await client.connect()
  const { rows } = await client.query(
    `select count(*)::int as n from pg_stat_activity where datname = current_database() and application_name = 'comity-bus'`,
  )
  await client.end()
  expect(rows[0].n).toBeGreaterThan(0)
  expect(rows[0].n).toBeLessThanOrEqual(3)
})

test('ten idle subscriptions cost about four statements a second, by the clock that was given', async () => {
  let now = 0
  let turns = 0
  const clock: Clock = {
    now: () => new Date(now),
    monotonic: () => now,
    sleep: async (ms) => {
      now += ms
      turns++
      await new Promise((resolve) => setImmediate(resolve))
    },
  }
  const { transport } = await busBehindProxy({ clock })
  const names = Array.from({ length: 10 }, (_, n) => `crm.s${n}`)
  await transport.provision({ ...plan, subscriptions: names.map((name) => ({ name, team: 'crm', topic: 't' })) })
  const receivers = names.map((name) => receive(transport, name))
  const passed = async (ms: number): Promise<void> => {
    const until = now + ms
    while (now < until) await new Promise((resolve) => setImmediate(resolve))
  }
  await passed(5000) // the start is eager
  const before = turns
  await passed(60_000)
  expect((turns - before) / 60).toBeLessThanOrEqual(4.5)
  await transport.send('t', [message()])
  for (const receiver of receivers) await receiver.until(() => receiver.seen.length === 1)
})

test('nothing to send is nothing to do', async () => {
  const { transport } = await busBehindProxy()
  expect(await transport.send('t', [])).toEqual([])
  expect(await transport.stats([])).toEqual([])
})

async function busBehindProxy(options: Partial<PostgresTransportOptions> = {}, answer?: (first: Buffer) => Buffer | undefined) {
  const { url } = await freshDatabase()
  await migrateBus({ url })
  const { hostname, port } = new URL(url)
  const proxy: TcpProxy = await tcpProxy({ host: hostname, port: Number(port) }, answer)
  const through = new URL(url)
  through.port = String(proxy.port)
  const transport = postgresTransport({ url: through.href, allowUnsafe: true, ...options })
  await transport.provision(plan)
  onTestFinished(() => transport.close())
  return { url, proxy, transport }
}

function receive(transport: Pick<PostgresTransport, 'receive'>, subscription: string) {
  const seen: Delivery[] = []
  const troubles: (Error | undefined)[] = []
  let look = (): void => undefined
  const ended = transport.receive(
    subscription,
    async (deliveries) => {
      seen.push(...deliveries)
      look()
      return deliveries.map(() => 'ack')
    },
    {
      signal: new AbortController().signal,
      onTrouble: (error) => {
        troubles.push(error)
        look()
      },
    },
  )
  return {
    seen,
    troubles,
    ended,
    until: async (condition: () => boolean): Promise<void> => {
      while (!condition()) {
        await new Promise<void>((resolve) => {
          look = resolve
        })
      }
    },
  }
}
