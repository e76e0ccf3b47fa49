import { Client } from 'pg'
import { describe, expect } from 'vitest'
import { isSettled } from './observations.ts'
import { monotonic } from './recorder.ts'
import { scenario } from './scenario.ts'
import { until } from './until.ts'
import type { World } from './world.ts'
import type { WriterClient } from './writer.ts'

/** Each of its transactions certainly has outbox rows, and locks no key. */
const SURE = {
  rollbacks: 0,
  savepoints: 0,
  asynchronous: 0,
  weights: { account: 0, product: 0, line: 0, note: 0, price: 0, clicked: 1, moved: 0 },
} as const

async function connected(url: string): Promise<Client> {
  const client = new Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

/** Stands between a writer and its COMMIT. */
function atCommit(client: Client, commit: () => Promise<never>): WriterClient {
  return {
    query: (text: string, values?: unknown[]) => (text === 'commit' ? commit() : (client.query(text, values) as never)),
  }
}

function cut(client: Client): void {
  ;(client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
}

async function journal(world: World): Promise<number> {
  const { rows } = await world.pools.shop.query<{ count: number }>('select count(*)::int as count from journal')
  return rows[0]?.count ?? 0
}

describe('1. a writer is killed', () => {
  scenario('after its outbox insert, before its commit: no event', async ({ world, judge }) => {
    await Promise.all([world.spawn('shop'), world.spawn('mail'), world.spawn('stock')])
    await world.write({ changes: 50, connections: 2 })
    const writer = world.writer(SURE)
    for (let n = 0; n < 5; n++) {
      const client = await connected(world.urls.shop)
      const before = await journal(world)
      await world.fault('kill the writer before its commit', async () => {
        await expect(
          writer.transact(
            atCommit(client, async () => {
              cut(client)
              throw new Error('killed')
            }),
          ),
        ).rejects.toThrow('killed')
      })
      expect(await journal(world)).toBe(before)
    }
    await world.write({ changes: 50, connections: 2 })
    const { counts } = await judge()
    expect(counts.writes.info).toBe(5)
  })

  scenario('after its commit, before the reply: delivered once', async ({ world, judge }) => {
    await Promise.all([world.spawn('shop'), world.spawn('mail'), world.spawn('stock')])
    await world.write({ changes: 50, connections: 2 })
    const proxy = await world.proxy('shop')
    const writer = world.writer(SURE)
    for (let n = 0; n < 5; n++) {
      const client = await connected(proxy.through(world.urls.shop))
      const before = await journal(world)
      await world.fault('lose the reply to a commit', async () => {
        await expect(
          writer.transact(
            atCommit(client, async () => {
              proxy.disturb({ kind: 'drop-replies' })
              const answered = client.query('commit')
              await until('it is committed', async () => (await journal(world)) === before + 1)
              proxy.disturb({ kind: 'reset' })
              await answered
              throw new Error('the reply came')
            }),
          ),
        ).rejects.not.toThrow('the reply came')
      })
      proxy.disturb({ kind: 'none' })
    }
    const { counts } = await judge()
    expect(counts.writes).toMatchObject({ info: 5 })
  })
})

scenario(
  '2. writers roll back, deadlock, fail to serialize: no event, and the gaps in the versions are harmless',
  async ({ world, judge }) => {
    await Promise.all([world.spawn('shop'), world.spawn('mail'), world.spawn('stock')])
    await world.fault('writers in each other’s way', () =>
      world.write({ changes: 400, connections: 12, mix: { keys: 3, rollbacks: 0.4, savepoints: 0.3, statements: 5 } }),
    )
    const { counts } = await judge()
    expect(counts.writes.fail).toBeGreaterThan(30)
    const { rows } = await world.pools.shop.query<{ gaps: boolean }>('select max(id) - min(id) >= count(*) as gaps from comity.outbox')
    expect(rows[0]?.gaps).toBe(true)
  },
  { long: true },
)

scenario(
  '3. a long transaction holds an outbox row: the others keep their latency, nothing is lost when it commits',
  async ({ world, judge }) => {
    await Promise.all([world.spawn('shop'), world.spawn('mail'), world.spawn('stock')])
    await world.write({ changes: 20, connections: 2 })
    await until('the start is settled', () => isSettled(world.pools.shop))
    const long = await connected(world.urls.shop)
    const writer = world.writer(SURE)
    await world.fault('a transaction that stays open', async () => {
      await writer.transact({
        async query(text: string, values?: unknown[]) {
          if (text === 'commit') {
            const from = monotonic()
            await world.write({ changes: 300, connections: 4, mix: { keys: 200 } })
            await until('all effects are there although the row is still held', async () => (await backlog(world)) === 0)
            // From the first write after it was held to the last effect: no event waited for it.
            expect(monotonic() - from).toBeLessThan(20_000)
            expect(await isSettled(world.pools.shop)).toBe(false)
            const { rows } = await long.query<{ pid: number }>('select pg_backend_pid() as pid')
            const { outbox } = await world.team('shop').status()
            expect(outbox.heldUpBy).toMatchObject([{ pid: rows[0]?.pid, state: 'idle in transaction' }])
          }
          return (await long.query(text, values)) as never
        },
      })
    })
    await judge()
    await long.end()
  },
)

scenario(
  '4. a long write in another database, and a forgotten prepared transaction: nothing waits for them',
  async ({ world, judge }) => {
    await Promise.all([world.spawn('shop'), world.spawn('mail'), world.spawn('stock')])
    const other = await connected(world.urls.stock)
    const own = await connected(world.urls.shop)
    await world.fault('open transactions that hold no outbox row', async () => {
      await other.query('begin; create table held (id integer); insert into held values (1)')
      await own.query(`create table forgotten (id integer); begin; insert into forgotten values (1); prepare transaction 'forgotten'`)
    })
    await world.write({ changes: 200, connections: 4 })
    await until('everything is settled while they are open', () => isSettled(world.pools.shop), 10_000)
    await own.query(`rollback prepared 'forgotten'`)
    await other.query('rollback')
    await judge()
    await Promise.all([other.end(), own.end()])
  },
  { long: true },
)

/** Messages that no subscription has ended yet. */
async function backlog(world: World): Promise<number> {
  const [pending, left] = await Promise.all([
    world.pools.shop.query<{ unsent: number }>('select count(*)::int as unsent from comity.outbox'),
    world.backlog(),
  ])
  return Math.max(0, (pending.rows[0]?.unsent ?? 0) - world.publishedCount) + left
}
