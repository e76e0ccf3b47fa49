import { team } from 'comity'
import pg from 'pg'
import { type Round, timed } from './measure.ts'
import { CREATE_CUSTOMERS, Customer, EmailSent, stage } from './stage.ts'

const CONNECTIONS = 8
const INSERT = `insert into %t values ($1, 'agency-1', 'customer@example.com', 'Customer', 'City', repeat('n', 240))`

/** Business transactions per second: one insert each into a captured table. Limit: the same table without capture. */
export function capture(events: number): Promise<Round> {
  return businessTransactions(events, 'customers', async () => undefined)
}

/** Business transactions per second: one insert and one `publish` each. Limit: the insert alone. */
export function publish(events: number): Promise<Round> {
  const owner = team<pg.PoolClient>('owner', { database: 'postgres://unused' }).publishes(EmailSent)
  return businessTransactions(events, 'bare', (client, i) =>
    owner.publish(client, EmailSent, { customerId: i, agencyId: 'agency-1', note: 'n'.repeat(280) }),
  )
}

async function businessTransactions(
  events: number,
  table: string,
  also: (client: pg.PoolClient, i: number) => Promise<unknown>,
): Promise<Round> {
  await using on = await stage()
  const pool = new pg.Pool({ connectionString: on.owner, max: CONNECTIONS })
  try {
    await pool.query(CREATE_CUSTOMERS)
    await pool.query('create table bare (like customers including all)')
    await team('owner', { database: on.owner }).owns(Customer, { table: 'customers' }).publishes(EmailSent).migrate()
    const warmUp = Math.ceil(events / 10)
    await run(pool, 'bare', warmUp, async () => undefined, 0)
    await run(pool, table, warmUp, also, warmUp)
    const bare = await timed(() => run(pool, 'bare', events, async () => undefined, events))
    const measured = await timed(() => run(pool, table, events, also, 2 * events))
    return { events, seconds: measured.seconds, cpuSeconds: measured.cpuSeconds, limitRate: events / bare.seconds }
  } finally {
    // Its clients say goodbye without waiting for an answer: the server may end first.
    pool.on('error', () => undefined)
    await pool.end()
  }
}

async function run(
  pool: pg.Pool,
  table: string,
  events: number,
  also: (client: pg.PoolClient, i: number) => Promise<unknown>,
  first: number,
): Promise<void> {
  const text = INSERT.replace('%t', table)
  let next = first
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      const client = await pool.connect()
      try {
        while (next < first + events) {
          const i = next++
          await client.query('begin')
          await client.query({ name: table, text, values: [i] })
          await also(client, i)
          await client.query('commit')
        }
      } finally {
        client.release()
      }
    }),
  )
}
