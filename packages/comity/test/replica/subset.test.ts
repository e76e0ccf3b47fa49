/** A copy of some rows: those come and go, exactly, whoever writes beside it. */
import { randomUUID } from 'node:crypto'
import { entity } from '@comity/contract'
import { type KeepsOptions, type Queryable, team } from 'comity'
import { operate } from 'comity/admin'
import { type TestBus, type TestTeam, testBus } from 'comity/testing'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { full } from '../../../../test/support/full.ts'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'

const Account = entity('bank.account', {
  key: 'id',
  state: z.object({
    ...{ id: z.string(), status: z.enum(['open', 'frozen', 'closed']), region: z.string().nullable(), balance: z.number() },
    ...{ vip: z.boolean(), since: z.iso.datetime(), note: z.string(), ref: z.uuid().nullable(), tags: z.array(z.string()) },
  }),
})
type Where = NonNullable<KeepsOptions<string, z.infer<typeof State>>['where']>
const State = z.object({
  ...{ id: z.string(), status: z.enum(['open', 'frozen', 'closed']), region: z.string().nullable(), balance: z.number() },
  ...{ vip: z.boolean(), since: z.string(), note: z.string(), ref: z.string().nullable(), tags: z.array(z.string()) },
})

const TABLE = `create table accounts (id text primary key, status text not null, region text, balance float8 not null, vip boolean not null,
  since timestamptz not null, note text not null, ref uuid, tags text[] not null)`
const ROWS = `insert into accounts select 'a' || i, (array['open', 'frozen', 'closed'])[1 + i % 3], (array['eu', 'us', null, 'Ä'])[1 + i % 4],
  (i % 40) / 4.0, i % 2 = 0, '2026-01-01T00:00:00Z'::timestamptz + i * interval '1 hour', 'n' || i,
  case when i % 5 = 0 then ('00000000-0000-4000-8000-00000000000' || i % 3)::uuid end, array['t' || i] from generate_series(1, $1::int) i`

async function bank(bus: TestBus, rows: number): Promise<TestTeam<Queryable>> {
  return testTeam(team<Queryable>('bank').owns(Account, { table: 'accounts' }), {
    ...{ bus, url: (await freshDatabase({ migrated: true })).url },
    async setup(db) {
      await db.query(TABLE)
      await db.query(ROWS, [rows])
    },
  })
}
const keeper = async (bus: TestBus, where: Where, url?: string): Promise<TestTeam<Queryable>> =>
  testTeam(team<Queryable>('shop').keeps(Account, { fields: ['note', 'balance'], where: where as never }), {
    ...{ bus, url: url ?? (await freshDatabase({ migrated: true })).url },
  })

const owned = async (db: Queryable, condition: string) =>
  (await db.query(`select id, note, balance from accounts where ${condition} order by id collate "C"`)).rows
const copied = async (db: Queryable) => (await db.query('select id, note, balance from bank_account order by id')).rows
async function settled({ db }: TestTeam<Queryable>): Promise<void> {
  const open = `select state from comity.asked_backfills where state not in ('ready', 'cancelled')`
  await expect.poll(async () => (await db.query(open)).rows, { timeout: 60_000 }).toEqual([])
}
async function verdict(one: TestTeam<Queryable>): Promise<unknown> {
  const { environment, declaration } = one.team
  const request = { id: randomUUID(), kind: 'audit', arguments: { replica: 'shop.bank-account' }, author: 'ann', reason: 'a test' }
  const { error } = await operate(environment, declaration, { ...request, origin: 'cli' })
  expect(error).toBeNull()
  const ended = async () => (await one.db.query(`select state, verdict, problem from comity.audits order by asked_at desc limit 1`)).rows[0]
  await expect.poll(ended, { timeout: 60_000 }).toMatchObject({ state: 'ended' })
  return ended()
}

test('a row that enters comes with all its fields, one that leaves goes with a tombstone', async () => {
  const bus = testBus()
  await using owner = await bank(bus, 40)
  await using shop = await keeper(bus, { status: 'open', region: ['eu', 'us'] })
  await settled(shop)
  const inside = `status = 'open' and region in ('eu', 'us')`
  expect(await copied(shop.db)).toEqual(await owned(owner.db, inside))
  const chunks = (await shop.db.query('select rows::int as rows, applied::int as applied from comity.asked_backfills')).rows
  expect(chunks, 'its owner says only the rows of the subset').toEqual([
    { rows: (await owned(owner.db, inside)).length, applied: expect.any(Number) },
  ])

  await owner.db.query(`update accounts set status = 'open', region = 'eu' where id = 'a1'`)
  await owner.db.query(`update accounts set region = 'mars' where id = 'a12'`)
  await owner.team.drained()
  await shop.caughtUp()
  expect(await copied(shop.db)).toEqual(await owned(owner.db, inside))
  const stone = `select t.version = o.id as same from comity.tombstones t, (select $1::text::bigint as id) o where t.key = 'a12'`
  const { rows } = await owner.db.query<{ id: string }>(`select id::text as id from comity.outbox where key = 'a12'`)
  expect((await shop.db.query(stone, [rows[0]?.id])).rows).toEqual([{ same: true }])
  expect(await verdict(shop)).toMatchObject({ verdict: 'true' })
})

