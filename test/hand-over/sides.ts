import { entity } from '@comity/contract'
import { type Queryable, type Team, team } from 'comity'
import { z } from 'zod'

const options = {
  key: 'id',
  tenant: 'agencyId',
  state: z.object({ id: z.string(), agencyId: z.string(), email: z.string(), name: z.string() }),
} as const
/** As everybody knows it, and as its readers go on to know it. */
const Customer = entity('crm.customer', options)
const Accounts = entity('crm.customer', { ...options, owner: 'accounts', former: ['crm'] })

export const DATABASES = ['accounts', 'marketing', 'sales', 'crm'] as const
export type Database = (typeof DATABASES)[number]
/** `accounts` with the code that keeps a copy, `heir` with the code that owns it. */
export type Side = Database | 'heir'
export const databaseOf = (side: Side): Database => (side === 'heir' ? 'accounts' : side)

/** What sales has done with each message; nothing in the table prevents a second row of the same one. */
export const EFFECTS =
  'create table effects (n bigint generated always as identity, message text, key text, kind text, version bigint, mark text)'

export const sides: Readonly<Record<Side, Team>> = {
  crm: team('crm').owns(Customer, { table: 'customers' }) as Team,
  accounts: team('accounts').keeps(Customer, { fields: ['email', 'name'], table: 'customers' }) as Team,
  heir: team('accounts').owns(Accounts, { table: 'customers' }) as Team,
  marketing: team('marketing').keeps(Customer, { fields: ['email', 'name'] }) as Team,
  sales: team<Queryable>('sales').on(
    Customer,
    async ({ id, key, kind, version, state }, { tx }) => {
      await tx.query(
        'insert into effects (message, key, kind, version, mark) values ($1::text, $2::text, $3::text, $4::text::bigint, $5::text)',
        [id, key, kind === 'deleted' ? kind : 'state', String(version), state?.name ?? null],
      )
    },
    { name: 'watcher' },
  ) as unknown as Team,
}
