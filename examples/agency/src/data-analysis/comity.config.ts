import { PermanentError, type Queryable, team } from 'comity'
import { CampaignLaunched, EmailDelivered, EmailSent } from '../contracts.ts'
import { logger } from '../logger.ts'

// No table has a unique constraint, and no insert says "on conflict": that each event has its effect once is Comity's part.
export default team('data-analysis', { database: process.env.DATA_ANALYSIS_URL, transport: process.env.BUS_URL, logger })
  .on(CampaignLaunched, async ({ data }, { tx }) => {
    await tx.query('insert into campaigns (id, agency_id, title) values ($1, $2, $3)', [data.campaignId, data.agencyId, data.title])
  })
  .on(EmailSent, async ({ data, time }, { tx }) => {
    await tx.query('insert into emails_sent (customer_id, campaign_id, agency_id, year, sent_at) values ($1, $2, $3, $4, $5)', [
      data.customerId,
      data.campaignId,
      data.agencyId,
      await yearOf(data.campaignId, tx),
      time,
    ])
  })
  .on(EmailDelivered, async ({ data }, { tx }) => {
    await tx.query('insert into emails_delivered (customer_id, campaign_id, agency_id) values ($1, $2, $3)', [
      data.customerId,
      data.campaignId,
      data.agencyId,
    ])
  })

/** Campaigns are called `spring-2026`. No retry helps where one is not: its customer's line waits until an analyst has said the year. */
async function yearOf(campaignId: string, tx: Queryable): Promise<number> {
  const named = /-(\d{4})$/.exec(campaignId)?.[1]
  if (named !== undefined) return Number(named)
  const { rows } = await tx.query<{ year: number }>('select year from campaign_years where campaign_id = $1', [campaignId])
  if (rows[0] === undefined) throw new PermanentError(`the campaign "${campaignId}" is of no year`)
  return rows[0].year
}
