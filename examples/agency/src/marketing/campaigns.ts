/**
 * What Marketing does: its own tables and its events change in the same transaction, so neither is ever without the other, whenever the
 * process dies. Nothing here waits for CRM: the customers are in Marketing's own copy.
 */
import type { Pool, PoolClient } from 'pg'
import { CampaignLaunched, EmailDelivered, EmailSent } from '../contracts.ts'
import marketing from './comity.config.ts'

export interface Campaign {
  readonly id: string
  readonly agencyId: string
  readonly title: string
  /** When it is launched, and its emails begin to go out (RFC 3339); now, if it does not say. */
  readonly startsAt?: string
}

interface Send {
  readonly customer_id: string
  readonly agency_id: string
  readonly campaign_id: string
}

/** The emails go out afterwards, by {@link sendNext}. Until its start, CampaignLaunched waits in Marketing's own database. */
export async function launch(pool: Pool, { id, agencyId, title, startsAt }: Campaign): Promise<void> {
  await inTransaction(pool, async (tx) => {
    await tx.query('insert into campaigns (id, agency_id, title, starts_at) values ($1, $2, $3, coalesce($4, now()))', [
      id,
      agencyId,
      title,
      startsAt,
    ])
    await marketing.publish(
      tx,
      CampaignLaunched,
      { campaignId: id, agencyId, title },
      startsAt === undefined ? {} : { notBefore: startsAt },
    )
  })
}

/** Sends to the next customers of a campaign who have not got it. @returns how many; 0 = it is finished */
export function sendNext(pool: Pool, campaignId: string, most: number): Promise<number> {
  return inTransaction(pool, async (tx) => {
    const { rows } = await tx.query<Send>(
      `insert into sends (campaign_id, customer_id, agency_id, email)
       select a.id, c.id, c.agency_id, c.email from campaigns a join crm_customer c on c.agency_id = a.agency_id
       where a.id = $1 and not exists (select from sends s where s.campaign_id = a.id and s.customer_id = c.id)
       order by c.id limit $2
       returning customer_id, agency_id, campaign_id`,
      [campaignId, most],
    )
    if (rows.length === 0) await tx.query('update campaigns set finished_at = now() where id = $1', [campaignId])
    await marketing.publishMany(tx, EmailSent, rows.map(eventOf))
    return rows.length
  })
}

/** One email outside of any campaign's list. */
export async function sendByHand(pool: Pool, campaignId: string, customerId: string): Promise<void> {
  await inTransaction(pool, async (tx) => {
    const { rows } = await tx.query<Send>(
      `insert into sends (campaign_id, customer_id, agency_id, email)
       select $1, c.id, c.agency_id, c.email from crm_customer c where c.id = $2 returning customer_id, agency_id, campaign_id`,
      [campaignId, customerId],
    )
    await marketing.publishMany(tx, EmailSent, rows.map(eventOf))
  })
}

/** Notes what the mail provider has delivered. @returns how many */
export function confirmNext(pool: Pool, most: number): Promise<number> {
  return inTransaction(pool, async (tx) => {
    const { rows } = await tx.query<Send>(
      `update sends s set delivered_at = now()
       from (select campaign_id, customer_id from sends where delivered_at is null limit $1) d
       where s.campaign_id = d.campaign_id and s.customer_id = d.customer_id
       returning s.customer_id, s.agency_id, s.campaign_id`,
      [most],
    )
    await marketing.publishMany(tx, EmailDelivered, rows.map(eventOf))
    return rows.length
  })
}

/** Campaigns that have started, and whose emails have not all been sent, the oldest first: also those of a process that died in the middle. */
export async function unfinished(pool: Pool): Promise<readonly string[]> {
  const { rows } = await pool.query<{ id: string }>('select id from campaigns where starts_at <= now() and finished_at is null order by id')
  return rows.map(({ id }) => id)
}

function eventOf({ customer_id, agency_id, campaign_id }: Send): { customerId: string; agencyId: string; campaignId: string } {
  return { customerId: customer_id, agencyId: agency_id, campaignId: campaign_id }
}

async function inTransaction<Result>(pool: Pool, work: (tx: PoolClient) => Promise<Result>): Promise<Result> {
  const tx = await pool.connect()
  let broken = true
  try {
    await tx.query('begin')
    const result = await work(tx)
    await tx.query('commit')
    broken = false
    return result
  } finally {
    tx.release(broken) // a connection in an unknown state is closed, which rolls back
  }
}
