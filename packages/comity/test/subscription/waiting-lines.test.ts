import { event, messageId, sourceOf, toAttributes } from '@comity/contract'
import { NotYetError, PermanentError, team } from 'comity'
import { type TestBus, testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import { sqlStateOf } from '../../src/postgres/index.ts'

const Sent = event('marketing.sent', { key: 'customer', data: z.object({ customer: z.string(), n: z.int() }) })

let version = 1000
/** A message as Marketing's relay would send it. */
function message(customer: string, n: number, overrides: { id?: string; source?: string; data?: string; time?: string } = {}) {
  const id = overrides.id ?? messageId('marketing', ++version)
  return {
    id,
    key: customer,
    attributes: toAttributes({
      id,
      source: overrides.source ?? sourceOf('marketing'),
      type: 'marketing.sent',
      subject: customer,
      time: overrides.time ?? new Date().toISOString(),
      version: ++version,
      kind: 'event',
    }),
    data: overrides.data ?? JSON.stringify({ customer, n }),
  }
}
const send = (bus: TestBus, ...messages: ReturnType<typeof message>[]) => bus.memory.connect().send('marketing.sent', messages)

type Sql = { query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }> }

async function crm(bus: TestBus, decide: (n: number, attempt: number, sql: Sql) => unknown, attempts = 2) {
  return testTeam(
    team('crm').on(
      Sent,
      async ({ data }, { tx, attempt }) => {
        const sql = tx as Sql
        await decide(data.n, attempt, sql)
        await sql.query('insert into effects (customer, n) values ($1, $2)', [data.customer, data.n])
      },
      { attempts },
    ),
    {
      bus,
      url: (await freshDatabase({ migrated: true })).url,
      setup: (db) => db.query('create table effects (seq bigserial, customer text, n int)'),
    },
  )
}
const effects = async (db: Sql, customer?: string) =>
  (await db.query('select n from effects where $1::text is null or customer = $1::text order by seq', [customer ?? null])).rows.map(
    (row) => row.n,
  )

test('a permanent failure stops its own key, in order, and nobody else; a retry runs the line in order', async () => {
  const bus = testBus()
  let broken = true
  await using team = await crm(bus, (n) => {
    if (broken && n === 2) throw new PermanentError('cannot ever work')
  })
  await send(bus, message('a', 1), message('a', 2), message('b', 10), message('a', 3), message('b', 11), message('a', 4))
  expect(await team.caughtUp()).toEqual({ waiting: 3 })
  expect(await effects(team.db, 'a')).toEqual([1])
  expect(await effects(team.db, 'b')).toEqual([10, 11])
  await send(bus, message('a', 5))
  expect(await team.caughtUp()).toEqual({ waiting: 4 })

  expect(await team.team.retry('crm.marketing-sent', 'a')).toMatchObject({ ran: 0, error: { code: 'COMITY_PERMANENT' } })
  broken = false
  expect(await team.team.retry('crm.marketing-sent', 'a')).toEqual({ ran: 4, stale: 0 })
  expect(await effects(team.db, 'a')).toEqual([1, 2, 3, 4, 5])
  await send(bus, message('a', 6))
  expect(await team.caughtUp()).toEqual({ waiting: 0 })
  expect(await effects(team.db, 'a')).toEqual([1, 2, 3, 4, 5, 6])
})

test('a line of any length runs in the order in which it was joined, and all of it', async () => {
  const bus = testBus()
  let broken = true
  await using team = await crm(bus, (n) => {
    if (broken && n === 1) throw new PermanentError('not now')
  })
  const all = Array.from({ length: 120 }, (_, i) => i + 1)
  await send(bus, ...all.map((n) => message('a', n)))
  expect(await team.caughtUp()).toEqual({ waiting: 120 })
  broken = false
  expect(await team.team.retry('crm.marketing-sent', 'a')).toEqual({ ran: 120, stale: 0 })
  expect(await effects(team.db, 'a')).toEqual(all)
})

