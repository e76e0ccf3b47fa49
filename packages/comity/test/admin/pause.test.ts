import { PermanentError } from 'comity'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { until } from '../../../../test/chaos/until.ts'
import { crm, effects, message, SENT, type Sql, send } from '../subscription/sent-messages.ts'
import { act } from './act.ts'

const count = async (db: Sql) => (await effects(db)).length
const waiting = async (db: Sql) =>
  (await db.query('select reason, count(*)::int as keys from comity.waiting_keys group by reason order by reason')).rows

test('a paused subscription keeps its position and its backlog, and goes on in order', async () => {
  const bus = testBus()
  await using team = await crm(bus, () => undefined)
  await send(bus, message('a', 1))
  await team.caughtUp()
  await act(team.team as never, 'pause', { subscription: SENT })
  await send(bus, ...[2, 3, 4].map((n) => message('a', n)))
  await until('it has seen the pause', async () => (await team.team.status()).subscriptions[0]?.lag === 3)
  await expect(team.team.retry(SENT, 'a')).rejects.toMatchObject({ code: 'COMITY_NOTHING_WAITS' })
  expect(await effects(team.db)).toEqual([1])
  expect(await act(team.team as never, 'resume', { subscription: SENT })).toMatchObject({ pausedBy: 'operator' })
  await team.caughtUp()
  expect(await effects(team.db)).toEqual([1, 2, 3, 4])
  await expect(act(team.team as never, 'resume', { subscription: SENT })).rejects.toMatchObject({ code: 'COMITY_NOTHING_PAUSED' })
  await expect(act(team.team as never, 'pause', { subscription: 'crm.marketing-sen' })).rejects.toThrow(/did you mean crm.marketing-sent/)
  await expect(act(team.team as never, 'pause', {})).rejects.toMatchObject({ code: 'COMITY_PAUSE_WITHOUT_TARGET' })
})

