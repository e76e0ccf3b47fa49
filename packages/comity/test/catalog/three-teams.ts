import { entity, event } from '@comity/contract'
import { type Queryable, type Team, team } from 'comity'
import { z } from 'zod'

export const Customer = entity('crm.customer', {
  ...{ key: 'id', tenant: 'agencyId', contact: '#customers' },
  state: z.object({
    ...{ id: z.string(), agencyId: z.string(), email: z.email(), name: z.string(), phone: z.string().nullable() },
    // Read by nobody.
    shoeSize: z.number().int(),
    address: z.object({ city: z.string() }).nullable(),
  }),
})
export const EmailSent = event('marketing.email-sent', {
  ...{ key: 'customerId', tenant: 'agencyId' },
  data: z.object({ customerId: z.string(), agencyId: z.string(), name: z.array(z.string()), campaignId: z.uuid() }),
})

/** CRM owns customers and handles sent e-mails; Marketing keeps some fields of theirs, of some; Data Analysis handles sent e-mails. */
export function threeTeams(): Readonly<Record<'crm' | 'marketing' | 'analysis', Team<Queryable>>> {
  const nothing = async (): Promise<void> => undefined
  return {
    crm: team<Queryable>('crm', { version: '2.4.1', contact: 'crm@example.com' }).owns(Customer).on(EmailSent, nothing),
    marketing: team<Queryable>('marketing', { contact: '#marketing' })
      .keeps(Customer, { fields: ['email', 'name'], columns: { email: 'mail_address' }, where: { phone: { not: null } } })
      .publishes(EmailSent),
    analysis: team<Queryable>('analysis').on(EmailSent, nothing),
  }
}
