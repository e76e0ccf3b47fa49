/** Events for later: in the caller's transaction, moved once, in order of (due, id), or cancelled; never both. */
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Publisher, type PublishOptions } from '../../src/outbox/publisher.ts'
import { connect, type Queryable } from '../../src/postgres/index.ts'
import { Counted, Customer, Noted, type PublishingDatabase, publishingDatabase } from './publishing.ts'

let db: PublishingDatabase
beforeAll(async () => {
  db = await publishingDatabase()
})
afterAll(() => db.close())
beforeEach(() => db.query('truncate comity.scheduled, comity.outbox, comity.heads'))

const notes = new Publisher(Noted)
const counts = new Publisher(Counted)
const inAnHour = () => new Date(Date.now() + 3_600_000)
const later = (sql: Queryable, id: string, body: unknown, notBefore: Date | string = inAnHour()) =>
  notes.publish(sql, { id, body }, { notBefore })
/** What was to be due within a year is due now; the distances stay. */
const timePasses = (sql: Queryable = db) => sql.query(`update comity.scheduled set due = due - interval '1 year'`)

interface Turn {
  readonly moved: number
  readonly wait_ms: number | null
  readonly settled: string
}
async function move(sql: Queryable = db, since = '-infinity', most = 1000): Promise<Turn> {
  const { rows } = await sql.query<Turn>('select moved, wait_ms, settled from comity.move_scheduled($1::int, $2::text::timestamptz)', [
    most,
    since,
  ])
  return rows[0] as Turn
}
const bodies = async (): Promise<unknown[]> =>
  (await db.outbox()).map(
    ({ payload }) => (JSON.parse(payload as string) as { body?: unknown; n?: unknown }).body ?? JSON.parse(payload as string).n,
  )
const waiting = async (): Promise<unknown[]> =>
  (await db.query<{ payload: string }>('select payload from comity.scheduled order by due, id')).rows.map(
    ({ payload }) => JSON.parse(payload).body,
  )

test('a rollback schedules nothing; what is committed waits, and is an event of the contract when it is due', async () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  await expect(
    db.transaction(async (tx) => {
      await later(tx, 'a', 0)
      throw new RangeError('rolled back on purpose')
    }),
  ).rejects.toThrow(RangeError)
  expect(await db.transaction((tx) => notes.publish(tx, { id: 'a', body: 1 }, { notBefore: inAnHour(), traceparent }))).toBe(0)
  expect(await move()).toMatchObject({ moved: 0, wait_ms: expect.closeTo(3_600_000, -4) })
  expect(await waiting()).toEqual([1])
  await timePasses()
  const { rows } = await db.query<{ now: string }>('select last_value::text as now from comity.outbox_id')
  expect(await move()).toMatchObject({ moved: 1, wait_ms: null })
  expect(await db.outbox()).toEqual([
    {
      ...{ id: expect.any(Number), topic: 'crm.noted', key: 'a', kind: 'event', tenant: null, payload: '{"id":"a","body":1}' },
      ...{ headers: JSON.stringify({ traceparent }), checked: false }, // the relay judges it by the contract of this day
    },
  ])
  expect((await db.outbox())[0]?.id).toBeGreaterThan(Number(rows[0]?.now))
  expect(await waiting()).toEqual([])
})

test('they are moved in order of their time, then as they were scheduled, however many turns it takes', async () => {
  const first = inAnHour()
  const second = new Date(first.getTime() + 1)
  await db.transaction(async (tx) => {
    await notes.publishMany(
      tx,
      [4, 5, 6].map((body) => ({ id: 'k', body })),
      { notBefore: second },
    )
    for (const body of [1, 2, 3]) await later(tx, body === 2 ? 'other' : 'k', body, first)
  })
  await timePasses()
  expect(await move(db, undefined, 4)).toMatchObject({ moved: 4, wait_ms: 0 })
  expect(await move(db, undefined, 4)).toMatchObject({ moved: 2, wait_ms: null })
  expect(await bodies()).toEqual([1, 2, 3, 4, 5, 6])
})

