/** The code of docs/requests.md, as it runs. */
import { entity, request } from '@comity/contract'
import { type Queryable, team } from 'comity'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { testTeam } from '../../../../test/support/test-team.ts'

const Customer = entity('crm.customer', {
  key: 'id',
  tenant: 'agencyId',
  state: z.object({ id: z.string(), agencyId: z.string(), email: z.email(), name: z.string() }),
})

const ChangeCustomerEmail = request('crm.change-customer-email', {
  entity: Customer,
  key: 'customerId',
  tenant: 'agencyId',
  data: z.object({ customerId: z.string(), agencyId: z.string(), email: z.email() }),
  rejects: { 'email-taken': z.object({ by: z.string() }), 'customer-closed': null },
})

test('the example of the page', async () => {
  const crm = team<Queryable>('crm')
    .owns(Customer, { table: 'customers' })
    .answers(ChangeCustomerEmail, async ({ key, data }, { tx, reject }) => {
      const { rows } = await tx.query<{ id: string }>('select id from customers where email = $1::text', [data.email])
      if (rows[0]) return reject('email-taken', { by: rows[0].id })
      await tx.query('update customers set email = $1::text where id = $2::text', [data.email, key])
      return undefined
    })
  const marketing = team<Queryable>('marketing')
    .keeps(Customer, { fields: ['email', 'name'] })
    .asks(ChangeCustomerEmail)

  const bus = testBus()
  await using owner = await testTeam(crm, {
    bus,
    async setup(db) {
      await db.query('create table customers (id text primary key, agency_id text not null, email text not null, name text not null)')
      await db.query(`insert into customers values ('c1', 'a1', 'jane@example.com', 'Jane'), ('c2', 'a1', 'joe@example.com', 'Joe')`)
    },
  })
  await using asker = await testTeam(marketing, { bus })
  const { db } = asker
  await expect.poll(async () => (await db.query('select 1 from crm_customer')).rows.length, { timeout: 60_000 }).toBe(2)

  async function changeEmail(team: typeof asker.team, email: string): Promise<string> {
    const asked = await db.transaction((tx) =>
      team.ask(tx, ChangeCustomerEmail, { customerId: 'c1', agencyId: 'a1', email }, { expect: { name: 'Jane' }, deadline: '1h' }),
    )
    const outcome = await asked.outcome()
    if (outcome.state === 'accepted') await outcome.visible()
    if (outcome.state === 'rejected' && outcome.reason === 'email-taken') return `taken by ${outcome.detail.by}`
    return outcome.state
  }

  expect(await changeEmail(asker.team, 'joe@example.com')).toBe('taken by c2')
  expect(await changeEmail(asker.team, 'jane@example.org')).toBe('accepted')
  expect((await db.query(`select email from crm_customer where id = 'c1'`)).rows).toEqual([{ email: 'jane@example.org' }])
  await owner.db.query(`update customers set name = 'Jane D.' where id = 'c1'`)
  expect(await changeEmail(asker.team, 'late@example.org')).toBe('rejected')
})
