import { once } from 'node:events'
import pg from 'pg'
import { freshDatabase, type ServerName } from '../../../../test/support/postgres.ts'
import { comity, fixture } from './comity.ts'

/** Three new databases, of CRM, Marketing (both with the numbered migrations, unless `empty`) and the bus, and the environment that the fixtures' configurations read. */
export interface Agency {
  readonly crm: pg.Client
  readonly marketing: pg.Client
  readonly env: { readonly CRM_URL: string; readonly MARKETING_URL: string; readonly BUS_URL: string }
  readonly busName: string
  close(): Promise<void>
}

export const CRM: string = fixture('crm')
export const MARKETING: string = fixture('marketing')
/** Both, in one configuration. */
export const BOTH: string = fixture('both')

export async function newAgency(server: ServerName = 'npm', { empty = false } = {}): Promise<Agency> {
  const [crmDatabase, marketingDatabase, bus] = [
    await freshDatabase({ server, migrated: !empty }),
    await freshDatabase({ server, migrated: !empty }),
    await freshDatabase({ server }),
  ]
  const [crm, marketing] = [new pg.Client(crmDatabase.url), new pg.Client(marketingDatabase.url)]
  await crm.connect()
  await marketing.connect()
  await crm.query(CUSTOMERS)
  return {
    crm,
    marketing,
    env: { CRM_URL: crmDatabase.url, MARKETING_URL: marketingDatabase.url, BUS_URL: bus.url },
    busName: bus.name,
    async close() {
      await crm.end()
      await marketing.end()
    },
  }
}

export const CUSTOMERS = `
  create table customers (id text primary key, agency_id text not null, email text not null, name text not null, phone text)`

/** Migrates and provisions both teams by the commands. */
export async function prepare({ env }: Agency): Promise<void> {
  for (const command of ['migrate', 'provision']) {
    const { code, stderr } = await comity([command, '--config', BOTH], { env })
    if (code !== 0) throw new Error(`${command}: ${stderr}`)
  }
}

export function insertCustomer(id: string): string {
  return `insert into customers values ('${id}', 'a1', '${id}@example.com', 'Customer ${id}', null)`
}

/** Resolves when any row of the table was written by somebody's commit (a backfill says old ones again): the database itself tells. Call it before the write. */
export async function watchTable(client: pg.Client, table: string): Promise<() => Promise<void>> {
  const name = `written_${table.replaceAll('.', '_')}`
  await client.query(
    `create or replace function ${name}() returns trigger language plpgsql as $$ begin perform pg_notify('${name}', ''); return null; end $$`,
  )
  await client.query(
    `create or replace trigger ${name} after insert or update or delete on ${table} for each row execute function ${name}()`,
  )
  await client.query(`listen ${name}`)
  const written = once(client, 'notification')
  return async () => {
    await written
    await client.query(`unlisten ${name}`)
  }
}