test('a transaction of the mover is at most about 4 MB', async () => {
  await db.transaction((tx) =>
    notes.publishMany(tx, new Array(6).fill({ id: 'k', body: 'x'.repeat(1_000_000) }), { notBefore: inAnHour() }),
  )
  await timePasses()
  expect(await move()).toMatchObject({ moved: 5, wait_ms: 0 })
})

test.each(['2020-02-29T12:00:00+01:00', new Date(0), 'now'])('what has come is published at once: %s', async (when) => {
  const notBefore = when === 'now' ? new Date() : when
  const version = await db.transaction((tx) => later(tx, 'a', 1, notBefore))
  const many = await db.transaction((tx) =>
    counts.publishMany(
      tx,
      [
        { id: 2, shop: 1, n: 2 },
        { id: 1, shop: 1, n: 3 },
      ],
      { notBefore },
    ),
  )
  expect((await db.outbox()).map(({ id, checked }) => [id, checked])).toEqual([version, many[1], many[0]].map((id) => [id, true]))
  expect(await waiting()).toEqual([])
})

describe('an ordered event', () => {
  test('gets its place in the order of its key when it is moved, and holds back its own key only while somebody publishes for it', async () => {
    await db.transaction((tx) => counts.publish(tx, { id: 1, shop: 1, n: 0 }))
    await db.transaction((tx) =>
      counts.publishMany(
        tx,
        [1, 2].flatMap((n) => [1, 2].map((id) => ({ id, shop: 1, n }))),
        { notBefore: inAnHour() },
      ),
    )
    await timePasses()
    await db.transaction(async (tx) => {
      await counts.publish(tx, { id: 1, shop: 1, n: 10 })
      expect(await move()).toMatchObject({ moved: 2, wait_ms: 0 })
    })
    expect(await move()).toMatchObject({ moved: 2, wait_ms: null })
    await db.transaction((tx) => counts.publish(tx, { id: 1, shop: 1, n: 20 }))
    const rows = await db.outbox()
    const of = (key: string) => rows.filter((row) => row.key === key).map(({ payload }) => JSON.parse(payload as string).n)
    expect([of('1'), of('2')]).toEqual([
      [0, 10, 1, 2, 20],
      [1, 2],
    ])
    const { rows: heads } = await db.query<{ key: string; version: string }>(
      'select key, version::text as version from comity.heads order by key',
    )
    for (const { key, version } of heads) expect(Number(version)).toBe(rows.filter((row) => row.key === key).at(-1)?.id)
  })

  test('that is the first of its key waits for a first one that is not committed, and for nobody else', async () => {
    await db.transaction((tx) =>
      counts.publishMany(
        tx,
        [1, 2].map((id) => ({ id, shop: 1, n: 2 })),
        { notBefore: inAnHour() },
      ),
    )
    await timePasses()
    await db.transaction(async (tx) => {
      await counts.publish(tx, { id: 1, shop: 1, n: 1 })
      expect(await move()).toMatchObject({ moved: 1, wait_ms: 0 })
    })
    expect(await move()).toMatchObject({ moved: 1, wait_ms: null })
    expect((await db.outbox()).map(({ key }) => key).sort()).toEqual(['1', '1', '2'])
  })
})

