/** The one thing that the teams share. Here a file; among real teams a package, or a copied file. */
import { entity, event } from '@comity/contract'
import { z } from 'zod'

/** CRM's customers. Marketing is granted `email` and `name`, Billing `name`; a field that nobody is granted never leaves CRM. */
export const Customer = entity('crm.customer', {
  key: 'id',
  tenant: 'agencyId',
  audiences: { marketing: ['email', 'name'], billing: ['name'] },
  state: z.object({ id: z.string(), agencyId: z.string(), email: z.email(), name: z.string(), phone: z.string().nullable() }),
})

export const CampaignLaunched = event('marketing.campaign-launched', {
  key: 'campaignId',
  tenant: 'agencyId',
  data: z.object({ campaignId: z.string(), agencyId: z.string(), title: z.string() }),
})

export const EmailSent = event('marketing.email-sent', {
  key: 'customerId',
  tenant: 'agencyId',
  data: z.object({ customerId: z.string(), agencyId: z.string(), campaignId: z.string() }),
})

/** What the mail provider reports back. */
export const EmailDelivered = event('marketing.email-delivered', {
  key: 'customerId',
  tenant: 'agencyId',
  data: z.object({ customerId: z.string(), agencyId: z.string(), campaignId: z.string() }),
})