test('a paused tenant under load: not one more of its messages is handled, others are not affected, nothing is lost or reordered', async () => {
  const bus = testBus()
  const handled: { readonly agency: string; readonly at: number }[] = []
  await using team = await crm(bus, ({ agency }) => {
    handled.push({ agency, at: performance.now() })
  })
  let n = 0
  let go = true
  const writing = (async () => {
    while (go) {
      n++
      await send(bus, ...['x', 'y'].flatMap((agency) => [message(`${agency}1`, n, agency), message(`${agency}2`, n, agency)]))
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })()
  await until('both are handled', () => handled.length > 40)
  await act(team.team as never, 'pause', { tenant: 'x' })
  const paused = performance.now()
  await until('the other goes on', () => handled.filter(({ agency, at }) => agency === 'y' && at > paused + 2000).length > 10)
  // What had begun may end; nothing begins.
  expect(handled.filter(({ agency, at }) => agency === 'x' && at > paused + 2000)).toEqual([])
  go = false
  await writing
  await until('the rest stands in its lines', async () => (await team.team.status()).subscriptions[0]?.lag === 0)
  expect(await waiting(team.db)).toEqual([{ reason: 'paused', keys: 2 }])
  await expect(team.team.retry(SENT, 'x1')).rejects.toMatchObject({ code: 'COMITY_LINE_PAUSED' })
  await act(team.team as never, 'resume', { tenant: 'x' })
  await until('its lines have run', async () => (await waiting(team.db)).length === 0)
  const all = Array.from({ length: n }, (_, i) => i + 1)
  for (const customer of ['x1', 'x2', 'y1', 'y2']) expect(await effects(team.db, customer)).toEqual(all)
})

test('the breaker opens when too much fails, says why, tries by itself, and closes when it succeeds', async () => {
  const bus = testBus()
  let broken = true
  let tried: string[] = []
  await using team = await crm(
    bus,
    ({ n }) => {
      tried.push(`k${n}`)
      if (broken) throw new PermanentError('a bad deploy')
    },
    { breaker: { atLeast: 20 } },
  )
  const messages = Array.from({ length: 200 }, (_, i) => message(`k${i}`, i))
  await send(bus, ...messages.slice(0, 40))
  const pause = async () => (await team.db.query<{ by: string; reason: string }>('select by, reason from comity.pauses')).rows[0]
  expect(await until('it opens', pause)).toMatchObject({
    by: 'breaker',
    reason: expect.stringMatching(/of the last \d+ messages failed for good/),
  })
  await send(bus, ...messages.slice(40))
  // What was failing when the breaker opened is parked; a process says that it is paused when all of it has ended.
  await until('nothing is parked any more', async () => (await team.team.status()).subscriptions[0]?.processes[0]?.state === 'paused')
  const parked = (await waiting(team.db))[0] as { keys: number }
  // A try that fails parks nothing more.
  tried = []
  await team.db.query(`update comity.pauses set probe_at = clock_timestamp()`)
  await until('it has tried', async () => (await team.db.query('select probes from comity.pauses where probes > 0')).rows[0])
  await until('it has failed', () => tried.length >= 5)
  await until('what it tried has come back', async () => (await team.team.status()).subscriptions[0]?.lag === 200 - parked.keys)
  expect(await waiting(team.db)).toEqual([parked])
  broken = false
  await team.db.query(`update comity.pauses set probe_at = clock_timestamp()`)
  await until('it closes', async () => (await pause()) === undefined)
  await team.caughtUp()
  expect(await count(team.db)).toBe(200 - parked.keys)
})

test('the breaker closes although a poison message comes first in every try', async () => {
  const bus = testBus()
  let broken = true
  let poison: number | undefined
  await using team = await crm(
    bus,
    ({ n }) => {
      if (broken) throw new PermanentError('a bad deploy')
      poison ??= n
      if (n === poison) throw new PermanentError('poison')
    },
    { breaker: { atLeast: 20 } },
  )
  const messages = Array.from({ length: 80 }, (_, i) => message(`k${i}`, i))
  await send(bus, ...messages.slice(0, 40))
  const pause = async () => (await team.db.query('select by from comity.pauses')).rows[0]
  await until('it opens', pause)
  broken = false
  await send(bus, ...messages.slice(40))
  await team.db.query(`update comity.pauses set probe_at = clock_timestamp()`)
  await until('it closes', async () => (await pause()) === undefined, 20_000)
  await team.caughtUp()
  const [parked] = (await waiting(team.db)) as { keys: number }[]
  expect(parked?.keys).toBeGreaterThan(20)
  expect(await effects(team.db, `k${poison}`)).toEqual([])
  expect((await count(team.db)) + (parked?.keys ?? 0)).toBe(80)
})

test('the breaker of a subscription to which little comes closes after one success and a while without a failure', async () => {
  const bus = testBus()
  let broken = true
  await using team = await crm(
    bus,
    () => {
      if (broken) throw new PermanentError('a bad deploy')
    },
    { breaker: { atLeast: 20 } },
  )
  await send(bus, ...Array.from({ length: 20 }, (_, i) => message(`k${i}`, i)))
  const pause = async () => (await team.db.query('select by from comity.pauses')).rows[0]
  await until('it opens', pause)
  broken = false
  await send(bus, message('last', 1))
  await team.db.query(`update comity.pauses set probe_at = clock_timestamp()`)
  await until('it closes', async () => (await pause()) === undefined, 30_000)
  expect(await effects(team.db, 'last')).toEqual([1])
})

test('a few bad messages are no bad deploy', async () => {
  const bus = testBus()
  await using team = await crm(
    bus,
    ({ n }) => {
      if (n % 10 === 0) throw new PermanentError('poison')
    },
    { breaker: { atLeast: 20 } },
  )
  await send(bus, ...Array.from({ length: 200 }, (_, i) => message(`k${i}`, i)))
  await team.caughtUp()
  await new Promise((resolve) => setTimeout(resolve, 1500))
  expect((await team.db.query('select by from comity.pauses')).rows).toEqual([])
  expect(await count(team.db)).toBe(180)
})