test('the condition is changed while others write: the copy ends exact, by the live changes and a backfill of its own', async () => {
  const bus = testBus()
  await using owner = await bank(bus, 600)
  const url = (await freshDatabase({ migrated: true })).url
  {
    await using shop = await keeper(bus, { status: 'open' }, url)
    await settled(shop)
    expect(await copied(shop.db)).toEqual(await owned(owner.db, `status = 'open'`))
  }
  let writing = true
  const writer = (async () => {
    for (let n = 0; writing; n++)
      await owner.db.query(
        `update accounts set status = (array['open', 'frozen', 'closed'])[1 + (ascii(right(id, 1)) + $1::int) % 3], balance = $1::int % 9
         where id in (select id from accounts order by md5(id || $1::text) limit 20)`,
        [n],
      )
  })()
  await using shop = await keeper(bus, { status: { not: 'open' }, balance: { atLeast: 3, below: 7.5 } }, url)
  const filling = async () => (await shop.db.query(`select state from comity.asked_backfills where why = 'subset'`)).rows[0]
  await expect.poll(filling, { timeout: 60_000 }).toMatchObject({ state: expect.stringMatching(/settling|ready/) })
  writing = false
  await writer
  await settled(shop)
  await owner.team.drained()
  await shop.caughtUp()
  const inside = `status <> 'open' and balance >= 3 and balance < 7.5`
  expect(await copied(shop.db)).toEqual(await owned(owner.db, inside))
  expect((await shop.db.query('select why, state from comity.asked_backfills order by asked_at')).rows).toEqual([
    { why: 'new', state: 'ready' },
    { why: 'subset', state: 'ready' },
  ])
  expect(await verdict(shop)).toMatchObject({ verdict: 'true' })

  // A process of the code before it starts all the same, and applies what the database says.
  await shop.team.stop()
  const older = team<Queryable>('shop', { database: url, transport: bus.memory.connect(), allowUnsafe: true })
  older.keeps(Account, { fields: ['note', 'balance'], where: { status: 'open' } })
  await older.start()
  await owner.db.query(`update accounts set status = 'frozen', balance = 5 where id in ('a1', 'a2')`)
  await owner.db.query(`update accounts set status = 'open' where id in ('a3', 'a4')`)
  await owner.team.drained()
  await older.caughtUp()
  expect(await copied(shop.db)).toEqual(await owned(owner.db, inside))
  await older.stop()
  // Code that nobody has migrated for does not.
  const newer = team<Queryable>('shop', { database: url, transport: bus.memory.connect(), allowUnsafe: true })
  newer.keeps(Account, { fields: ['note', 'balance'], where: { vip: true } })
  await expect(newer.start()).rejects.toMatchObject({ code: 'COMITY_NOT_MIGRATED' })
  await newer.stop()
})

test('an owner of an older version says every row: the copy takes its own, and lets go of those that are no longer of it', async () => {
  const bus = testBus()
  await using owner = await bank(bus, 30)
  await owner.db.query(`create function says_all() returns trigger language plpgsql as $$ begin new.subset := null; return new; end $$`)
  await owner.db.query('create trigger says_all before insert on comity.backfills for each row execute function says_all()')
  await using shop = await keeper(bus, { status: 'open', vip: true })
  const chunks = async () => (await shop.db.query('select rows::int as rows, state from comity.asked_backfills')).rows[0]
  await expect.poll(chunks, { timeout: 60_000 }).toMatchObject({ rows: 30, state: expect.stringMatching(/settling|ready/) })
  expect(await copied(shop.db)).toEqual(await owned(owner.db, `status = 'open' and vip`))
  expect((await shop.db.query('select count(*)::int as n from comity.tombstones')).rows, 'of what never was here').toEqual([{ n: 0 }])
  await settled(shop)
  // Wrong at this side.
  await shop.db.query(`insert into bank_account (id, note, balance, comity_version) values ('a1', 'n1', 1, 1)`)
  const { environment, declaration } = shop.team
  const request = { id: randomUUID(), kind: 'backfill-start', arguments: { replica: 'shop.bank-account' }, author: 'ann', reason: 'a test' }
  await operate(environment, declaration, { ...request, origin: 'cli' })
  await settled(shop)
  expect(await copied(shop.db)).toEqual(await owned(owner.db, `status = 'open' and vip`))
  expect((await shop.db.query('select key from comity.tombstones')).rows).toEqual([{ key: 'a1' }])
})