test('a line that is empty is over: what waits later is counted alone', async () => {
  const bus = testBus()
  const broken = new Set([1])
  await using team = await crm(bus, (n) => {
    if (broken.has(n)) throw new PermanentError('not now')
  })
  await send(bus, message('a', 1), message('a', 2))
  expect(await team.caughtUp()).toEqual({ waiting: 2 })
  broken.clear()
  expect(await team.team.retry('crm.marketing-sent', 'a')).toEqual({ ran: 2, stale: 0 })
  broken.add(3)
  await send(bus, message('a', 3))
  expect(await team.caughtUp()).toEqual({ waiting: 1 })
  const { subscriptions } = await team.team.status()
  expect(subscriptions[0]).toMatchObject({ waiting: 1, waitingKeys: 1, ended: { applied: 2, waiting: 1 } })
  broken.clear()
  expect(await team.team.retry('crm.marketing-sent', 'a')).toEqual({ ran: 1, stale: 0 })
  expect(await effects(team.db, 'a')).toEqual([1, 2, 3])
})

test('a transient failure is retried in place; its followers wait behind it, the lane does not', async () => {
  const bus = testBus()
  let release: () => void = () => undefined
  const other = new Promise<void>((resolve) => {
    release = resolve
  })
  await using team = await crm(
    bus,
    async (n, attempt) => {
      if (n === 1 && attempt === 1) throw new RangeError('not this time')
      // The second attempt of 1 only comes to its end when a message of another key of any lane has been handled.
      if (n === 1) await other
      if (n === 99) release()
    },
    5,
  )
  await send(bus, message('a', 1), message('a', 2), message('a', 3))
  await send(bus, message('zz', 99))
  expect(await team.caughtUp()).toEqual({ waiting: 0 })
  expect(await effects(team.db, 'a')).toEqual([1, 2, 3])
})

test('the same message many times has its effect once', async () => {
  const bus = testBus()
  await using team = await crm(bus, () => undefined)
  const one = message('a', 1)
  const two = message('a', 2)
  await send(bus, one, two, one, one, two)
  await send(bus, one, two)
  await team.caughtUp()
  expect(await effects(team.db)).toEqual([1, 2])
  const { subscriptions } = await team.team.status()
  expect(subscriptions[0]?.ended).toMatchObject({ applied: 2, duplicate: 5 })
})

test('a message that comes again after its effect does not join the line that its key has by then', async () => {
  const bus = testBus()
  await using team = await crm(bus, (n) => {
    if (n === 2) throw new PermanentError('not now')
  })
  const first = message('a', 1)
  await send(bus, first, message('a', 2))
  expect(await team.caughtUp()).toEqual({ waiting: 1 })
  await send(bus, first, message('a', 3))
  expect(await team.caughtUp()).toEqual({ waiting: 2 })
  const { subscriptions } = await team.team.status()
  expect(subscriptions[0]?.ended).toMatchObject({ applied: 1, duplicate: 1, waiting: 2 })
})

test('an error that the handler caught is not taken for success: nothing is acknowledged without its commit', async () => {
  const bus = testBus()
  await using team = await crm(bus, async (n, _attempt, sql) => {
    if (n === 1) await sql.query('select 1 / 0').catch(() => undefined)
  })
  await send(bus, message('a', 1), message('b', 2))
  expect(await team.caughtUp()).toEqual({ waiting: 1 })
  expect(await effects(team.db)).toEqual([2])
})

test('a handler that ends the transaction itself is refused', async () => {
  const bus = testBus()
  await using team = await crm(bus, async (n, _attempt, sql) => {
    if (n === 1) await sql.query('commit')
  })
  await send(bus, message('a', 1))
  expect(await team.caughtUp()).toEqual({ waiting: 1 })
  expect(await effects(team.db)).toEqual([])
})