describe('cancelling', () => {
  const cancel = (sql: Queryable, key: string) => notes.cancelScheduled(sql, key)

  test('is part of the transaction, goes by key, and says how many', async () => {
    await db.transaction((tx) =>
      notes.publishMany(
        tx,
        ['a', 'a', 'b'].map((id) => ({ id, body: id })),
        { notBefore: inAnHour() },
      ),
    )
    await expect(
      db.transaction(async (tx) => {
        expect(await cancel(tx, 'a')).toBe(2)
        throw new RangeError('rolled back on purpose')
      }),
    ).rejects.toThrow(RangeError)
    expect(await waiting()).toEqual(['a', 'a', 'b'])
    expect(await db.transaction((tx) => cancel(tx, 'a'))).toBe(2)
    expect(await db.transaction((tx) => cancel(tx, 'a'))).toBe(0)
    await timePasses()
    await move()
    expect(await bodies()).toEqual(['b'])
    expect(await db.transaction((tx) => cancel(tx, 'b'))).toBe(0)
  })

  test('holds back the rest of its key until it is decided, and no other key', async () => {
    await db.transaction((tx) => later(tx, 'a', 1))
    await timePasses()
    await db.session(async (canceller) => {
      await canceller.query('begin')
      expect(await cancel(canceller, 'a')).toBe(1)
      await db.transaction(async (tx) => {
        await later(tx, 'a', 2)
        await later(tx, 'b', 3)
        await tx.query(`update comity.scheduled set due = due - interval '1 year' where due > now()`)
      })
      expect(await move()).toMatchObject({ moved: 1, wait_ms: 0 })
      await canceller.query('rollback')
    })
    expect(await move()).toMatchObject({ moved: 2, wait_ms: null })
    expect(await bodies()).toEqual([3, 1, 2])
  })

  test('loses to a mover that has the row, and wins if that mover fails', async () => {
    for (const [end, cancelled] of [
      ['commit', 0],
      ['rollback', 1],
    ] as const) {
      await db.query('truncate comity.scheduled, comity.outbox')
      await db.transaction((tx) => later(tx, 'a', 1))
      await timePasses()
      await db.session(async (mover) => {
        await mover.query('begin')
        expect(await move(mover)).toMatchObject({ moved: 1 })
        const asked = db.transaction((tx) => cancel(tx, 'a'))
        await somebodyWaits()
        await mover.query(end)
        expect(await asked).toBe(cancelled)
      })
      await move()
      expect(await bodies()).toEqual(cancelled === 1 ? [] : [1])
    }
  })
})

test('a second mover goes away with nothing, so that two never interleave', async () => {
  await db.transaction((tx) =>
    notes.publishMany(
      tx,
      [1, 2, 3].map((body) => ({ id: 'k', body })),
      { notBefore: inAnHour() },
    ),
  )
  await timePasses()
  await db.session(async (mover) => {
    await mover.query('begin')
    expect(await move(mover, undefined, 1)).toMatchObject({ moved: 1 })
    expect(await move()).toMatchObject({ moved: 0, wait_ms: 0 })
    await mover.query('commit')
  })
  expect(await move()).toMatchObject({ moved: 2 })
  expect(await bodies()).toEqual([1, 2, 3])
})

test('a mover that is killed before its commit has moved nothing, and the next one moves everything', async () => {
  await db.transaction((tx) => later(tx, 'a', 1))
  await timePasses()
  await using doomed = connect(db.url)
  await doomed
    .transaction(async (tx) => {
      expect(await move(tx)).toMatchObject({ moved: 1 })
      const { rows } = await tx.query<{ pid: number }>('select pg_backend_pid() as pid')
      await db.query('select pg_terminate_backend($1::int)', [rows[0]?.pid])
      await tx.query('select 1 as one')
    })
    .catch(() => undefined)
  expect(await bodies()).toEqual([])
  expect(await move()).toMatchObject({ moved: 1 })
  expect(await bodies()).toEqual([1])
})

test('the mark moves on, and passes over nothing: neither what is not committed nor what somebody holds', async () => {
  const settledAt = async () => Date.parse((await move()).settled)
  expect(await settledAt()).toBeGreaterThan(Date.now() - 5000)
  await db.session(async (late) => {
    await late.query('begin')
    await later(late, 'a', 1)
    expect((await move()).settled).toBe('-infinity')
    await late.query('commit')
  })
  expect(await settledAt()).toBeGreaterThan(Date.now() - 5000)
  await timePasses()
  await db.session(async (holder) => {
    await holder.query('begin')
    await holder.query('select 1 as one from comity.scheduled for update')
    const { moved, settled } = await move()
    expect([moved, Date.parse(settled) < Date.now() - 86_400_000]).toEqual([0, true])
    await holder.query('rollback')
    expect(await move(db, settled)).toMatchObject({ moved: 1 })
  })
})