const CONDITIONS: readonly [string, Where, string][] = [
  ['equality', { status: 'open' }, `status = 'open'`],
  ['a list with null', { region: ['eu', null] }, `region = 'eu' or region is null`],
  ['null', { region: null }, 'region is null'],
  ['not null', { region: { not: null } }, 'region is not null'],
  ['not a value', { region: { not: 'eu' } }, `region is distinct from 'eu'`],
  ['bounds of a number', { balance: { above: 2.25, atMost: 5 } }, 'balance > 2.25 and balance <= 5'],
  ['bounds of a text, by its bytes', { region: { above: 'f' } }, `region collate "C" > 'f'`],
  ['a moment, however it is spelled', { since: { atLeast: '2026-01-02T01:00:00+01:00' } }, `since >= '2026-01-02T00:00:00Z'`],
  ['a UUID in capitals', { ref: '00000000-0000-4000-8000-000000000001'.toUpperCase() }, `ref = '00000000-0000-4000-8000-000000000001'`],
  ['several', { vip: true, status: ['open', 'frozen'], balance: { below: 8 } }, `vip and status in ('open', 'frozen') and balance < 8`],
]

test('conditions mean the same in chunks, in live changes and in audits as in the SQL of the table', async () => {
  const bus = testBus()
  await using owner = await bank(bus, 120)
  const shop = team<Queryable>('shop')
  for (const [i, [, where]] of CONDITIONS.entries())
    shop.keeps(Account, { name: `copy-${i}`, table: `copy_${i}`, fields: ['note'], where: where as never })
  await using copies = await testTeam(shop, { bus, url: (await freshDatabase({ migrated: true })).url })
  const differences = async () => {
    const found: string[] = []
    for (const [i, [name, , condition]] of CONDITIONS.entries()) {
      const expected = (await owner.db.query(`select id, note from accounts where ${condition} order by id collate "C"`)).rows
      expect(expected.length, name).toBeGreaterThan(0)
      expect(expected.length, name).toBeLessThan(120)
      const { rows } = await copies.db.query(`select id, note from copy_${i} order by id`)
      if (JSON.stringify(rows) !== JSON.stringify(expected)) found.push(name)
    }
    return found
  }
  await settled(copies)
  expect(await differences()).toEqual([])
  const audits = 'select replica from comity.audits where verdict is distinct from $1::text'
  expect((await copies.db.query(audits, ['true'])).rows).toEqual([])
  await owner.db.query(
    `update accounts a set status = b.status, region = b.region, balance = b.balance, vip = b.vip, since = b.since, ref = b.ref
     from accounts b where b.id = 'a' || (1 + substring(a.id from 2)::int % 120)`,
  )
  await owner.team.drained()
  await copies.caughtUp()
  expect(await differences()).toEqual([])
})

test('whoever toggles what decides, at once: the copy is the table filtered by the same condition', {
  timeout: full ? 300_000 : 30_000,
}, async () => {
  const bus = testBus()
  await using owner = await bank(bus, 12)
  await using shop = await keeper(bus, { status: 'open', balance: { atLeast: 2 } })
  await settled(shop)
  const step = fc.record({
    id: fc.integer({ min: 1, max: 12 }),
    act: fc.constantFrom('open', 'frozen', 'closed', 'delete', 'insert'),
    balance: fc.integer({ min: 0, max: 4 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(step, { minLength: 1, maxLength: 8 }), { minLength: 2, maxLength: 4 }), async (writers) => {
      await Promise.all(
        writers.map(async (steps) => {
          for (const { id, act, balance } of steps)
            if (act === 'delete') await owner.db.query('delete from accounts where id = $1::text', [`a${id}`])
            else
              await owner.db.query(
                `insert into accounts select $1::text, $2::text, 'eu', $3::int, true, now(), $4::text, null, '{}'
                 on conflict (id) do update set status = excluded.status, balance = excluded.balance, note = excluded.note`,
                [`a${id}`, act === 'insert' ? 'open' : act, balance, randomUUID()],
              )
        }),
      )
      await owner.team.drained()
      await shop.caughtUp()
      expect(await copied(shop.db)).toEqual(await owned(owner.db, `status = 'open' and balance >= 2`))
    }),
    { numRuns: full ? 200 : 10 },
  )
})
