import { type Queryable, type Team, team } from 'comity'
import { Customer } from '../../packages/comity/test/backfill/customers.ts'

export type Side = 'crm' | 'marketing' | 'sales'

/** Small stretches, so that there are many moments. */
export const sides: Readonly<Record<Side, Team>> = {
  crm: team('crm', { backfill: { batch: 60, latency: '10s' } }).owns(Customer, { table: 'customers' }) as Team,
  marketing: team('marketing').keeps(Customer, { fields: ['email', 'name'] }) as Team,
  // Beside the copy that is filled: each message of the live topic that it gets, once.
  sales: team<Queryable>('sales').on(
    Customer,
    async ({ key, kind, version }, { tx }) => {
      await tx.query('insert into seen (version, key, kind) values ($1::text::bigint, $2::text, $3::text)', [String(version), key, kind])
    },
    { name: 'watcher' },
  ) as unknown as Team,
}
