import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { shortAndFull } from '../support/full.ts'
import { scenario } from './scenario.ts'
import { until } from './until.ts'

describe('10. the owner’s Postgres dies', () => {
  scenario(
    'at commits, and with writers that do not wait for the disk: no false acknowledgement, no phantom, no number twice',
    async ({ world, server, judge }) => {
      await Promise.all([world.spawn('shop'), world.spawn('mail'), world.spawn('stock')])
      const writing = world.write({ changes: 400, connections: 8, mix: { asynchronous: 0.5, prepared: 0.05 } })
      for (const how of shortAndFull<'immediate' | 'SIGKILL'>(['immediate'], ['SIGKILL', 'immediate'])) {
        const { rows } = await world.pools.shop.query<{ count: number }>('select count(*)::int as count from journal')
        const before = rows[0]?.count ?? 0
        await until('writers are at work', async () => {
          const now = await world.pools.shop.query<{ count: number }>('select count(*)::int as count from journal').catch(() => undefined)
          return (now?.rows[0]?.count ?? 0) > before + 10
        })
        await world.fault(`crash the owner (${how})`, () => server.crash(how))
      }
      await writing
      await judge()
    },
    { crashable: true },
  )

  scenario(
    'because one backend of an asynchronous session is killed: no number is drawn twice',
    async ({ world }) => {
      await Promise.all([world.spawn('shop'), world.spawn('mail'), world.spawn('stock')])
      const writing = world.write({ changes: 200, connections: 4, mix: { asynchronous: 1, rollbacks: 0 } })
      for (let n = 0; n < 3; n++) {
        await world.fault('kill -9 a writer’s backend', async () => {
          await until('a writer in a transaction is killed', async () => {
            const { rows } = await world.pools.shop
              .query<{ pid: number }>(
                `select pid from pg_stat_activity where application_name = 'chaos writer' and xact_start is not null limit 1`,
              )
              .catch(() => ({ rows: [] as { pid: number }[] }))
            return rows[0] !== undefined && killed(rows[0].pid)
          })
          await until('the server has recovered', () => world.pools.shop.query('select 1').then(Boolean, () => false))
        })
      }
      await writing
    },
    { crashable: true, long: true },
  )
})

describe('11. the owner’s database is put back to an older copy of its files', () => {
  scenario(
    'no version is drawn twice, and everything written after it arrives',
    async ({ world, server, judge }) => {
      await Promise.all([world.spawn('mail'), world.spawn('stock')])
      const before = await world.spawn('shop')
      await world.write({ changes: 200, connections: 4 })
      expect(await world.drain()).toBe(true)
      const copy = await server.copyFiles()
      await world.write({ changes: 200, connections: 4 })
      expect(await world.drain()).toBe(true)
      const { rows: lost } = await world.pools.shop.query<{ last: string }>('select max(id)::text as last from comity.outbox')

      await before.kill()
      world.restored = true
      await world.fault('restore the owner', () => server.restore(copy))
      const written = world.write({ changes: 200, connections: 4 })
      await world.spawn('shop')
      await written
      const { rows: drawn } = await world.pools.shop.query<{ anew: boolean }>(
        `select bool_and(o.id > $1::bigint) as anew from comity.outbox o, comity.incarnations i
         where i.noticed_at = (select max(noticed_at) from comity.incarnations) and o.id > i.last_survived`,
        [lost[0]?.last],
      )
      expect(drawn[0]?.anew).toBe(true)
      await judge()
    },
    { crashable: true },
  )

  scenario(
    'twice, from the same copy',
    async ({ world, server }) => {
      await Promise.all([world.spawn('mail'), world.spawn('stock'), world.spawn('shop')])
      await world.write({ changes: 60, connections: 4 })
      expect(await world.drain()).toBe(true)
      const copy = await server.copyFiles()
      world.restored = true
      for (let n = 0; n < 2; n++) {
        await world.write({ changes: 60, connections: 4 })
        expect(await world.drain()).toBe(true)
        // The relay's process lives on: it notices by itself that its database has begun another life.
        await world.fault('restore the owner', () => server.restore(copy))
      }
      await world.write({ changes: 60, connections: 4 })
    },
    { crashable: true, long: true },
  )
})

scenario(
  '11b. the clone of a live database sends nothing and receives nothing',
  async ({ world, server, judge }) => {
    await Promise.all([world.spawn('shop'), world.spawn('mail'), world.spawn('stock')])
    await world.write({ changes: 60, connections: 4 })
    expect(await world.drain()).toBe(true)
    const clone = await server.clone(await server.copyFiles())
    const database = clone.databaseUrl('shop')
    try {
      await world.fault('start a clone with the settings of the live one', async () => {
        const copied = await world.spawn('shop', { database })
        await world.write({ changes: 60, connections: 4, url: database, clone: true })
        await until('it has noticed', () => readFileSync(join(world.folder, `${copied.name}.log`), 'utf8').includes('another life'))
      })
      await world.write({ changes: 60, connections: 4 })
      await judge()
    } finally {
      await clone.close()
    }
  },
  { crashable: true, claimSilence: 20_000 },
)

/** False if it has ended by itself meanwhile. */
function killed(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL')
  } catch {
    return false
  }
}
