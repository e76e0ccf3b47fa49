/** What is erased at its owner is nowhere any more: not in a table of Comity's, at either side, and nothing that is older brings it back. */

import { erasureRegister, planErasure } from 'comity/admin'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { act } from '../admin/act.ts'
import { Called, Customer, erase, eraseCustomer, MARKER, newCrm, newMarketing, Profile, settled, tablesWith } from './erasing-teams.ts'

test('no table of either team holds it afterwards', { timeout: 60_000 }, async () => {
  const bus = testBus()
  let refuses = true
  await using crm = await newCrm(bus)
  await using marketing = await newMarketing(bus, { refuses: () => refuses })
  await settled(crm, marketing)
  const said = { customerId: 'c1', said: `${MARKER} again` }
  // Withheld, then valid: what was withheld is superseded, and stays.
  await crm.db.query(`insert into customers values ('c1', 'a1', '${MARKER} is no address', 'C')`)
  await crm.db.query(`update customers set email = '${MARKER}@example.com' where id = 'c1'`)
  await crm.db.transaction(async (tx) => {
    await crm.team.publish(tx, Profile, { id: 'c1', about: MARKER })
    await tx.query(`select comity.publish('crm.customer-called', $1, headers => '{"note":"${MARKER}"}')`, [JSON.stringify(said)])
    await crm.team.publish(tx, Called, said, { notBefore: new Date(Date.now() + 3_600_000) })
  })
  await marketing.caughtUp()
  // An operator has put another text in the place of the event's.
  const { rows } = await marketing.db.query<{ subscription: string; message: string }>(
    `select subscription, message from comity.waiting_keys where subscription = 'marketing.crm-customer-called'`,
  )
  await act(marketing.team as never, 'edit-message', { ...rows[0], key: 'c1', data: { ...said, said: `${MARKER}, edited` } })

  // What an audit has said of it.
  await marketing.db.query(
    `with audit as (
       insert into comity.audits (replica, cause, author, reason, state) values ('marketing.crm-customer', 'operator', 'a test', '', 'ended') returning id
     ) insert into comity.audit_findings (audit, key, class, detail) select id, 'c1', 'waiting', $1 from audit`,
    [`${MARKER} failed`],
  )

  expect(parents(await tablesWith(crm.db, MARKER))).toEqual([
    'comity.heads',
    'comity.outbox',
    'comity.scheduled',
    'comity.withheld',
    'public.customers',
  ])
  expect(parents(await tablesWith(marketing.db, MARKER))).toEqual([
    ...[
      'comity.audit_findings',
      'comity.edited',
      'comity.operations',
      'comity.waiting',
      'comity.waiting_keys',
      'public.crm_customer',
      'public.crm_profile',
    ],
  ])

  const customer = await eraseCustomer(crm)
  const profile = await erase(crm, Profile.name, 'c1', { delete: true })
  const called = await erase(crm, Called.name, 'c1')
  expect(await tablesWith(crm.db, MARKER)).toEqual([])
  expect(await tablesWith(marketing.db, MARKER)).toEqual([])

  expect(customer.removed).toMatchObject({ outbox: 2, withheld: 1, scheduled: 0, deleted: false })
  expect(profile.removed).toMatchObject({ outbox: 1, deleted: true })
  expect(called.removed).toMatchObject({ outbox: 1, scheduled: 1 })
  const one = (subscription: string, kind: string, removed: object) => ({ subscription, kind, rows: 0, messages: 0, edited: 0, ...removed })
  expect(customer.receipts).toMatchObject([
    {
      team: 'marketing',
      removed: [
        one('marketing.crm-customer', 'replica', { rows: expect.any(Number) }),
        one('marketing.customers-heard', 'handler', { messages: 1 }),
      ],
    },
  ])
  expect(called.receipts[0]?.removed).toEqual([one('marketing.crm-customer-called', 'handler', { messages: 1, edited: 2 })])
  // What waited ended by name; the deletion is what a handler has to hear of, and waits to be tried.
  expect((await marketing.db.query('select subscription, reason from comity.discarded order by 1')).rows).toEqual([
    { subscription: 'marketing.crm-customer-called', reason: 'erased' },
    { subscription: 'marketing.customers-heard', reason: 'erased' },
  ])
  refuses = false
  expect((await marketing.caughtUp()).waiting).toBe(1)
  await marketing.team.retry('marketing.customers-heard', 'c1')
  expect((await marketing.caughtUp()).waiting).toBe(0)
  const window = marketing.team.environment.transport.guarantees.redeliveryWindow
  expect(Date.parse(customer.receipts[0]?.brokerUntil ?? '')).toBeGreaterThan(Date.parse(customer.announcedAt ?? '') + window)
  const { holders } = await erasureRegister(crm.team.environment)
  expect(holders.map(({ subscription, fields }) => [subscription, fields])).toEqual([
    ['marketing.crm-customer', ['email', 'name']],
    ['marketing.customers-heard', ['email', 'name']],
    ['marketing.crm-customer-called', ['said']],
    ['marketing.crm-profile', ['about']],
  ])
})

test('a state that its owner still has is not erased behind its back', async () => {
  const bus = testBus()
  await using crm = await newCrm(bus, { rows: 3 })
  const there = { topic: Customer.name, key: 'c1' }
  await expect(act(crm.team as never, 'erase', there)).rejects.toMatchObject({ code: 'COMITY_ERASURE_STATE_THERE' })
  await expect(act(crm.team as never, 'erase', { topic: 'sales.order', key: 'c1' })).rejects.toMatchObject({
    code: 'COMITY_ERASURE_NOT_OWNED',
  })
  expect(await planErasure(crm.team.environment, crm.team.declaration, there)).toMatchObject({ there: true, outbox: 0, holders: [] })
  expect(await act(crm.team as never, 'erase', { ...there, delete: true })).toMatchObject({ deleted: true })
  expect(await act(crm.team as never, 'erase', { ...there, delete: true })).toMatchObject({ deleted: false, outbox: 0 })
  expect((await crm.db.query('select id from customers order by id')).rows).toEqual([{ id: 'c2' }, { id: 'c3' }])
})

/** `comity.outbox_26784000000000` → `comity.outbox` */
function parents(tables: readonly string[]): readonly string[] {
  return [...new Set(tables.map((table) => table.replace(/_(?:first|\d+)$/, '')))]
}
