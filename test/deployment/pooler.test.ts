import { entity, event } from '@comity/contract'
import { memoryBus, type Queryable, team } from 'comity'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { pgbouncerIsHere, startPooler } from '../support/pgbouncer.ts'
import { freshDatabase } from '../support/postgres.ts'

/** What docs/deployment.md says of a pooler in transaction mode. */
const Product = entity('shop.product', { key: 'id', state: z.object({ id: z.string(), name: z.string() }) })
const Ordered = event('shop.ordered', { key: 'id', data: z.object({ id: z.string() }) })
const TIMEOUTS = 'statement_timeout,idle_in_transaction_session_timeout'

const suite = pgbouncerIsHere ? describe : describe.skip
suite(pgbouncerIsHere ? 'PgBouncer in transaction mode' : 'PgBouncer in transaction mode (skipped: apt-get install pgbouncer)', () => {
  test('carries publishing, relaying, copies and handlers, with fewer backends than connections', async () => {
    const { url } = await freshDatabase()
    const other = await freshDatabase()
    await using pooler = await startPooler(url, { default_pool_size: '3', ignore_startup_parameters: TIMEOUTS })
    const bus = memoryBus()
    const seen: string[] = []
    const owner = new pg.Client(url)
    await owner.connect()
    await owner.query('create table products (id text primary key, name text not null); create table orders (id text primary key)')
    const options = { transport: bus.connect(), allowUnsafe: true }
    const shop = team('shop', { ...options, database: url })
      .owns(Product, { table: 'products' })
      .publishes(Ordered)
    const desk = team('desk', { ...options, database: other.url })
      .keeps(Product, { fields: ['name'] })
      .on(Ordered, async ({ key }, { tx }) => {
        await (tx as Queryable).query('select 1')
        seen.push(key)
      })
    for (const one of [shop, desk]) {
      await one.migrate()
      await one.provision()
      await one.stop()
    }
    const pooled = [shop, desk].map((one) => one.with({ ...one.options, database: pooler.through(one === shop ? url : other.url) }))
    for (const one of pooled) await one.start()

    const application = new pg.Pool({ connectionString: pooler.through(url), max: 20 })
    await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const client = await application.connect()
        await client.query('begin')
        await client.query('insert into products values ($1, $2)', [`p${i}`, 'Ball'])
        await client.query(`select comity.publish('shop.ordered', $1)`, [JSON.stringify({ id: `p${i}` })])
        await client.query('commit')
        client.release()
      }),
    )
    await pooled[0]?.drained()
    await pooled[1]?.caughtUp()
    const { rows } = await owner.query(
      `select count(*)::int as n from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
    )
    expect(rows[0].n).toBeLessThanOrEqual(3)
    const copy = new pg.Client(other.url)
    await copy.connect()
    expect((await copy.query('select count(*)::int as n from shop_product')).rows).toEqual([{ n: 40 }])
    expect(new Set(seen).size).toBe(40)
    expect(seen).toHaveLength(40)
    await application.end()
    for (const one of pooled) await one.stop()
    await owner.end()
    await copy.end()
  })
})
