/** The broker is lost, with everything in it, in the middle of a hand-over: both owners fill another one again. */
import { testBus } from 'comity/testing'
import { afterEach, expect, test } from 'vitest'
import { act } from '../admin/act.ts'
import { After, Before, copied, give, keeping, owning, ready, rowsOf, TABLE, Teams, takeable } from './teams.ts'

const teams = new Teams()
afterEach(() => teams.stopAll())

test.each(['before it was taken', 'after it was taken'])('%s', async (when) => {
  const at = { crm: await teams.place(), accounts: await teams.place(), marketing: await teams.place() }
  let crm = await teams.run(owning('crm', Before), at.crm, TABLE)
  await crm.db.query(
    `insert into customers values ('c1', 'a1', 'crm@x.org', 'One'), ('c2', 'a1', 'two@x.org', 'Two'), ('c3', 'a1', 'three@x.org', null)`,
  )
  let accounts = await teams.run(keeping('accounts', Before), at.accounts)
  const reader = await teams.run(keeping('marketing', Before), at.marketing)
  for (const one of [accounts, reader]) await ready(one)
  // It is away, and would lose what is said meanwhile with the broker.
  await teams.stop(reader)
  if (when === 'before it was taken') await teams.stop(accounts)
  await crm.db.query(`update customers set email = 'last@x.org' where id = 'c1'`)
  await crm.db.query(`delete from customers where id = 'c3'`)
  await give(crm)
  await crm.db.query(`update customers set email = 'too-late@x.org' where id = 'c2'`)
  await crm.team.drained()
  if (when === 'after it was taken') {
    await takeable(accounts)
    await teams.stop(accounts)
    const heir = await teams.run(owning('accounts', After), at.accounts)
    await heir.db.query(`update customers set name = 'of accounts' where id = 'c1'`)
    await heir.team.drained()
    await teams.stop(heir)
  }
  await teams.stop(crm)

  const bus = testBus()
  crm = await teams.run(owning('crm', Before), { ...at.crm, bus })
  if (when === 'before it was taken') {
    accounts = await teams.run(keeping('accounts', Before), { ...at.accounts, bus })
    await act(crm.team as never, 'rebuild-transport')
    await takeable(accounts)
    await teams.stop(accounts)
  } else await act(crm.team as never, 'rebuild-transport')
  const heir = await teams.run(owning('accounts', After), { ...at.accounts, bus })
  if (when === 'after it was taken') await act(heir.team as never, 'rebuild-transport')
  const back = await teams.run(keeping('marketing', Before), { ...at.marketing, bus })
  // Readers subscribe at the new broker when they are provisioned; what was said there before that, is said to them again.
  await act(crm.team as never, 'rebuild-transport')
  await act(heir.team as never, 'rebuild-transport')
  await heir.db.query(`update customers set email = 'accounts@x.org' where id = 'c2'`)
  await copied(back, 'accounts@x.org')
  await expect.poll(() => rowsOf(back), { timeout: 15_000 }).toEqual(await rowsOf(heir))
  expect((await back.db.query('select key, reason, error_code from comity.waiting_keys')).rows).toEqual([])
})
