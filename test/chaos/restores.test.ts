/** 11. A database is put back to an older copy of its files while writers write: same system identifier, same timeline. */
import type { Row } from 'comity/testing'
import { expect } from 'vitest'
import { full } from '../support/full.ts'
import { copiedRows } from './observations.ts'
import { scenario } from './scenario.ts'
import { KEPT } from './teams.ts'
import { until } from './until.ts'
import type { World } from './world.ts'

/** So many keys that what a lost history wrote is not soon written again. */
const WIDE = { keys: 600, rollbacks: 0 } as const
const SIZE = full ? 2000 : 100

scenario(
  'the owner’s: no key that the lost history wrote keeps its state in a copy, and each is named',
  async ({ world, server, judge }) => {
    await Promise.all([world.spawn('mail'), world.spawn('stock'), world.spawn('shop')])
    await world.write({ changes: SIZE, connections: 4, mix: WIDE })
    expect(await world.drain()).toBe(true)
    await until('the copies are filled', () => filled(world))
    const copy = await server.copyFiles()
    for (let n = 0; n < (full ? 3 : 1); n++) {
      const before = await ownersRows(world)
      await world.write({ changes: SIZE, connections: 4, mix: WIDE })
      expect(await world.drain()).toBe(true)
      const lost = differing(before, await ownersRows(world))
      expect(lost.size).toBeGreaterThan(50)
      // For the restart that the copy took.
      if (n === 0) await until('the owner has told its copies', async () => (await audits(world)) >= Object.keys(KEPT).length)

      let written = 0
      const progress = (changes: number): void => {
        written = changes
      }
      const writing = world.write({ changes: SIZE, connections: 4, onProgress: progress })
      await until('writers are at work', () => written > SIZE / 5)
      world.restored = true
      // The processes live on: they notice by themselves that their database has begun another life.
      await world.fault('restore the owner', () => server.restore(copy))
      const since = await now(world)
      await writing
      expect(await world.drain()).toBe(true)
      const named = await audited(world, since, 'incarnation')

      const { rows: anew } = await world.pools.shop.query<{ key: string }>(
        `select distinct o.topic || ' ' || o.key as key from comity.outbox o
         where o.id >= (select first_version from comity.incarnations order by noticed_at desc limit 1)`,
      )
      const again = new Set(anew.map(({ key }) => key))
      expect([...lost].filter((key) => !named.has(key) && !again.has(key))).toEqual([])
      expect([...named].some((key) => lost.has(key))).toBe(true)
      await until('what handlers had done for the lost history is named, and nothing else', async () => {
        const { handled, named: told } = await lostAndNamed(world)
        return handled.size > 0 && handled.size === told.size && [...handled].every((message) => told.has(message))
      })
      for (const [name, { owner, rows }] of await copiedRows(world.pools.shop, world.pools.stock))
        expect([...differing(new Map([[name, owner]]), new Map([[name, rows]]))]).toEqual([])
    }
    await judge()
  },
  { crashable: true, long: true, timeout: full ? 300_000 : 90_000 },
)

scenario(
  'the consumers’: what they had acknowledged since is received again, has its effect once, and copies are compared',
  async ({ world, server, judge }) => {
    await Promise.all([world.spawn('mail'), world.spawn('stock'), world.spawn('shop')])
    let written = 0
    const progress = (changes: number): void => {
      written = changes
    }
    const writing = world.write({ changes: SIZE * 3, connections: 4, onProgress: progress })
    await until('writers are at work', () => written > SIZE)
    const copy = await server.copyFiles()
    await until('more has been written', () => written > SIZE * 2)
    await world.endReads()
    for (let n = 0; n < (full ? 3 : 1); n++) {
      expect(await world.drain()).toBe(true)
      const since = await now(world)
      await world.fault('restore the consumers', () => server.restore(copy))
      if (n === 0) await writing
      await until('they have been sent back', async () => (await begun(world)) === 2)
      await audited(world, since, 'incarnation')
      await world.write({ changes: SIZE, connections: 4 })
    }
    await judge()
  },
  { crashable: 'consumers', timeout: full ? 300_000 : 90_000 },
)

