/** Teams that move from one bus to another: what their databases remember of it, and what they refuse. */
import { event } from '@comity/contract'
import { type Duration, type Logger, memoryBus, type Queryable, type Team, team } from 'comity'
import { transportMove } from 'comity/admin'
import type { MemoryBus } from 'comity/transport'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { until } from '../../../../test/chaos/until.ts'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { connect, type PostgresDatabase } from '../../src/postgres/index.ts'
import { act } from '../admin/act.ts'

const Ordered = event('shop.ordered', { key: 'id', data: z.object({ id: z.string(), n: z.int() }) })
const MARGIN: Duration = '200ms'

/** A shop that publishes and a desk that handles, on bus a; each can be started on any pair of the buses. */
async function world() {
  const buses: Record<string, MemoryBus> = { a: memoryBus({ claimSilence: 300 }), b: memoryBus({ claimSilence: 300 }) }
  const urls = { shop: (await freshDatabase({ migrated: true })).url, desk: (await freshDatabase({ migrated: true })).url }
  const db: Record<'shop' | 'desk', PostgresDatabase> = { shop: connect(urls.shop), desk: connect(urls.desk) }
  await db.desk.query('create table effects (seq bigint generated always as identity, id text, n int)')
  const configs: Record<'shop' | 'desk', Team<Queryable>> = {
    shop: team('shop').publishes(Ordered),
    desk: team('desk').on(Ordered, async ({ data }, { tx }) => {
      await (tx as Queryable).query('insert into effects (id, n) values ($1::text, $2::int)', [data.id, data.n])
    }),
  }
  const logged: string[] = []
  const note = (fields: Record<string, unknown>) => void logged.push(`${fields.event} ${fields['error.code'] ?? ''}`)
  const logger: Logger = { debug: note, info: note, warn: note, error: note }
  const running = new Set<Team<Queryable>>()

  function on(name: 'shop' | 'desk', from: string, to?: string): Team<Queryable> {
    return configs[name].with({
      ...{ database: urls[name], lease: '1s', allowUnsafe: true, logger },
      transport: buses[from]?.connect(),
      transportTo: to === undefined ? undefined : buses[to]?.connect(),
      moving: { from, ...(to === undefined ? {} : { to }), margin: MARGIN },
    })
  }
  async function start(name: 'shop' | 'desk', from: string, to?: string): Promise<Team<Queryable>> {
    const one = on(name, from, to)
    await one.start()
    running.add(one)
    return one
  }
  for (const name of ['shop', 'desk'] as const) {
    await on(name, 'a').migrate()
    for (const bus of ['a', 'b']) await on(name, bus).provision()
  }
  let n = 0
  return {
    ...{ db, logged, on, start },
    async stop(one: Team<Queryable>) {
      running.delete(one)
      await one.stop()
    },
    publish: () => db.shop.query(`select comity.publish('shop.ordered', $1::text)`, [JSON.stringify({ id: 'k', n: n++ })]),
    async handled(): Promise<readonly number[]> {
      await until('all are handled', async () => (await db.desk.query('select count(*)::int as n from effects')).rows[0]?.n === n)
      return (await db.desk.query<{ n: number }>('select n from effects order by seq')).rows.map((row) => row.n)
    },
    expected: () => Array.from({ length: n }, (_, i) => i),
    move: (one: Team<Queryable>) => transportMove(one.declaration, one.environment),
    async [Symbol.asyncDispose]() {
      for (const one of running) await one.stop()
      await Promise.all([db.shop.close(), db.desk.close()])
    },
  }
}

