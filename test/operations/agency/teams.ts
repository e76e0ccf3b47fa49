import { entity, event } from '@comity/contract'
import { PermanentError, type Queryable, type Team, team } from 'comity'
import { z } from 'zod'

/** The agency of docs/operations.md: what its operator has in front of him. `broken` stands for code that is deployed and wrong. */
const Customer = entity('crm.customer', {
  key: 'id',
  tenant: 'agencyId',
  state: z.object({ id: z.string(), agencyId: z.string(), email: z.email(), name: z.string() }),
})
export const EmailSent = event('marketing.email-sent', {
  key: 'customerId',
  tenant: 'agencyId',
  data: z.object({ customerId: z.string(), agencyId: z.string() }),
})
const WrittenBack = event('crm.written-back', { key: 'customerId', data: z.object({ customerId: z.string() }) })

const options = { transport: process.env.BUS_URL, allowUnsafe: true, allowEdit: true }

export const crm = (): Team<Queryable> =>
  team('crm', { ...options, database: process.env.CRM_URL })
    .owns(Customer, { table: 'customers' })
    .publishes(WrittenBack)
    .on(
      EmailSent,
      async function writeBack({ data: { customerId } }, { tx, publish }) {
        const { rows } = await tx.query(`select from broken where customer in ($1::text, 'all')`, [customerId])
        if (rows.length > 0) throw new PermanentError('the third party does not know this customer')
        await tx.query('insert into written_back values ($1::text)', [customerId])
        await publish(WrittenBack, { customerId })
      },
      // As many as have ended when all of the bad deploy on the page have failed: not one more or less stays at the broker.
      { breaker: { atLeast: 35, window: '1h' } },
    )

export const marketing = (): Team<Queryable> =>
  team('marketing', { ...options, database: process.env.MARKETING_URL })
    .keeps(Customer, { fields: ['email', 'name'] })
    .publishes(EmailSent)