test('what can not be read, is forged, is invalid or too far from now waits with its reason, and its key with it', async () => {
  const bus = testBus()
  await using team = await crm(bus, () => undefined)
  const unreadable = { ...message('u', 1), attributes: { 'ce-id': 'x' } }
  await send(
    bus,
    unreadable,
    message('f', 1, { source: '/teams/sales' }),
    message('i', 1, { data: '{"customer":"i","n":"one"}' }),
    message('j', 1, { data: '{"customer":' }),
    message('t', 1, { time: new Date(Date.now() + 30 * 86_400_000).toISOString() }),
    message('ok', 7),
  )
  expect(await team.caughtUp()).toEqual({ waiting: 5 })
  expect(await effects(team.db)).toEqual([7])
  const { rows } = await team.db.query('select key, error_code from comity.waiting order by key')
  expect(rows).toEqual([
    { key: 'f', error_code: 'COMITY_FORGED_MESSAGE' },
    { key: 'i', error_code: 'COMITY_INVALID_MESSAGE' },
    { key: 'j', error_code: 'COMITY_INVALID_MESSAGE' },
    { key: 't', error_code: 'COMITY_TOO_OLD_TO_PROVE' },
    { key: 'u', error_code: 'COMITY_UNREADABLE_MESSAGE' },
  ])
})

test('what is not there yet waits under that name', async () => {
  const bus = testBus()
  await using team = await crm(bus, () => {
    throw new NotYetError('the customer has not arrived')
  })
  await send(bus, message('a', 1))
  expect(await team.caughtUp()).toEqual({ waiting: 1 })
  expect((await team.db.query('select reason from comity.waiting_keys')).rows).toEqual([{ reason: 'not-yet' }])
})

/** Both give way to who is at work in the table, and are tried again, as maintenance does. */
async function patiently(work: () => Promise<unknown>): Promise<void> {
  const done = (): Promise<boolean> =>
    work().then(
      () => true,
      (error: unknown) => {
        if (sqlStateOf(error) === '55P03') return false
        throw error
      },
    )
  await expect.poll(done).toBe(true)
}

test('a message older than the oldest leaf of the inbox is parked, never run blindly', async () => {
  const bus = testBus()
  await using team = await crm(bus, () => undefined)
  // As after retention: the leaf that vouched for old times is gone.
  await patiently(() => team.db.query(`select comity.cut_tail('inbox', (date_trunc('day', now(), 'UTC') + interval '9 days')::text)`))
  await patiently(() => team.db.query(`select comity.drop_leaf('inbox_first')`))
  await send(bus, message('a', 1))
  expect(await team.caughtUp()).toEqual({ waiting: 1 })
  expect(await effects(team.db)).toEqual([])
})

test('a line that waited for something not yet there runs by itself when it is', async () => {
  const bus = testBus()
  let there = false
  await using team = await crm(
    bus,
    (n) => {
      if (!there && n === 1) throw new NotYetError('the customer has not arrived')
    },
    1,
  )
  await send(bus, message('a', 1), message('a', 2))
  expect(await team.caughtUp()).toEqual({ waiting: 2 })
  there = true
  await expect.poll(() => team.caughtUp(), { timeout: 60_000 }).toEqual({ waiting: 0 })
  expect(await effects(team.db, 'a')).toEqual([1, 2])
})

test('what waits for something takes turns: lines that never succeed keep none that could from running', async () => {
  const bus = testBus()
  const hopeless = 120
  await using team = await crm(
    bus,
    (n, attempt) => {
      if (n < hopeless || attempt === 1) throw new NotYetError('it has not arrived')
    },
    1,
  )
  await send(bus, ...Array.from({ length: hopeless }, (_, n) => message(`hopeless ${n}`, n)))
  await team.caughtUp()
  await send(bus, message('late', hopeless))
  await expect.poll(() => effects(team.db, 'late'), { timeout: 60_000 }).toEqual([hopeless])
})

test('one transient failure in a line that runs by itself does not park it', async () => {
  const bus = testBus()
  let arrived = false
  let failed = false
  await using team = await crm(bus, (n) => {
    if (n === 1 && !arrived) throw new NotYetError('it has not arrived')
    if (n === 2 && !failed) {
      failed = true
      throw new RangeError('this once')
    }
  })
  await send(bus, message('a', 1), message('a', 2), message('a', 3))
  expect(await team.caughtUp()).toEqual({ waiting: 3 })
  arrived = true
  await expect.poll(() => effects(team.db, 'a'), { timeout: 60_000 }).toEqual([1, 2, 3])
})
