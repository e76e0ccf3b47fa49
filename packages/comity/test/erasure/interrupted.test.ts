/** An erasure that is interrupted anywhere, at its owner or at a holder, is done once, and answered with what was removed then. */
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { eraseCustomer, newCrm, newMarketing, settled } from './erasing-teams.ts'

const STEPS: readonly (readonly ['owner' | 'holder', string, RegExp])[] = [
  ['owner', 'before it looks again at what was withheld', /select comity\.erase_withheld/],
  ['owner', 'after the holders were told', /update comity\.erasures set announced_at/],
  ['holder', 'before it removes the row', /comity\.tombstones/],
  ['holder', 'before it removes messages', /comity\.erase_messages/],
  ['holder', 'before it turns older messages away', /insert into comity\.erased/],
  ['holder', 'after its COMMIT, before the receipt', /select to_char\(erased_at/],
]

test('at each step in turn', { timeout: 90_000 }, async () => {
  const bus = testBus()
  let breaking: { readonly at: 'owner' | 'holder'; readonly text: RegExp } | undefined
  const before = (at: 'owner' | 'holder') => (text: string) => {
    if (breaking?.at !== at || !breaking.text.test(text)) return
    breaking = undefined
    throw new Error('the process ends here')
  }
  await using crm = await newCrm(bus, { rows: STEPS.length, before: before('owner') })
  await using marketing = await newMarketing(bus, { before: before('holder') })
  await settled(crm, marketing)
  await marketing.caughtUp()

  for (const [index, [at, what, text]] of STEPS.entries()) {
    const key = `c${index + 1}`
    await crm.db.query('delete from customers where id = $1', [key])
    await marketing.caughtUp()
    // The row comes again with the version that it had, as from a backup: there is something to remove.
    await marketing.db.query(`delete from comity.tombstones where replica = 'marketing.crm-customer' and key = $1`, [key])
    await marketing.db.query(`insert into crm_customer (id, agency_id, email, name, comity_version) values ($1, 'a1', 'x', 'C', 1)`, [key])
    breaking = { at, text }
    const { receipts } = await eraseCustomer(crm, key)
    expect(breaking, `${at}: ${what} is no step`).toBeUndefined()
    const copy = receipts[0]?.removed.find(({ subscription }) => subscription === 'marketing.crm-customer')
    expect([what, receipts.length, copy?.rows]).toEqual([what, 1, 1])
    expect((await marketing.db.query('select from crm_customer where id = $1', [key])).rows).toHaveLength(0)
  }
  expect((await marketing.db.query('select from comity.erased')).rows).toHaveLength(STEPS.length)
})
