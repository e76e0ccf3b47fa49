import { type Entity, entity } from '@comity/contract'
import { type Queryable, type Team, team } from 'comity'
import { z } from 'zod'

// The same three steps for an entity: `name` becomes `fullName`.

const id = z.string()
const Customer1 = entity('crm.customer', { key: 'id', state: z.object({ id, name: z.string() }) })
const Customer2 = entity('crm.customer', { key: 'id', state: z.object({ id, name: z.string(), fullName: z.string().optional() }) })
const Customer3 = entity('crm.customer', { key: 'id', state: z.object({ id, fullName: z.string() }) })

export const CUSTOMERS = 'create table customers (id text primary key, name text not null, full_name text)'

const owner = (version: Entity) => () => team<Queryable>('crm').owns(version, { table: 'customers' })

/** Each version of owner and reader. */
export const sides = {
  owner1: owner(Customer1),
  owner2: owner(Customer2),
  owner3: owner(Customer3),
  reader1: () => team<Queryable>('marketing').keeps(Customer1, { fields: ['name'] }),
  /** Takes what is to stay, and lifts what was sent before. */
  reader2: () =>
    team<Queryable>('marketing')
      .keeps(Customer3, { fields: ['fullName'] })
      .lifts(Customer2, Customer3, ({ id: key, name, fullName }) => ({ id: key, fullName: fullName ?? name }))
      .lifts(Customer1, Customer3, ({ id: key, name }) => ({ id: key, fullName: name })),
} as const satisfies Record<string, () => Team<Queryable>>
export type Side = keyof typeof sides
