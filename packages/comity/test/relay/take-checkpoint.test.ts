import { event } from '@comity/contract'
import { team } from 'comity'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { until } from '../../../../test/chaos/until.ts'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'

const Ordered = event('shop.ordered', { key: 'id', data: z.object({ id: z.string() }) })

test('a leader takes the checkpoint with its term before it has anything to write: one that lost its lease moves it no more', async () => {
  const { url } = await freshDatabase({ migrated: true })
  /** @param former term that a leader before it has left there */
  const taken = async (former: number): Promise<number> => {
    await using shop = await testTeam(team('shop', { lease: '1s' }).publishes(Ordered), { bus: testBus(), url })
    await until('it leads', async () => (await shop.team.status()).outbox.relay !== null)
    const read = async () => (await shop.db.query<{ term: number }>('select term::int from comity.checkpoint')).rows[0]?.term ?? 0
    return await until('it has taken it', async () => ((await read()) > former ? read() : undefined))
  }
  const first = await taken(0)
  // Until then nothing was published, and nothing will be.
  expect(await taken(first)).toBeGreaterThan(first)
})
