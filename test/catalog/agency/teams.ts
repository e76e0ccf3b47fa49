import { entity, event } from '@comity/contract'
import { type Queryable, type Team, team } from 'comity'
import { z } from 'zod'

/** The agency of docs/catalog.md. */
const Customer = entity('crm.customer', {
  key: 'id',
  tenant: 'agencyId',
  contact: '#customer-data',
  state: z.object({ id: z.string(), agencyId: z.string(), email: z.email(), name: z.string(), phone: z.string().nullable() }),
})
const EmailSent = event('marketing.email-sent', {
  key: 'customerId',
  tenant: 'agencyId',
  data: z.object({ customerId: z.string(), agencyId: z.string(), campaignId: z.string(), name: z.array(z.string()) }),
})

const options = { transport: process.env.BUS_URL, allowUnsafe: true }

export const crm = (): Team<Queryable> =>
  team('crm', { ...options, database: process.env.CRM_URL, version: '2.4.1', contact: 'crm@agency.example' })
    .owns(Customer, { table: 'customers', columns: { phone: { sql: 'null::text' } } })
    .on(EmailSent, async () => undefined)

export const marketing = (): Team<Queryable> =>
  team('marketing', { ...options, database: process.env.MARKETING_URL, version: '118', contact: '#marketing' })
    .keeps(Customer, { fields: ['email', 'name'], columns: { email: 'mail_address' } })
    .publishes(EmailSent)
