import { entity, event } from '@comity/contract'
import { team } from 'comity'
import { testBus, testTeam } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'

const Customer = entity('crm.customer', {
  key: 'id',
  tenant: 'agencyId',
  state: z.object({ id: z.string(), agencyId: z.string(), email: z.string(), name: z.string(), phone: z.string().nullable() }),
})
const EmailSent = event('marketing.email-sent', {
  key: 'customerId',
  tenant: 'agencyId',
  data: z.object({ customerId: z.string(), agencyId: z.string(), campaignId: z.string() }),
})
const jane = { id: 'c1', agencyId: 'a1', email: 'jane@example.com', name: 'Jane', phone: null }

test('a published state reaches a replica with the declared fields only, and an event its handler, once', async () => {
  const bus = testBus()
  const seen: string[] = []
  await using crm = await testTeam(
    team('crm')
      .owns(Customer)
      .on(EmailSent, async (message, { tx }) => {
        seen.push(message.data.campaignId)
        await (tx as { query(text: string, values: unknown[]): Promise<unknown> }).query('insert into mails values ($1)', [message.key])
      }),
    { bus, url: (await freshDatabase()).url, setup: (db) => db.query('create table mails (customer text)') },
  )
  await using marketing = await testTeam(team('marketing').keeps(Customer, { fields: ['email', 'name'] }).publishes(EmailSent), {
    bus,
    url: (await freshDatabase()).url,
  })

  const token = await crm.db.transaction(async (tx) => {
    await crm.team.publish(tx, Customer, jane)
    return crm.team.token(tx, Customer, 'c1')
  })
  await marketing.team.replica(Customer).waitFor(token)
  expect((await marketing.db.query('select * from crm_customer')).rows).toEqual([
    { id: 'c1', agency_id: 'a1', email: 'jane@example.com', name: 'Jane', comity_version: String(token.version) },
  ])

  await marketing.db.transaction((tx) => marketing.team.publish(tx, EmailSent, { customerId: 'c1', agencyId: 'a1', campaignId: 'k1' }))
  await crm.caughtUp()
  expect(seen).toEqual(['k1'])
  expect((await crm.db.query('select * from mails')).rows).toEqual([{ customer: 'c1' }])

  await crm.db.transaction((tx) => crm.team.publish(tx, Customer, jane, { deleted: true }))
  await marketing.caughtUp()
  expect((await marketing.db.query('select * from crm_customer')).rows).toEqual([])
})
