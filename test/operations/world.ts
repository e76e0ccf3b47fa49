import type { Queryable, Team } from 'comity'
import { listSubscriptions } from 'comity/admin'
import pg from 'pg'
import { until } from '../chaos/until.ts'
import { freshDatabase } from '../support/postgres.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

/** The agency that runs: databases, a bus, and processes that can be stopped and started. */
export interface World {
  readonly crm: pg.Client
  readonly marketing: pg.Client
  /** Between everybody and the bus. */
  readonly bus: TcpProxy
  start(team: TeamName, code?: () => Team<Queryable>): Promise<void>
  stop(team: TeamName): Promise<void>
  /** Sends an email; it is at the broker when this resolves. @returns the message's id */
  send(customer: string, tenant?: string): Promise<string>
  insertCustomers(...ids: string[]): Promise<void>
  /** Keeps a copy of crm's database as it is now; answered is what puts the copy in the place of the database. */
  backUp(): Promise<() => Promise<void>>
  /** Until everything that was written has ended; what waits, waits. */
  settled(): Promise<void>
  close(): Promise<void>
}
export type TeamName = 'crm' | 'marketing'

const TABLES = `
  create table customers (id text primary key, agency_id text not null, email text not null, name text not null);
  create table broken (customer text primary key);
  create table written_back (customer text not null)`

const BUSY = `
  select exists (select from comity.outbox o, comity.checkpoint c where o.id > c.id) or exists (select from comity.subscriptions where seek is not null)
    or exists (select from comity.processes p, jsonb_each(p.progress -> 'subscriptions') s where s.value ->> 'state' in ('working', 'trouble')) as busy`

/** @param code what is deployed; read after the environment names the databases */
export async function newWorld(code: () => Promise<Record<TeamName, () => Team<Queryable>>>): Promise<World> {
  const direct = (await freshDatabase()).url
  const bus = await TcpProxy.start(direct)
  const urls = { CRM_URL: (await freshDatabase()).url, MARKETING_URL: (await freshDatabase()).url, BUS_URL: bus.through(direct) }
  Object.assign(process.env, urls)
  const deployed = await code()
  const clients = { crm: await connect(urls.CRM_URL), marketing: await connect(urls.MARKETING_URL) }
  await clients.crm.query(TABLES)
  const running = new Map<TeamName, Team<Queryable>>()

  const world: World = {
    get crm() {
      return clients.crm
    },
    ...{ marketing: clients.marketing, bus },
    async start(name, other) {
      const team = (other ?? deployed[name])()
      await team.migrate()
      await team.provision()
      await team.start()
      running.set(name, team)
    },
    async stop(name) {
      await running.get(name)?.stop()
      running.delete(name)
    },
    async send(customerId, agencyId = 'agency-7') {
      const { rows } = await clients.marketing.query(`select comity.publish('marketing.email-sent', $1)::text as version`, [
        JSON.stringify({ customerId, agencyId }),
      ])
      return `marketing-${rows[0].version}`
    },
    async insertCustomers(...ids) {
      await clients.crm.query(
        `insert into customers select id, 'agency-7', id || '@example.com', initcap(id) from unnest($1::text[]) id
         on conflict (id) do update set name = customers.name || '.'`,
        [ids],
      )
    },
    async backUp() {
      const name = new URL(urls.CRM_URL).pathname.slice(1)
      const copy = `${name}_backup`
      // Nobody may be connected to what is copied.
      const alone = async (...statements: readonly string[]): Promise<void> => {
        await world.stop('crm')
        await clients.crm.end()
        for (const statement of statements) await clients.marketing.query(statement)
        clients.crm = await connect(urls.CRM_URL)
        await world.start('crm')
      }
      await alone(`create database ${copy} template ${name} strategy file_copy`)
      return () => alone(`drop database ${name} with (force)`, `alter database ${copy} rename to ${name}`)
    },
    async settled() {
      for (const team of running.values()) await team.drained()
      for (const team of running.values()) await team.caughtUp()
      // What a subscription goes back to is behind it again.
      for (const { name, declaration, environment } of running.values())
        await until(`nothing is on its way to ${name}`, async () =>
          (await listSubscriptions(declaration, environment)).every(
            ({ state, lag }) => lag === 0 || !['seeking', 'working', 'idle'].includes(state),
          ),
        )
      // A step later the checkpoint has moved; and each process reports of itself every five seconds, if something has changed.
      for (const name of running.keys())
        await until(`nothing is under way in ${name}`, async () => {
          const { rows } = await clients[name].query(BUSY)
          return rows[0].busy === false
        })
    },
    async close() {
      for (const name of running.keys()) await world.stop(name)
      for (const client of Object.values(clients)) await client.end()
      await bus.close()
    },
  }
  for (const name of ['crm', 'marketing'] as const) await world.start(name)
  return world
}

async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client(connectionString)
  // One section cuts connections.
  client.on('error', () => undefined)
  await client.connect()
  return client
}
