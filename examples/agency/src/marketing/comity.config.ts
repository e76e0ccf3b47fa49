import { team } from 'comity'
import { fromPg } from 'comity/pg'
import pg from 'pg'
import { CampaignLaunched, Customer, EmailDelivered, EmailSent } from '../contracts.ts'
import { logger } from '../logger.ts'

// Comity's own connections. Marketing's code publishes through its own pool, in its own transactions (service.ts).
const database = fromPg(new pg.Pool({ connectionString: process.env.MARKETING_URL, allowExitOnIdle: true }))

export default team('marketing', { database, transport: process.env.BUS_URL, logger })
  .keeps(Customer, { fields: ['email', 'name'], audience: 'marketing' }) // the table crm_customer, Marketing's to index and join
  .publishes(CampaignLaunched)
  .publishes(EmailSent)
  .publishes(EmailDelivered)