async function filled(world: World): Promise<boolean> {
  const { rows } = await world.pools.stock.query<{ state: string }>('select state from comity.asked_backfills')
  return rows.length === Object.keys(KEPT).length && rows.every(({ state }) => state === 'ready')
}

async function audits(world: World): Promise<number> {
  const { rows } = await world.pools.stock.query<{ n: number }>(
    `select count(distinct replica)::int as n from comity.audits where cause = 'incarnation'`,
  )
  return rows[0]?.n ?? 0
}

async function now(world: World): Promise<string> {
  const { rows } = await world.pools.stock.query<{ now: string }>('select clock_timestamp()::text as now')
  return rows[0]?.now as string
}

/** How many of the consumers' databases have sent their subscriptions back in the life that they are in, and have reached it. */
async function begun(world: World): Promise<number> {
  const sent = `
    select exists (select from comity.incarnations where identity = comity.identity() and begun_at is not null)
      and not exists (select from comity.subscriptions where seek is not null) as sent`
  const both = [world.pools.mail, world.pools.stock].map((pool) => pool.query<{ sent: boolean }>(sent).catch(() => ({ rows: [] })))
  return (await Promise.all(both)).filter(({ rows }) => rows[0]?.sent === true).length
}

/** Waits until each copy has been compared, by itself, and is true; answers the keys that audits have named since, with their topics. */
async function audited(world: World, since: string, cause: string): Promise<ReadonlySet<string>> {
  const { stock } = world.pools
  await until(
    'every copy has been compared, and is true',
    async () => {
      const { rows } = await stock.query<{ replica: string; verdict: string | null }>(
        `select distinct on (replica) replica, verdict from comity.audits where began_at > $1::text::timestamptz and cause = $2::text
         order by replica, began_at desc`,
        [since, cause],
      )
      return rows.length === Object.keys(KEPT).length && rows.every(({ verdict }) => verdict === 'true')
    },
    60_000,
  )
  const { rows } = await stock.query<{ replica: keyof typeof KEPT; key: string }>(
    `select a.replica, f.key from comity.audits a join comity.audit_findings f on f.audit = a.id
     where a.ended_at > $1::text::timestamptz and f.class not in ('moving', 'waiting', 'withheld')`,
    [since],
  )
  return new Set(rows.map(({ replica, key }) => `${KEPT[replica].entity.name} ${key}`))
}

/** Messages that a handler has acted upon and that are in no outbox any more; and those that are named for that. */
async function lostAndNamed({
  pools: { mail, shop },
}: World): Promise<{ readonly handled: ReadonlySet<string>; readonly named: ReadonlySet<string> }> {
  const { rows: recorded } = await mail.query<{ version: string; named: boolean }>(
    `select distinct substring(i.message from '^shop-(\\d+)') as version, exists (select from comity.lost_handled h where h.message = i.message) as named
     from comity.inbox i where i.message like 'shop-%' and not exists (select from comity.discarded d where d.message = i.message)`,
  )
  const { rows: gone } = await shop.query<{ version: string }>(
    `select v.version::text as version from unnest($1::text::bigint[]) v(version) where not exists (select from comity.outbox o where o.id = v.version)`,
    [`{${recorded.map(({ version }) => version).join()}}`],
  )
  const versions = (some: readonly { version: string }[]) => new Set(some.map(({ version }) => version))
  return { handled: versions(gone), named: versions(recorded.filter(({ named }) => named)) }
}

async function ownersRows(world: World): Promise<ReadonlyMap<string, readonly Row[]>> {
  const copies = await copiedRows(world.pools.shop, world.pools.stock)
  return new Map([...copies].map(([name, { owner }]) => [name, owner]))
}

function differing(before: ReadonlyMap<string, readonly Row[]>, after: ReadonlyMap<string, readonly Row[]>): ReadonlySet<string> {
  const keys = new Set<string>()
  for (const [name, rows] of before) {
    const topic = KEPT[name as keyof typeof KEPT].entity.name
    const texts = (some: readonly Row[]) => new Map(some.map(({ key, fields }) => [key, JSON.stringify(fields)]))
    const [old, now] = [texts(rows), texts(after.get(name) ?? [])]
    for (const key of new Set([...old.keys(), ...now.keys()])) if (old.get(key) !== now.get(key)) keys.add(`${topic} ${key}`)
  }
  return keys
}