describe('is refused, and nothing is stored:', () => {
  const jane = { id: 'c1', agencyId: 'a1', email: 'jane@example.com' }
  test.each<[string, Publisher<never>, unknown, PublishOptions, string]>([
    ['a state of an entity', new Publisher(Customer) as never, jane, { notBefore: inAnHour() }, 'COMITY_ENTITY_FOR_LATER'],
    [
      'a state of an entity, though its time has come',
      new Publisher(Customer) as never,
      jane,
      { notBefore: new Date(0) },
      'COMITY_ENTITY_FOR_LATER',
    ],
    ['an invalid Date', notes as never, { id: 'a', body: 1 }, { notBefore: new Date(Number.NaN) }, 'COMITY_BAD_OPTION'],
    ['a time without a zone', notes as never, { id: 'a', body: 1 }, { notBefore: '2027-01-01T00:00:00' }, 'COMITY_BAD_OPTION'],
    ['a day that is none', notes as never, { id: 'a', body: 1 }, { notBefore: '2027-02-29T00:00:00Z' }, 'COMITY_BAD_OPTION'],
    ['a number', notes as never, { id: 'a', body: 1 }, { notBefore: 1_800_000_000_000 as never }, 'COMITY_BAD_OPTION'],
    [
      'more than ten years ahead',
      notes as never,
      { id: 'a', body: 1 },
      { notBefore: new Date(Date.now() + 3_660 * 86_400_000) },
      'COMITY_PUBLISH_REFUSED',
    ],
    ['data that does not fit', counts as never, { id: 1, shop: 1, n: 'x' }, { notBefore: inAnHour() }, 'COMITY_INVALID_DATA'],
    ['the deletion of an event', notes as never, { id: 'a', body: 1 }, { notBefore: inAnHour(), deleted: true }, 'COMITY_PUBLISH_REFUSED'],
  ])('%s', async (_title, publisher, data, options, code) => {
    for (const publish of [
      () => db.transaction((tx) => publisher.publish(tx, data as never, options)),
      () => db.transaction((tx) => publisher.publishMany(tx, [data as never], options)),
    ]) {
      await expect(publish()).rejects.toMatchObject({ code, remedy: expect.stringMatching(/\w{3}/) })
    }
    expect([await db.outbox(), await waiting()]).toEqual([[], []])
  })

  test.each([
    `'crm.customer', '{"id":"a","agencyId":"a","email":"x"}', not_before => now() + interval '1 day'`,
    `'crm.noted', '{"id":"a","body":1}', not_before => 'infinity'`,
    `'crm.noted', '{"id":"a","body":1}', not_before => '-infinity'`,
    `'crm.noted', '{"id":"a","body":1}', not_before => now() + interval '10 years 1 day'`,
  ])('by SQL %s', async (args) => {
    await expect(db.query(`select comity.publish(${args})::text as version`)).rejects.toMatchObject({ code: 'CM010', hint: /./ })
    expect([await db.outbox(), await waiting()]).toEqual([[], []])
  })

  test.each([
    `'crm.unknown', '{}'`,
    `'crm.noted', null`,
    `'crm.noted', '[1]'`,
    `'crm.noted', '{'`,
    `'crm.noted', '{"id":""}'`,
    `'crm.noted', '{"id":"a"}'`,
    `'crm.noted', '{"id":"a","body":1}', kind => 'deleted'`,
    `'crm.noted', '{"id":"a","body":1}', headers => '{"A":"b"}'`,
    `'crm.counted', '{"id":1,"n":1}'`,
  ])('for later by SQL, as at once: %s', async (args) => {
    const refused = (text: string) =>
      db.query(text).then(
        () => 'was accepted',
        ({ code, message, hint }) => ({ code, message, hint }),
      )
    const atOnce = await refused(`select comity.publish(${args})::text as version`)
    expect(atOnce).toMatchObject({ code: expect.stringMatching(/^CM/) })
    expect(await refused(`select comity.publish(${args}, not_before => now() + interval '1 day')::text as version`)).toEqual(atOnce)
  })
})

test('by SQL, alone, its key and tenant are those of the data', async () => {
  const { rows } = await db.query(
    `select comity.publish('crm.counted', '{"id": 7, "shop": 3, "n": 1}', not_before => now() + interval '1 day')::text as version`,
  )
  expect(rows).toEqual([{ version: '0' }])
  expect((await db.query('select key, tenant from comity.scheduled')).rows).toEqual([{ key: '7', tenant: '3' }])
  expect((await db.query(`select comity.cancel_scheduled('crm.counted', '7') as gone`)).rows).toEqual([{ gone: 1 }])
  await db.query(`select comity.publish('crm.noted', '{"id":"a","body":1}', not_before => null)::text as version`)
  expect(await bodies()).toEqual([1])
})

