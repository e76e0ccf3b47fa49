import { type Team, team } from 'comity'
import { Customer } from '../../packages/comity/test/backfill/customers.ts'

export type Side = 'crm' | 'marketing'

/** Small stretches, so that there are many moments. */
export const sides: Readonly<Record<Side, Team>> = {
  crm: team('crm', { backfill: { batch: 60, latency: '10s' } }).owns(Customer, { table: 'customers' }) as Team,
  marketing: team('marketing').keeps(Customer, { fields: ['email', 'name'] }) as Team,
}
