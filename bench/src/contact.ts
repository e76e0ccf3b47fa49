import { entity } from '@comity/contract'
import { type Team, team } from 'comity'
import { z } from 'zod'

/** Ten fields of the usual types: what `backfill` copies. About 270 bytes of JSON. */
export const Contact = entity('owner.contact', {
  key: 'id',
  tenant: 'agencyId',
  state: z.object({
    id: z.int(),
    agencyId: z.string(),
    email: z.string(),
    name: z.string(),
    city: z.string(),
    note: z.string(),
    visits: z.int(),
    active: z.boolean(),
    bornOn: z.iso.date(),
    updatedAt: z.iso.datetime(),
  }),
})

export const CREATE_CONTACTS = `create table contacts (id bigint primary key, agency_id text not null, email text not null, name text not null, city text not null,
  note text not null, visits integer not null, active boolean not null, born_on date not null, updated_at timestamptz not null)`

/** The columns of `contacts` for the ids from $1 to $2. */
export const GENERATED_CONTACTS = `select i, 'agency-' || i % 50, 'contact-' || i || '@example.com', 'Contact number ' || i, 'City ' || i % 1000, md5(i::text),
  (i % 100)::integer, i % 3 = 0, date '1960-01-01' + (i % 20000)::integer, timestamptz '2026-01-01' + i * interval '1 second'
  from generate_series($1::bigint, $2::bigint) i`

/** The two teams of a first load. */
export function contactTeam(side: 'owner' | 'keeper', database: string, transport: string): Team {
  // Its own latency limits nothing here: on a machine that others load too, it would measure them.
  if (side === 'owner') return team('owner', { database, transport, backfill: { latency: '10s' } }).owns(Contact, { table: 'contacts' })
  return team('keeper', { database, transport }).keeps(Contact, {
    fields: ['agencyId', 'email', 'name', 'city', 'note', 'visits', 'active', 'bornOn', 'updatedAt'],
  })
}
