import { entity } from '@comity/contract'
import { type Team, team } from 'comity'
import type pg from 'pg'
import { z } from 'zod'

/** In the table `customers`, which the tool's migrations make. */
const Customer = entity('shop.customer', {
  key: 'id',
  state: z.object({ id: z.string(), name: z.string(), phone: z.string().nullable() }),
})
const City = entity('atlas.city', { key: 'id', state: z.object({ id: z.string(), name: z.string() }) })

/** A team whose tables are under another tool's migrations. @param copies the table of its copy, as the option of `keeps` */
export function shopTeam(url: string, copies: string): Team {
  return team('shop', { database: url })
    .owns(Customer, { table: 'customers' })
    .keeps(City, { fields: ['name'], table: copies })
}

/** What the outbox announces of a key, the newest last. */
export async function announced(database: pg.Pool): Promise<readonly { readonly key: string; readonly state: unknown }[]> {
  const { rows } = await database.query(`select key, payload::jsonb as state from comity.outbox where topic = 'shop.customer' order by id`)
  return rows
}

/** Everything of Comity that a tool could touch: `schema.name` of relations, triggers with their table. */
export async function comityObjects(database: pg.Pool): Promise<readonly string[]> {
  const { rows } = await database.query<{ name: string }>(
    `select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname in ('comity', 'comity_public', 'copies') and c.relkind in ('r', 'p', 'v') and not c.relispartition
     union all
     select 'trigger ' || tgname || ' on ' || tgrelid::regclass::text from pg_trigger where not tgisinternal and tgname like '%comity%'
     order by 1`,
  )
  return rows.map(({ name }) => name)
}
