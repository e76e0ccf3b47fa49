import { event } from '@comity/contract'
import { team } from 'comity'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import { connect } from '../../src/postgres/index.ts'
import { gateOf } from '../../src/subscription/gate.ts'

const Ordered = event('shop.ordered', { key: 'id', data: z.object({ id: z.string() }) })

test('in a new life of the database nothing is consumed before its subscriptions were sent back', async () => {
  const { url } = await freshDatabase({ migrated: true })
  {
    await using _mail = await testTeam(
      team('mail').on(Ordered, () => undefined, { name: 'ordered' }),
      { bus: testBus(), url },
    )
  }
  await using before = connect(url)
  const question = { subscription: 'mail.ordered', generation: 1, keys: [], owners: [], versions: [], tenants: [], probing: false }
  const { rows } = await before.query<{ generation: number }>(`select generation from comity.subscriptions where name = 'mail.ordered'`)
  const asked = { ...question, generation: rows[0]?.generation ?? 0 }
  expect((await gateOf(before, asked)).open).toBe(true)

  // As the files of another life have it: this one has not begun.
  await before.query(`update comity.incarnations set identity = 'a life before', begun_at = null`)
  await using after = connect(url)
  expect((await gateOf(after, asked)).open).toBe(false)
  await after.query('select comity.begin_life()')
  await after.query('update comity.subscriptions set seek = null')
  expect((await gateOf(after, asked)).open).toBe(true)
})
