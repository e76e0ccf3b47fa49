import { PermanentError } from 'comity'
import { estimateLines, listOperations } from 'comity/admin'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { until } from '../../../../test/chaos/until.ts'
import { crm, effects, message, SENT, type Sql, send } from '../subscription/sent-messages.ts'
import { act, done } from './act.ts'

const estimate = (db: unknown, selection = {}) => estimateLines(db as never, selection)
const reason = async (db: Sql) =>
  (await db.query('select key, reason, failures, error_code, fingerprint from comity.waiting_keys order by key')).rows

test('a retry of a group runs its lines in order, and leaves the other groups', async () => {
  const bus = testBus()
  let broken = true
  await using team = await crm(bus, ({ n }) => {
    if (broken && n === 1) throw new TypeError('no such field')
    if (n === 100) throw new PermanentError('never')
  })
  await send(bus, message('a', 1), message('a', 2), message('b', 1), message('b', 3), message('c', 100), message('d', 5))
  await team.caughtUp()
  const lines = await reason(team.db)
  expect(lines).toMatchObject([
    { key: 'a', reason: 'parked', failures: 1, error_code: 'TypeError' },
    { key: 'b', error_code: 'TypeError' },
    { key: 'c', error_code: 'COMITY_PERMANENT' },
  ])
  expect(lines[0]?.fingerprint).toBe(lines[1]?.fingerprint)
  expect(await estimate(team.db, { fingerprint: lines[0]?.fingerprint })).toEqual({ lines: 2, messages: 4 })

  broken = false
  const job = await done(team.team as never, 'retry', { fingerprint: lines[0]?.fingerprint })
  expect(job).toMatchObject({ state: 'done', lines: 2, messages: 4, done: 2, failed: 0, endedMessages: 4 })
  expect(await effects(team.db, 'a')).toEqual([1, 2])
  expect(await effects(team.db, 'b')).toEqual([1, 3])
  expect(await estimate(team.db)).toEqual({ lines: 1, messages: 1 })
  expect((await listOperations(team.team.environment as never))[0]).toMatchObject({ kind: 'retry', author: 'ada', reason: 'a test' })
})

test('a staged retry of what is still broken stops after its first stage; of what is mended it goes on to the end', async () => {
  const bus = testBus()
  let broken = true
  const decide = () => {
    if (broken) throw new PermanentError('a bad deploy')
  }
  await using team = await crm(bus, decide, { breaker: false })
  await send(bus, ...Array.from({ length: 130 }, (_, i) => message(`k${i}`, i)))
  await team.caughtUp()
  const stopped = await done(team.team as never, 'retry', { subscription: SENT, staged: true })
  expect(stopped).toMatchObject({ state: 'stopped', done: 1, failed: 1, outcome: expect.stringContaining('1 of 1 lines of stage 1') })
  broken = false
  const ended = await done(team.team as never, 'retry', { subscription: SENT, staged: true })
  expect(ended).toMatchObject({ state: 'done', stage: 3, done: 130, failed: 0, endedMessages: 130 })
  expect((await effects(team.db)).length).toBe(130)
})

test('a job tries each line once: what fails again is left to the next', async () => {
  const bus = testBus()
  await using team = await crm(bus, () => {
    throw new PermanentError('never')
  })
  await send(bus, ...Array.from({ length: 3 }, (_, i) => message(`k${i}`, i)))
  await team.caughtUp()
  expect(await done(team.team as never, 'retry', { stopAbove: 1 })).toMatchObject({ state: 'done', done: 3, failed: 3, endedMessages: 0 })
})

test('skip ends the head by name and runs the rest; discard ends the line; both are recorded', async () => {
  const bus = testBus()
  await using team = await crm(bus, ({ n }) => {
    if (n === 1) throw new PermanentError('never')
  })
  const all = [message('a', 1), message('a', 2), message('b', 1), message('b', 2), message('b', 3)]
  await send(bus, ...all)
  await team.caughtUp()
  expect(await done(team.team as never, 'skip', { key: 'a' })).toMatchObject({ state: 'done', done: 1, endedMessages: 2 })
  expect(await effects(team.db, 'a')).toEqual([2])
  expect(await done(team.team as never, 'discard', { key: 'b' })).toMatchObject({ state: 'done', endedMessages: 3 })
  expect(await effects(team.db, 'b')).toEqual([])
  const { rows } = await team.db.query('select key, author, reason from comity.discarded order by key')
  expect(rows).toEqual([{ key: 'a', author: 'ada', reason: 'a test' }, ...Array(3).fill({ key: 'b', author: 'ada', reason: 'a test' })])
  // The key is free again, and every delivered message has ended in exactly one way, also when it comes again.
  await send(bus, message('b', 4), ...all)
  expect(await team.caughtUp()).toEqual({ waiting: 0 })
  expect(await effects(team.db, 'b')).toEqual([4])
  const { subscriptions } = await team.team.status()
  expect(subscriptions[0]).toMatchObject({ ended: { applied: 2, duplicate: 5, waiting: 0, discarded: 4 }, waiting: 0 })
})

