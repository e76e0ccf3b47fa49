import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { AGENCIES } from './customer-changes.ts'

/**
 * Changes one customer in CRM again and again, and looks each time how long after the COMMIT a query in Marketing's database finds it.
 * The looking itself takes about a millisecond, which is counted.
 * @returns milliseconds, sorted
 */
export async function measureLag(crm: pg.Pool, marketing: pg.Pool, samples: number): Promise<readonly number[]> {
  const { rows } = await crm.query<{ id: string }>(
    `insert into customers (agency_id, email, name) values ($1, 'probe@example.org', 'Probe') returning id`,
    [AGENCIES[0]],
  )
  const lags: number[] = []
  for (let sample = 1; sample <= samples; sample++) {
    const email = `probe${sample}@example.org`
    const { rowCount } = await crm.query('update customers set email = $2 where id = $1', [rows[0]?.id, email])
    const committed = performance.now()
    if (rowCount === 0) break // a clerk has deleted it
    while (!(await arrived(marketing, email))) await delay(1)
    lags.push(performance.now() - committed)
  }
  return lags.sort((a, b) => a - b)
}

async function arrived(marketing: pg.Pool, email: string): Promise<boolean> {
  return ((await marketing.query(`select from crm_customer where email = $1`, [email])).rowCount ?? 0) > 0
}
