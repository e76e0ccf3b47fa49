/** A reader's database comes back as it was before a hand-over: it has heard of none, and lacks what the next owner has said. */
import { type Audit, listAudits } from 'comity/admin'
import { afterEach, expect, test } from 'vitest'
import { copyOfDatabase } from '../../../../test/support/postgres.ts'
import { eventually } from '../control/eventually.ts'
import { After, Before, copied, give, heard, keeping, owning, ready, rowsOf, TABLE, Teams, takeable } from './teams.ts'

const teams = new Teams()
afterEach(() => teams.stopAll())

test.each([
  ['with the contract of after it is compared, and true', After, { verdict: 'true', problem: null }],
  [
    'with the one of before it goes on, and says why it can not be compared',
    Before,
    { verdict: 'inconclusive', problem: /belongs to accounts/ },
  ],
] as const)('%s', async (_, contract, expected) => {
  const at = { crm: await teams.place(), accounts: await teams.place(), marketing: await teams.place() }
  const crm = await teams.run(owning('crm', Before), at.crm, TABLE)
  await crm.db.query(`insert into customers values ('c1', 'a1', 'crm@x.org', 'One'), ('c2', 'a1', 'two@x.org', 'Two')`)
  const accounts = await teams.run(keeping('accounts', Before), at.accounts)
  const first = await teams.run(keeping('marketing', Before), at.marketing)
  for (const one of [accounts, first]) await ready(one)
  await teams.stop(first)
  const url = await copyOfDatabase(at.marketing.url)
  const reader = await teams.run(keeping('marketing', Before), at.marketing)
  await give(crm)
  await takeable(accounts)
  await teams.stop(accounts)
  const heir = await teams.run(owning('accounts', After), at.accounts)
  await heir.db.query(`update customers set email = 'accounts@x.org' where id = 'c1'`)
  await copied(reader, 'accounts@x.org')
  await heard(reader)
  await teams.stop(reader)

  const restored = await teams.run(keeping('marketing', contract), { bus: at.marketing.bus, url })
  await heir.db.query(`update customers set email = 'later@x.org' where id = 'c2'`)
  await copied(restored, 'later@x.org')
  const audit = await eventually('it is compared', async () =>
    (await listAudits(restored.team.environment as never)).find(({ cause, state }) => cause === 'incarnation' && state === 'ended'),
  )
  expect(audit).toMatchObject({
    ...expected,
    problem: expected.problem && expect.stringMatching(expected.problem),
  } satisfies Partial<Audit>)
  await expect.poll(() => rowsOf(restored), { timeout: 10_000 }).toEqual(await rowsOf(heir))
  expect((await restored.db.query('select key, reason from comity.waiting_keys')).rows).toEqual([])
})
