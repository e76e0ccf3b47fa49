import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { entity } from '@comity/contract'
import { memoryBus, type Queryable, type Team, team } from 'comity'
import { probes } from 'comity/http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { type TcpProxy, tcpProxy } from '../../../../test/support/cuttable-proxy.ts'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { connect, type PostgresDatabase } from '../../src/postgres/index.ts'
import { decorateTransport } from '../../src/transport/decorate-transport.ts'
import { TransportUnavailable } from '../../src/transport/errors.ts'

const Customer = entity('crm.customer', { key: 'id', state: z.object({ id: z.string() }) })
const Campaign = entity('marketing.campaign', { key: 'id', state: z.object({ id: z.string() }) })

const bus = memoryBus()
const outside = bus.connect()
let brokerIsDown = false
/** Marketing, whose way to its database can be taken away; it owns campaigns and keeps customers. */
let marketing: Team<Queryable>
let db: PostgresDatabase
let proxy: TcpProxy
let address: string
const server = createServer()

beforeAll(async () => {
  const { url } = await freshDatabase()
  db = connect(url)
  const through = new URL(url)
  proxy = await tcpProxy({ host: through.hostname, port: Number(through.port) })
  through.port = String(proxy.port)
  await outside.provision({ topics: [{ name: 'crm.customer', team: 'crm' }], subscriptions: [] })
  const broker = bus.connect()
  const transport = decorateTransport(broker, {
    send: async (...given) => {
      if (brokerIsDown) throw new TransportUnavailable({ transport: 'memory', reason: 'taken away by the test' })
      return broker.send(...given)
    },
  })
  marketing = team('marketing', { database: through.href, transport, autoMigrate: true, allowUnsafe: true })
    .owns(Campaign)
    .keeps(Customer, { fields: [] })
  server.on('request', probes([marketing]))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(async () => {
  await marketing.stop()
  server.close()
  await db.close()
})

interface Answer {
  readonly status: number
  readonly failed: Readonly<Record<string, string>>
}
async function ask(path: string): Promise<Answer> {
  const response = await fetch(address + path)
  const body = (await response.json()) as {
    ok: boolean
    teams: Record<string, { checks: { name: string; ok: boolean; reason?: string }[] }>
  }
  expect(body.ok).toBe(response.status === 200)
  const failed = Object.values(body.teams).flatMap(({ checks }) => checks.filter(({ ok }) => !ok))
  return { status: response.status, failed: Object.fromEntries(failed.map(({ name, reason }) => [name, reason ?? ''])) }
}
/** What live() says of a process whose loops may be silent for half a second only. */
function stuck(): Readonly<Record<string, string>> {
  const { checks } = marketing.live({ stuckAfter: '500ms' })
  return Object.fromEntries(checks.filter(({ ok }) => !ok).map(({ name, reason }) => [name, reason ?? '']))
}
const well = { status: 200, failed: {} }
const wait = { timeout: 60_000, interval: 20 }

async function customer(id: string, version: number): Promise<void> {
  const attributes = {
    ...{ 'ce-specversion': '1.0', 'ce-id': `crm/${version}`, 'ce-source': '/teams/crm', 'ce-type': 'crm.customer', 'ce-subject': id },
    ...{ 'ce-time': '2026-11-05T10:15:00.123456Z', 'ce-partitionkey': id, 'ce-comityversion': `${version}`, 'ce-comitykind': 'created' },
  }
  await outside.send('crm.customer', [{ id: `crm/${version}`, key: id, attributes, data: JSON.stringify({ id }) }])
}

test('a team that was not started is alive and not ready; started, it is both', async () => {
  expect(await ask('/livez')).toEqual(well)
  expect(await ask('/readyz')).toMatchObject({ status: 503, failed: { started: 'the team was not started here, or is being stopped' } })
  await marketing.start()
  await expect.poll(() => ask('/readyz'), wait).toEqual(well)
  const names = (await marketing.ready()).checks.map(({ name }) => name)
  expect(names).toEqual(['database', 'schema', 'cleared', 'broker', 'relay'])
  expect(marketing.live().checks.map(({ name }) => name)).toEqual([
    'clearance of marketing',
    'care of marketing',
    'attention of marketing',
    'lines of marketing',
    'jobs',
    'backfills of marketing',
    'marks for copies of marketing',
    'lost histories of marketing',
    'erasures of marketing',
    'holdings of marketing',
    'relay of marketing',
    'subscription marketing.crm-customer',
  ])
  expect((await fetch(`${address}/metrics`)).status).toBe(404)
  expect((await fetch(`${address}/livez`, { method: 'POST' })).status).toBe(405)
})

test('a database that does not answer any more: not ready at once, and not alive when the relay has been hanging for too long', async () => {
  proxy.freeze()
  await expect.poll(async () => (await ask('/readyz')).failed.database, wait).toMatch(/no answer within/)
  await expect.poll(stuck, wait).toMatchObject({ 'relay of marketing': expect.stringMatching(/^it has made no step for [\d.]+ s$/) })
  expect(await ask('/livez')).toEqual(well) // not for a minute yet
  proxy.heal()
  await expect.poll(() => ask('/readyz'), wait).toEqual(well)
  await expect.poll(stuck, wait).toEqual({})
})

test('a replica whose table somebody has locked: its messages are in flight, and none moves', async () => {
  let unlock: () => void = () => undefined
  const locking = db.transaction(async (tx) => {
    await tx.query('lock table crm_customer in access exclusive mode')
    await customer('c1', 1)
    await new Promise<void>((resolve) => {
      unlock = resolve
    })
  })
  const silent = {
    'subscription marketing.crm-customer': expect.stringMatching(/^1 messages are in flight, and none has moved for [\d.]+ s$/),
  }
  await expect.poll(stuck, wait).toEqual(silent)
  unlock()
  await locking
  await expect.poll(stuck, wait).toEqual({})
  expect((await db.query('select id from crm_customer')).rows).toEqual([{ id: 'c1' }])
})

test('a broker that takes nothing: not ready, with since when; and alive, for trying again is progress', async () => {
  brokerIsDown = true
  await db.transaction((tx) => marketing.publish(tx, Campaign, { id: 'k1' }))
  await expect.poll(async () => (await ask('/readyz')).failed.broker, wait).toMatch(/^it has not taken what the relay sends since 20/)
  expect(await ask('/livez')).toEqual(well)
  brokerIsDown = false
  await expect.poll(() => ask('/readyz'), wait).toEqual(well)
})

test('a database that lacks a migration of this code: not ready, with its name', async () => {
  const { rows } = await db.query<{ row: string }>(
    `with gone as (delete from comity.migrations where name like '0009%' returning *) select to_json(gone)::text as row from gone`,
  )
  expect((await ask('/readyz')).failed.schema).toMatch(/0009-telemetry/)
  await db.query('insert into comity.migrations select (json_populate_record(null::comity.migrations, $1::json)).*', [rows[0]?.row])
  expect(await ask('/readyz')).toEqual(well)
})

test('a copy of a database that is alive is not ready, and says whose copy it is', async () => {
  const other = { team: 'billing', incarnation: 1, holder: 'elsewhere:1:abc' }
  await outside.claim(other)
  await using copy = team('billing', {
    database: (await freshDatabase()).url,
    transport: bus.connect(),
    autoMigrate: true,
    allowUnsafe: true,
  })
  await copy.start()
  const cleared = async () => (await copy.ready()).checks.find(({ name }) => name === 'cleared')
  await expect.poll(cleared, wait).toMatchObject({ ok: false, reason: expect.stringContaining('elsewhere:1:abc') })
  expect(copy.live().ok).toBe(true)
})
