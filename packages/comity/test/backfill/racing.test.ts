/**
 * Writers, creators and deleters beside every step of a backfill: between draw, wait, read, send and apply. Whatever they do, the copy is what its
 * owner has, no version goes back, nothing deleted comes back, and "ready" is true.
 */
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import type { Queryable } from '../../src/postgres/index.ts'
import { connect } from '../../src/postgres/index.ts'
import { again, copied, newCrm, newMarketing, owned, ready, stateOf } from './customers.ts'

const STEPS: readonly (readonly [step: string, text: RegExp])[] = [
  ['draw', /comity\.draw_version/],
  ['wait', /comity\.horizon/],
  ['read', /comity\.backfill_parts/],
  ['save', /update comity\.backfills set place/],
  ['lanes', /comity\.lanes .* order by lane/],
  ['fill', /json_to_recordset/],
  ['sweep', /backfill_left i/],
]

/** What Postgres itself sees of the copy: versions that fall, and rows that come back below their tombstone. */
const WATCH = `
  create table violations (what text, key text, was bigint, is_now bigint);
  create function watch() returns trigger language plpgsql as $$
  begin
    if tg_op = 'UPDATE' and new.comity_version < old.comity_version then insert into violations values ('fell', new.id, old.comity_version, new.comity_version); end if;
    if tg_op = 'INSERT' and new.id <> 'extra' then
      insert into violations select 'came back', new.id, t.version, new.comity_version from comity.tombstones t where t.key = new.id and t.version >= new.comity_version;
    end if;
    return new;
  end $$;
  create trigger watch after insert or update on crm_customer for each row execute function watch()`

test('the copy is exact, whatever happens between two steps', { timeout: 60_000 }, async () => {
  const bus = testBus()
  let seed = Number(process.env.COMITY_SEED ?? Date.now() % 1_000_000)
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return Math.floor((seed / 2 ** 32) * below)
  }
  let racing = false
  const steps = new Map<string, number>()
  const open = new Set<Promise<unknown>>()
  let writer: ReturnType<typeof connect> | undefined
  let created = 0

  async function change(sql: Queryable): Promise<void> {
    const id = `c${1 + random(700)}`
    const what = random(5)
    if (what === 0) await sql.query('delete from customers where id = $1', [id])
    else if (what === 1)
      await sql.query(
        `insert into customers values ($1, 'a1', 'new@example.com', 'New') on conflict (id) do update set name = 'Again ' || customers.name`,
        [random(2) === 0 ? id : `c${random(700)}-${++created}`],
      )
    else if (what === 2)
      await sql.query(
        `update customers set id = id || '-moved' where id = $1 and not exists (select from customers o where o.id = $1 || '-moved')`,
        [id],
      )
    else
      await sql.query(`update customers set email = $2, name = 'N' || $3 where id = $1`, [
        id,
        `${id}-${random(1000)}@example.com`,
        random(1000),
      ])
  }
  /** Short ones, ones that stay open over the next steps, and ones that are rolled back. */
  async function before(text: string): Promise<void> {
    const step = STEPS.find(([, pattern]) => pattern.test(text.replaceAll(/\s+/g, ' ')))?.[0]
    if (!racing || step === undefined || writer === undefined) return
    steps.set(step, (steps.get(step) ?? 0) + 1)
    for (let n = random(3); n > 0; n--) await change(writer).catch(() => undefined)
    if (open.size > 2 || random(2) > 0) return
    const held = new Promise<void>((resolve) => {
      const work = writer
        ?.transaction(async (tx) => {
          for (let n = 1 + random(3); n > 0; n--) await change(tx)
          resolve()
          await new Promise((done) => setTimeout(done, random(40)))
          if (random(4) === 0) throw new Error('rolled back')
        })
        .catch(() => undefined)
        .then(resolve)
      if (work !== undefined) open.add(work.finally(() => open.delete(work)))
    })
    await held
  }

  await using crm = await newCrm(bus, { rows: 600, batch: 100, before })
  await using marketing = await newMarketing(bus, { before })
  await marketing.db.query(WATCH)
  writer = connect(crm.url, { max: 5 })
  await ready(marketing.db)
  expect(await copied(marketing.db)).toEqual(await owned(crm.db))
  racing = true
  for (let round = 0; round < 8; round++) {
    // A row that its owner does not have, and one that is missing: only a backfill can tell.
    await marketing.db.query(`insert into crm_customer values ('extra', 'a1', 'x@example.com', 'X', 1) on conflict do nothing`)
    await marketing.db.query(`delete from crm_customer where id = (select min(id) from crm_customer where id <> 'extra')`)
    await again(marketing.db)
    await ready(marketing.db)
    // Ready is true, key by key: of what nobody has announced above its last version, the copy has exactly what the owner has.
    const there = new Map((await copied(marketing.db)).map((row) => [row.id, JSON.stringify(row)]))
    const { rows } = await marketing.db.query<{ last: string }>(
      'select last_version::text as last from comity.asked_backfills order by asked_at desc limit 1',
    )
    const { rows: settled } = await crm.db.query<{ key: string; state: string | null }>(
      `select k.key, json_build_object('id', c.id, 'email', c.email, 'name', c.name)::jsonb::text as state
       from (select id as key from customers union select key from comity.outbox union select unnest($2::text[])) k left join customers c on c.id = k.key
       where not exists (select from comity.outbox o where o.key = k.key and o.id > $1::text::bigint)`,
      [rows[0]?.last, [...there.keys()]],
    )
    const wrong = settled.filter(({ key, state }) => {
      const owner = state === null ? undefined : (JSON.parse(state) as { id: string | null; email: string; name: string })
      return there.get(key) !== (owner?.id ? JSON.stringify({ id: owner.id, email: owner.email, name: owner.name }) : undefined)
    })
    expect(wrong, `ready, round ${round}`).toEqual([])
    expect(settled.length, 'keys that could be compared').toBeGreaterThan(100)
  }
  racing = false
  await Promise.all(open)
  await marketing.caughtUp()
  expect(await copied(marketing.db)).toEqual(await owned(crm.db))
  expect((await marketing.db.query('select * from violations')).rows).toEqual([])
  expect((await marketing.db.query('select * from comity.conflicts')).rows).toEqual([])
  expect([...steps.keys()].sort()).toEqual(STEPS.map(([step]) => step).sort())
  expect(await stateOf(marketing.db)).toBe('ready')
  await writer.close()
})
