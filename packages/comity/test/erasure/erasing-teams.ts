import { entity, event } from '@comity/contract'
import { PermanentError, type Queryable, team } from 'comity'
import { type ErasureRecord, erasureRegister } from 'comity/admin'
import type { TestBus, TestTeam } from 'comity/testing'
import { expect } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import { act } from '../admin/act.ts'
import { type Before, watched } from '../backfill/customers.ts'

export const Customer = entity('crm.customer', {
  key: 'id',
  tenant: 'agencyId',
  state: z.object({ id: z.string(), agencyId: z.string(), email: z.email(), name: z.string() }),
})
/** Published by code. */
export const Profile = entity('crm.profile', { key: 'id', state: z.object({ id: z.string(), about: z.string() }) })
export const Called = event('crm.customer-called', { key: 'customerId', data: z.object({ customerId: z.string(), said: z.string() }) })

/** What names the person, wherever it stands. */
export const MARKER = 'marker-4711'

export async function newCrm(
  bus: TestBus,
  options: { rows?: number; batch?: number; url?: string; before?: Before } = {},
): Promise<TestTeam<Queryable>> {
  const { rows = 0, batch, before } = options
  const url = options.url ?? (await freshDatabase({ migrated: true })).url
  const config = team<Queryable>('crm', batch === undefined ? {} : { backfill: { batch } })
    .owns(Customer, { table: 'customers' })
    .owns(Profile)
    .publishes(Called)
  return testTeam<Queryable>(config, {
    ...{ bus, url },
    ...(before === undefined ? {} : { database: () => watched(url, before) }),
    async setup(db) {
      await db.query(
        'create table if not exists customers (id text primary key, agency_id text not null, email text not null, name text not null)',
      )
      await db.query(
        `insert into customers select 'c' || i, 'a1', 'c' || i || '@example.com', 'C' from generate_series(1, ${rows}) i on conflict do nothing`,
      )
    },
  })
}

/** Keeps customers, and hears of everything; what its handlers can't take waits in lines. */
export async function newMarketing(
  bus: TestBus,
  options: { url?: string; refuses?: () => boolean; heard?: (message: { kind: string; version: number }) => void; before?: Before } = {},
): Promise<TestTeam<Queryable>> {
  const { refuses = () => false, heard = () => undefined, before } = options
  const url = options.url ?? (await freshDatabase({ migrated: true })).url
  const config = team<Queryable>('marketing', { allowEdit: true })
    .keeps(Customer, { fields: ['email', 'name'] })
    .keeps(Profile, { fields: ['about'] })
    .on(
      Customer,
      (message) => {
        heard(message)
        if (refuses() && message.kind !== 'deleted') throw new PermanentError(`not now, ${MARKER}`)
      },
      { name: 'customers-heard', breaker: false },
    )
    .on(Called, () => {
      if (refuses()) throw new PermanentError(`not now, ${MARKER}`)
    })
  return testTeam<Queryable>(config, { bus, url, ...(before === undefined ? {} : { database: () => watched(url, before) }) })
}

/** The owner's own row is its own business: this is what its application does before it erases. */
export async function eraseCustomer(crm: TestTeam<Queryable>, key = 'c1'): Promise<ErasureRecord> {
  await crm.db.query('delete from customers where id = $1', [key])
  return erase(crm, Customer.name, key)
}

/** Erases, and waits until everybody who is known to read it has answered. */
export async function erase(crm: TestTeam<Queryable>, topic: string, key: string, args: object = {}): Promise<ErasureRecord> {
  const { erasure } = await act<{ erasure: string }>(crm.team as never, 'erase', { topic, key, ...args })
  await expect.poll(() => missing(crm, erasure), { timeout: 60_000, interval: 10 }).toEqual([])
  return record(crm, erasure)
}

export async function record(crm: TestTeam<Queryable>, id: string): Promise<ErasureRecord> {
  return (await erasureRegister(crm.team.environment, { id })).erasures[0] as ErasureRecord
}

async function missing(crm: TestTeam<Queryable>, id: string): Promise<unknown> {
  const { announcedAt, missing: teams } = await record(crm, id)
  return announcedAt === null ? 'not announced' : teams
}

/** Every table of the database with a row that holds the text, wherever in it. */
export async function tablesWith(db: TestTeam<Queryable>['db'], text: string): Promise<readonly string[]> {
  const { rows: tables } = await db.query<{ name: string }>(
    `select format('%I.%I', table_schema, table_name) as name from information_schema.tables
     where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema') order by 1`,
  )
  const found: string[] = []
  for (const { name } of tables) {
    const { rows } = await db.query<{ found: boolean }>(`select exists (select from ${name} t where strpos(t::text, $1) > 0) as found`, [
      text,
    ])
    if (rows[0]?.found) found.push(name)
  }
  return found
}

/** Until the owner knows who reads it, and the copies are filled. */
export async function settled(crm: TestTeam<Queryable>, marketing: TestTeam<Queryable>): Promise<void> {
  const known = async () => (await crm.db.query('select subscription from comity.holders order by subscription')).rows.length
  await expect.poll(known, { timeout: 60_000, interval: 10 }).toBe(4)
  const filled = async () =>
    (await marketing.db.query<{ state: string }>('select state from comity.asked_backfills')).rows.map(({ state }) => state)
  await expect.poll(filled, { timeout: 60_000, interval: 10 }).toEqual(['ready', 'ready'])
}