test('a rolling restart moves two teams there and back; every event is handled once, in order', async () => {
  await using w = await world()
  const first = [await w.start('shop', 'a'), await w.start('desk', 'a')] as const
  for (let i = 0; i < 5; i++) await w.publish()
  const moving = [await w.start('shop', 'a', 'b'), await w.start('desk', 'a', 'b')] as const
  await w.publish()
  // The one that leads still publishes to a alone, so nothing is proven.
  expect((await w.move(moving[1]))?.subscriptions).toMatchObject([{ state: 'waiting' }])
  await w.stop(first[0])
  await w.publish()
  await until('the desk has switched', async () => (await w.move(moving[1]))?.subscriptions[0]?.state === 'switched')
  await w.publish()
  expect(await w.handled()).toEqual(w.expected())
  // A process of before goes on reading a, where everything comes too.
  await w.stop(first[1])
  await until('the desk relays to both', async () => Boolean((await w.move(moving[1]))?.publishedToBothAt))
  await act(moving[0] as never, 'finish-move', { to: 'b' })
  await act(moving[1] as never, 'finish-move', { to: 'b' })
  const after = [await w.start('shop', 'b'), await w.start('desk', 'b')] as const
  for (const one of moving) await w.stop(one)
  await w.publish()
  expect(await w.handled()).toEqual(w.expected())
  // Back is another move.
  const back = [await w.start('shop', 'b', 'a'), await w.start('desk', 'b', 'a')] as const
  for (const one of after) await w.stop(one)
  await w.publish()
  await until('the desk has switched back', async () => {
    const move = await w.move(back[1])
    return move?.to === 'a' && move.subscriptions[0]?.state === 'switched'
  })
  await w.publish()
  expect(await w.handled()).toEqual(w.expected())
}, 60_000)

test('no relay publishes to the old broker alone once one has published to both, and none to the new one alone before the end', async () => {
  await using w = await world()
  const moving = await w.start('shop', 'a', 'b')
  await until('it publishes to both', async () => Boolean((await w.move(moving))?.publishedToBothAt))
  const old = await w.start('shop', 'a')
  await w.stop(moving)
  await until('it was not admitted', () => w.logged.includes('comity.relay.not_admitted COMITY_MOVE_UNFINISHED'))
  await w.publish()
  await expect(old.status()).resolves.toMatchObject({ outbox: { pending: 1 } })
  await expect(w.on('shop', 'b').start()).rejects.toMatchObject({ code: 'COMITY_MOVE_UNFINISHED' })
  await expect(act(old as never, 'finish-move', { to: 'c' })).rejects.toMatchObject({ code: 'COMITY_NO_MOVE' })
  await act(old as never, 'finish-move', { to: 'b' })
  await expect(w.on('shop', 'a').start()).rejects.toMatchObject({ code: 'COMITY_MOVE_FINISHED' })
  const there = await w.start('shop', 'b')
  await there.drained()
}, 60_000)

test('a move can be given up while nothing has switched; whoever still has both brokers is told', async () => {
  await using w = await world()
  const moving = await w.start('desk', 'a', 'b')
  await act(moving as never, 'abandon-move', { to: 'b' })
  await until('it is told', () => w.logged.includes('comity.subscription.stopped_receiving COMITY_MOVE_GIVEN_UP'))
  await w.stop(moving)
  await w.start('desk', 'a')
  await w.start('shop', 'a')
  await w.publish()
  expect(await w.handled()).toEqual(w.expected())
}, 60_000)

test('a process takes up where another one, that was killed, has left the proof', async () => {
  await using w = await world()
  const shop = await w.start('shop', 'a', 'b')
  const desk = await w.start('desk', 'a', 'b')
  await until('the desk has switched', async () => (await w.move(desk))?.subscriptions[0]?.state === 'switched')
  await w.stop(desk)
  await expect(act(desk as never, 'abandon-move', { to: 'b' })).rejects.toMatchObject({ code: 'COMITY_ALREADY_SWITCHED' })
  await w.publish()
  await shop.drained()
  const again = await w.start('desk', 'a', 'b')
  expect(await w.handled()).toEqual(w.expected())
  await again.caughtUp()
  // What is acknowledged arrives there a moment later.
  await until('nothing is left', async () => (await again.environment.transport.stats?.(['desk.shop-ordered']))?.[0]?.backlog === 0)
})

test('two brokers under one name are refused', async () => {
  const bus = memoryBus()
  const { url: database } = await freshDatabase()
  const one = team('shop', { database, transport: bus.connect(), transportTo: memoryBus().connect(), allowUnsafe: true })
  await one.migrate()
  await expect(one.start()).rejects.toMatchObject({ code: 'COMITY_SAME_BROKER' })
  await one.stop()
})