test('a purge takes what waits for any reason, and only with its count', async () => {
  const bus = testBus()
  await using team = await crm(bus, ({ n }) => {
    if (n === 1) throw new PermanentError('never')
  })
  await send(bus, message('a', 1), message('a', 2), message('b', 1))
  await team.caughtUp()
  await expect(act(team.team as never, 'purge', { subscription: SENT, messages: 2 })).rejects.toMatchObject({
    code: 'COMITY_COUNT_DIFFERS',
  })
  expect(await done(team.team as never, 'purge', { subscription: SENT, messages: 3 })).toMatchObject({ state: 'done', endedMessages: 3 })
  expect(await estimate(team.db)).toEqual({ lines: 0, messages: 0 })
})

test('an edited message is run in the place of the original, which is kept and never runs', async () => {
  const bus = testBus()
  await using team = await crm(bus, ({ n }) => {
    if (n < 0) throw new PermanentError('negative')
  })
  const wrong = message('a', -1)
  await send(bus, wrong, message('a', 2))
  await team.caughtUp()
  const edit = { subscription: SENT, key: 'a', message: wrong.id }
  const data = { customer: 'a', agency: 'a1', n: 1 }
  await expect(act(team.team as never, 'edit-message', { ...edit, data: { n: 'one' } })).rejects.toMatchObject({
    code: 'COMITY_EDITED_DATA_DIFFERS',
  })
  await expect(act(team.team as never, 'edit-message', { ...edit, message: 'other', data })).rejects.toMatchObject({
    code: 'COMITY_NOT_THE_HEAD',
  })
  expect(await act(team.team as never, 'edit-message', { ...edit, data })).toEqual({ message: `${wrong.id}~1`, insteadOf: wrong.id })
  await send(bus, wrong)
  await team.caughtUp()
  expect(await done(team.team as never, 'retry', { key: 'a' })).toMatchObject({ failed: 0, endedMessages: 2 })
  await send(bus, wrong)
  await team.caughtUp()
  expect(await effects(team.db)).toEqual([1, 2])
  const { rows } = await team.db.query('select message, replaced_by, author from comity.edited')
  expect(rows).toEqual([{ message: wrong.id, replaced_by: `${wrong.id}~1`, author: 'ada' }])
})

test('a job that is cancelled ends after what is under way, and another process goes on with one whose process died', async () => {
  const bus = testBus()
  let broken = true
  await using team = await crm(bus, () => {
    if (broken) throw new PermanentError('not now')
  })
  await send(bus, ...Array.from({ length: 40 }, (_, i) => message(`k${i}`, i)))
  await team.caughtUp()
  broken = false
  const { job } = await act<{ job: string }>(team.team as never, 'retry', { rate: 5 })
  await until('it has begun', async () => (await effects(team.db)).length > 0)
  await act(team.team as never, 'cancel-job', { job })
  const state = async () => (await team.db.query<{ state: string }>('select state from comity.jobs where id = $1', [job])).rows[0]?.state
  await until('it is cancelled', async () => (await state()) === 'cancelled')
  expect((await effects(team.db)).length).toBeLessThan(40)
  await expect(act(team.team as never, 'cancel-job', { job })).rejects.toMatchObject({ code: 'COMITY_JOB_ENDED' })

  // As a process leaves one behind that was killed in the middle.
  await team.db.query(
    `insert into comity.jobs (id, kind, selection, author, reason, lines, messages, stop_above, state, holder, held_until, started_at)
     values ('left', 'retry', '{}', 'ada', 'a test', 30, 30, 1, 'running', 'dead', clock_timestamp() - interval '1 second', clock_timestamp())`,
  )
  await until('the rest has run', async () => (await effects(team.db)).length === 40)
})
