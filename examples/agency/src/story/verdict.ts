/** What the director alone may do: read all sides, and compare. */
import type pg from 'pg'
import { CampaignLaunched, EmailDelivered, EmailSent } from '../contracts.ts'
import { type Comparison, compareRows } from './compare.ts'
import { PHONE_PREFIX } from './customer-changes.ts'
import type { EventCount } from './figures.ts'
import type { Installation } from './set-up.ts'

/** Every copy with its owner, row by row. */
export async function compareAll({ teams }: Pick<Installation, 'teams'>): Promise<readonly Comparison[]> {
  const [crm, marketing, analysis] = [teams.crm.database, teams.marketing.database, teams['data-analysis'].database]
  const sends = { database: marketing, sql: 'select campaign_id, customer_id, agency_id from sends' }
  return [
    await compareRows(
      'customers: CRM and the copy of Marketing',
      1,
      { database: crm, sql: 'select id, agency_id, email, name from customers' },
      { database: marketing, sql: 'select id, agency_id, email, name from crm_customer' },
    ),
    ...(teams.billing === undefined
      ? []
      : [
          await compareRows(
            'customers: CRM and the copy of Billing',
            1,
            { database: crm, sql: 'select id, agency_id, name from customers' },
            { database: teams.billing.database, sql: 'select id, agency_id, name from crm_customer' },
          ),
        ]),
    await compareRows('emails sent: Marketing and Data Analysis', 2, sends, {
      database: analysis,
      sql: 'select campaign_id, customer_id, agency_id from emails_sent',
    }),
    await compareRows(
      'emails sent: Marketing and what CRM handed to third parties',
      2,
      { database: marketing, sql: 'select campaign_id, customer_id from sends' },
      { database: crm, sql: 'select campaign_id, customer_id from third_party_log' },
    ),
    await compareRows(
      'emails delivered: Marketing and Data Analysis',
      2,
      { ...sends, sql: `${sends.sql} where delivered_at is not null` },
      { database: analysis, sql: 'select campaign_id, customer_id, agency_id from emails_delivered' },
    ),
    await compareRows(
      'campaigns: Marketing and Data Analysis',
      1,
      { database: marketing, sql: 'select id, agency_id, title from campaigns' },
      { database: analysis, sql: 'select id, agency_id, title from campaigns' },
    ),
    // The last one to be handled is the last one that was sent: the order of each customer's events was kept.
    await compareRows(
      'last email of each customer: the latest handed to third parties, and what CRM wrote last',
      1,
      {
        database: crm,
        sql: 'select c.id, max(t.sent_at) from customers c join third_party_log t on t.customer_id = c.id group by c.id',
      },
      { database: crm, sql: 'select id, last_email from customers where last_email is not null' },
    ),
  ]
}

/** Every event as Marketing's outbox has it, and as the tables of the others count it. */
export async function countEvents({ teams }: Pick<Installation, 'teams'>): Promise<readonly EventCount[]> {
  const { rows } = await teams.marketing.database.query<{ topic: string; count: number }>(
    'select topic, count(*)::int as count from comity.outbox group by topic',
  )
  const announced = (topic: string): number => rows.find((row) => row.topic === topic)?.count ?? 0
  const crm = teams.crm.database
  const analysis = teams['data-analysis'].database
  return [
    {
      event: CampaignLaunched.name,
      announced: announced(CampaignLaunched.name),
      handled: { 'data-analysis': await countRows(analysis, 'campaigns') },
    },
    {
      event: EmailSent.name,
      announced: announced(EmailSent.name),
      handled: { crm: await countRows(crm, 'third_party_log'), 'data-analysis': await countRows(analysis, 'emails_sent') },
    },
    {
      event: EmailDelivered.name,
      announced: announced(EmailDelivered.name),
      handled: { 'data-analysis': await countRows(analysis, 'emails_delivered') },
    },
  ]
}

/** Rows with a phone number of a customer: in all tables of the other teams and of a bus in Postgres, Comity's own included; and in CRM. */
export async function findPhoneNumbers({ teams, bus }: Installation): Promise<{ readonly inside: number; readonly outside: number }> {
  const others = Object.values(teams).filter(({ name }) => name !== 'crm')
  const outside = [...others.map(({ database }) => database), ...(bus === undefined ? [] : [bus])]
  const found = await Promise.all(outside.map(rowsWithPhoneNumbers))
  return { inside: await rowsWithPhoneNumbers(teams.crm.database), outside: found.reduce((sum, rows) => sum + rows, 0) }
}

async function rowsWithPhoneNumbers(database: pg.Pool): Promise<number> {
  const { rows } = await database.query<{ name: string }>(
    `select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema')`,
  )
  let found = 0
  for (const { name } of rows) found += await countRows(database, `${name} t where strpos(t::text, '${PHONE_PREFIX}') > 0`)
  return found
}

/** Sessions of the teams' processes, and how many of them are a superuser's. */
export async function countSessions({ teams }: Installation): Promise<{ readonly sessions: number; readonly superusers: number }> {
  const { rows } = await teams.crm.database.query<{ sessions: number; superusers: number }>(
    `select count(*)::int as sessions, count(*) filter (where r.rolsuper)::int as superusers
     from pg_stat_activity a join pg_roles r on r.oid = a.usesysid
     where a.backend_type = 'client backend' and a.application_name <> 'director'`,
  )
  return rows[0] ?? { sessions: 0, superusers: 0 }
}

export async function columnsOf(database: pg.Pool, table: string): Promise<readonly string[]> {
  const { rows } = await database.query<{ name: string }>(
    `select attname as name from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped order by attnum`,
    [table],
  )
  return rows.map(({ name }) => name)
}

async function countRows(database: pg.Pool, from: string): Promise<number> {
  const { rows } = await database.query<{ count: number }>(`select count(*)::int as count from ${from}`)
  return rows[0]?.count ?? 0
}
