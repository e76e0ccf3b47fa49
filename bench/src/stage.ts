import { entity, event } from '@comity/contract'
import { type EmbeddedPostgres, launchPostgres } from '@comity/embedded-postgres'
import { migrateBus } from 'comity/transport'
import pg from 'pg'
import { z } from 'zod'

/** The entity of every benchmark: about 394 bytes of JSON, as in the figures this project compares itself with. */
export const Customer = entity('owner.customer', {
  key: 'id',
  tenant: 'agencyId',
  state: z.object({ id: z.int(), agencyId: z.string(), email: z.string(), name: z.string(), city: z.string(), note: z.string() }),
})
export const EmailSent = event('owner.email-sent', {
  key: 'customerId',
  tenant: 'agencyId',
  data: z.object({ customerId: z.int(), agencyId: z.string(), note: z.string() }),
})

export const CREATE_CUSTOMERS =
  'create table customers (id bigint primary key, agency_id text not null, email text not null, name text not null, city text not null, note text not null)'

/** The columns of `customers` for the ids from $1 to $2. */
export const GENERATED = `select i, 'agency-' || i % 50, 'customer-' || i || '@example.com', 'Customer number ' || i, 'City ' || i % 1000, repeat('n', 240)
  from generate_series($1::int, $2::int) i`

/** One durable embedded server (fsync on) with a database for the owner, one for the keeper and one for the bus. */
export interface Stage extends AsyncDisposable {
  readonly server: EmbeddedPostgres
  readonly owner: string
  readonly keeper: string
  readonly bus: string
}

/** @param broker URL of another broker than a bus in Postgres */
export async function stage(broker?: string, settings: Readonly<Record<string, string>> = {}): Promise<Stage> {
  const server = await launchPostgres({ settings: { shared_buffers: '512MB', max_wal_size: '4GB', max_connections: '120', ...settings } })
  for (const name of ['owner', 'keeper']) await server.createDatabase(name)
  const bus = broker ?? (await server.createDatabase('bus'))
  if (broker === undefined) await migrateBus({ url: bus })
  return {
    server,
    owner: server.databaseUrl('owner'),
    keeper: server.databaseUrl('keeper'),
    bus,
    [Symbol.asyncDispose]: () => server.close(),
  }
}

/** One connection for the length of `work`. */
export async function withClient<Result>(url: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
