import { event } from '@comity/contract'
import { z } from 'zod'

// The three steps of a breaking change: `name` becomes `fullName`. A team has one of these in its contracts.ts at a time.

const common = { id: z.string(), mark: z.string() }

/** Before. */
export const Renamed1 = event('crm.customer-renamed', { key: 'id', ordered: true, data: z.object({ ...common, name: z.string() }) })

/** Expanded: both are sent, and what comes is optional, so that processes of the old code go on publishing. */
export const Renamed2 = event('crm.customer-renamed', {
  key: 'id',
  ordered: true,
  data: z.object({ ...common, name: z.string(), fullName: z.string().optional() }),
  deprecated: { name: '2027-01-31' },
})

/** Contracted: nobody reads `name` any more. */
export const Renamed3 = event('crm.customer-renamed', { key: 'id', ordered: true, data: z.object({ ...common, fullName: z.string() }) })
