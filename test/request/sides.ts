import { entity, request } from '@comity/contract'
import { type Queryable, type Team, team } from 'comity'
import { z } from 'zod'

export const Account = entity('crm.account', { key: 'id', state: z.object({ id: z.string(), mark: z.string() }) })
/** One in ten is rejected by its handler, one in fifty fails a few times first. */
export const Rename = request('crm.rename-account', {
  entity: Account,
  key: 'accountId',
  data: z.object({ accountId: z.string(), mark: z.string(), asker: z.string() }),
  rejects: { unlucky: z.object({ number: z.number() }) },
})

export const ASKERS = ['marketing', 'sales'] as const
export type Side = 'crm' | (typeof ASKERS)[number]

export const ACCOUNTS = 'create table accounts (id text primary key, mark text not null)'
/** What was written with each acceptance, in the order of the commits of a key: the row is locked before. */
export const EFFECTS = 'create table effects (n bigint generated always as identity, asker text, id text, key text, mark text)'

const asker = (name: string): Team =>
  team(name)
    .keeps(Account, { fields: ['mark'] })
    .asks(Rename) as Team

const failed = new Set<string>()
export const sides: Readonly<Record<Side, Team>> = {
  crm: team<Queryable>('crm')
    .owns(Account, { table: 'accounts' })
    .answers(
      Rename,
      async ({ id, asker: by, key, data }, { tx, reject }) => {
        const number = Number(data.mark.split(':')[1])
        await tx.query('update accounts set mark = $1::text where id = $2::text', [data.mark, key])
        await tx.query('insert into effects (asker, id, key, mark) values ($1::text, $2::text, $3::text, $4::text)', [
          by,
          id,
          key,
          data.mark,
        ])
        // By its number: whoever decides it decides the same.
        if (number % 10 === 3) return reject('unlucky', { number })
        if (number % 50 === 7 && !failed.has(`${by} ${id}`)) {
          failed.add(`${by} ${id}`)
          throw new Error('once')
        }
        return undefined
      },
      { backoff: { min: '5ms', max: '20ms' }, breaker: false },
    ) as unknown as Team,
  marketing: asker('marketing'),
  sales: asker('sales'),
}
