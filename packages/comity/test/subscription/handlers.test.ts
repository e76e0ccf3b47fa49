/** What one subscription may do to the rest of its process, and what counts as a handler's own failure. */
import { event } from '@comity/contract'
import { team } from 'comity'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import { connect } from '../../src/postgres/index.ts'

const data = z.object({ id: z.string() })
const Slow = event('shop.slow', { key: 'id', data })
const Quick = event('shop.quick', { key: 'id', data })
const ids = Array.from({ length: 40 }, (_, n) => `k${n}`)

test('slow handlers hold up neither the relay of their process nor its other subscriptions', async () => {
  const bus = testBus()
  await using shop = await testTeam(team('shop').publishes(Slow).publishes(Quick), {
    bus,
    url: (await freshDatabase({ migrated: true })).url,
  })
  const quick: string[] = []
  let release: () => void = () => undefined
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  let held_by = 0
  const Answered = event('mail.answered', { key: 'id', data })
  await using mail = await testTeam(
    team('mail')
      .publishes(Answered)
      .on(Slow, async () => {
        held_by++
        await held
      })
      .on(Quick, ({ key }) => {
        quick.push(key)
      }),
    { bus, url: (await freshDatabase({ migrated: true })).url },
  )
  const publish = (contract: typeof Slow | typeof Quick, some: readonly string[]) =>
    connect(shop.url).transaction((tx) =>
      shop.team.publishMany(
        tx,
        contract,
        some.map((id) => ({ id })),
      ),
    )
  await publish(Slow, ids)
  await shop.team.drained()
  await expect.poll(() => held_by).toBeGreaterThanOrEqual(2)
  // All the while the slow ones hold their connections:
  await publish(Quick, ids)
  await expect.poll(() => quick.length, { timeout: 60_000 }).toBe(ids.length)
  await mail.db.transaction((tx) => mail.team.publish(tx, Answered, { id: 'x' }))
  await mail.team.drained()
  expect((await mail.team.status()).outbox).toMatchObject({ pending: 0, relay: { term: 1 } })
  release()
  expect(await mail.caughtUp()).toEqual({ waiting: 0 })
})

test('a stop waits for the message that runs, not for those behind it', async () => {
  const bus = testBus()
  await using shop = await testTeam(team('shop').publishes(Slow), { bus, url: (await freshDatabase({ migrated: true })).url })
  let begun = 0
  const mail = await testTeam(
    team('mail').on(Slow, async () => {
      begun++
      await new Promise((resolve) => setTimeout(resolve, 100))
    }),
    { bus, url: (await freshDatabase({ migrated: true })).url },
  )
  await shop.db.transaction((tx) =>
    shop.team.publishMany(
      tx,
      Slow,
      Array.from({ length: 200 }, (_, n) => ({ id: `k${n % 3} ${n}` })),
    ),
  )
  await expect.poll(() => begun).toBeGreaterThan(0)
  const before = begun
  await mail.team.stop()
  expect(begun - before).toBeLessThanOrEqual(6)
  await mail[Symbol.asyncDispose]()
})

test('a lost connection to the database is nobody’s attempt; one of the handler’s own is', async () => {
  const bus = testBus()
  await using shop = await testTeam(team('shop').publishes(Slow).publishes(Quick), {
    bus,
    url: (await freshDatabase({ migrated: true })).url,
  })
  const { url } = await freshDatabase({ migrated: true })
  const admin = connect(url)
  let killed = 0
  await using mail = await testTeam(
    team('mail')
      .on(
        Slow,
        async (_, { tx }) => {
          const { rows } = await tx.query<{ pid: number }>('select pg_backend_pid() as pid')
          if (killed < 8) {
            killed++
            await admin.query('select pg_terminate_backend($1::int, 5000)', [rows[0]?.pid])
          }
          await tx.query('insert into done values (1)')
        },
        { attempts: 2 },
      )
      .on(
        Quick,
        async () => {
          await connect('postgres://postgres@127.0.0.1:1/nowhere', { connectionTimeout: '1s' }).query('select 1')
        },
        { attempts: 2 },
      ),
    { bus, url, setup: (db) => db.query('create table done (n int)') },
  )
  await shop.db.transaction((tx) => shop.team.publish(tx, Slow, { id: 'a' }))
  await shop.db.transaction((tx) => shop.team.publish(tx, Quick, { id: 'b' }))
  expect(await mail.caughtUp()).toEqual({ waiting: 1 })
  expect(killed).toBe(8)
  expect((await mail.db.query('select n from done')).rows).toHaveLength(1)
  const { rows } = await mail.db.query('select subscription, attempts, error_code from comity.waiting')
  expect(rows).toEqual([{ subscription: 'mail.shop-quick', attempts: 2, error_code: 'COMITY_HANDLER_LOST_CONNECTION' }])
  await admin.close()
})
