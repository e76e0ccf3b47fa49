import { team } from 'comity'
import { Customer, EmailSent } from '../contracts.ts'
import { logger } from '../logger.ts'

export default team('crm', { database: process.env.CRM_URL, transport: process.env.BUS_URL, logger })
  .owns(Customer, { table: 'customers' }) // every committed change is announced, whoever wrote it
  .on(EmailSent, async ({ time, data }, { tx }) => {
    await tx.query('update customers set last_email = $1 where id = $2', [time, data.customerId])
    await tx.query('insert into third_party_log (customer_id, campaign_id, sent_at) values ($1, $2, $3)', [
      data.customerId,
      data.campaignId,
      time,
    ])
  })