test('a time is accepted exactly if Postgres reads the same point in time', async () => {
  const two = (most: number) => fc.integer({ min: 0, max: most }).map((n) => String(n).padStart(2, '0'))
  const zone = fc.oneof(
    fc.constantFrom('Z', 'z', '', 'X'),
    fc.tuple(fc.constantFrom('+', '-'), two(25), two(61)).map(([sign, h, m]) => `${sign}${h}:${m}`),
  )
  const time = fc
    .tuple(
      fc.integer({ min: 0, max: 9999 }).map((n) => String(n).padStart(4, '0')),
      two(13),
      two(32),
      two(24),
      two(60),
      two(60),
      fc.constantFrom('', '.5', '.123456', '.1234567', '.'),
      zone,
    )
    .map(([y, mo, d, h, mi, s, f, z]) => `${y}-${mo}-${d}T${h}:${mi}:${s}${f}${z}`)
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        time,
        fc.string(),
        fc.date().map((date) => (Number.isNaN(date.getTime()) ? '' : date.toISOString())),
      ),
      async (text) => {
        const outcome = await db
          .transaction((tx) => later(tx, 'a', 1, text))
          .then(
            () => 'accepted',
            (error: { code: string }) => error.code,
          )
        expect(['accepted', 'COMITY_BAD_OPTION', 'COMITY_PUBLISH_REFUSED']).toContain(outcome)
        if (outcome === 'COMITY_BAD_OPTION') return
        const { rows } = await db.query<{ ms: string }>('select floor(extract(epoch from $1::text::timestamptz) * 1000)::text as ms', [
          text,
        ])
        expect(Math.abs(Number(rows[0]?.ms) - Date.parse(text))).toBeLessThanOrEqual(1)
      },
    ),
    { numRuns: 150 },
  )
})

test('two movers, many writers, cancels and dying connections: each event once, in order, or cancelled', async () => {
  const keys = ['a', 'b', 'c', 'd']
  const scheduled = new Map<string, string[]>(keys.map((key) => [key, []]))
  const cancelled = new Map<string, number>(keys.map((key) => [key, 0]))
  let writing = true
  const writers = keys.map(async (key, k) => {
    for (let n = 0; n < 60; n++) {
      await db.transaction((tx) => later(tx, key, `${key}${n}`, new Date(Date.now() + ((n * 7 + k) % 5) * 8)))
      scheduled.get(key)?.push(`${key}${n}`)
      if (n % 9 === 4) {
        const gone = await db.transaction((tx) => notes.cancelScheduled(tx, key))
        cancelled.set(key, (cancelled.get(key) as number) + gone)
      }
    }
  })
  const movers = [1, 2].map(async () => {
    while (writing) {
      await using database = connect(db.url)
      await database.query(`set application_name = 'mover'`).catch(() => undefined)
      for (let turn = 0; writing && turn < 10; turn++) {
        await database
          .transaction(async (tx) => {
            await move(tx, undefined, 3)
            if (turn % 4 === 3) await tx.query('select pg_terminate_backend(pg_backend_pid())')
          })
          .catch(() => undefined)
      }
    }
  })
  await Promise.all(writers)
  writing = false
  await Promise.all(movers)
  await timePasses()
  while ((await move()).moved > 0);
  const sent = (await bodies()) as string[]
  expect(new Set(sent).size).toBe(sent.length)
  for (const key of keys) {
    const mine = sent.filter((body) => body.startsWith(key))
    expect(mine.length + (cancelled.get(key) as number)).toBe(scheduled.get(key)?.length)
  }
  expect([...cancelled.values()].reduce((sum, n) => sum + n, 0)).toBeGreaterThan(0)
})

/** Resolves when a transaction of this database waits for another one. */
async function somebodyWaits(): Promise<void> {
  for (;;) {
    const { rows } = await db.query<{ waits: boolean }>(
      `select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock') as waits`,
    )
    if (rows[0]?.waits) return
  }
}
