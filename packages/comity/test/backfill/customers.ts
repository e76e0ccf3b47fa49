import { entity } from '@comity/contract'
import { team } from 'comity'
import type { TestBus, TestTeam } from 'comity/testing'
import { expect } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import type { Database } from '../../src/postgres/database.ts'
import type { PostgresDatabase, Queryable } from '../../src/postgres/index.ts'
import { connect } from '../../src/postgres/index.ts'

export const Customer = entity('crm.customer', {
  key: 'id',
  tenant: 'agencyId',
  state: z.object({ id: z.string(), agencyId: z.string(), email: z.email(), name: z.string() }),
})

/** Before statements and sends that a test looks for; what it answers is waited for. */
export type Before = (text: string) => Promise<void> | void

/** A database whose statements are seen before they run. */
export function watched(url: string, before: Before): Database<Queryable> {
  const database = connect(url, { max: 6 })
  const seen = (queryable: Queryable): Queryable => ({
    async query(text, values) {
      await before(text)
      return queryable.query(text, values)
    },
    ...(queryable.copyIn && {
      async copyIn(statement, data, meanwhile) {
        await before(statement)
        await queryable.copyIn?.(statement, data, meanwhile)
      },
    }),
  })
  return {
    ...seen(database),
    async transaction(work) {
      const result = await database.transaction(work)
      await before('-- committed')
      return result
    },
    join: (tx) => seen(database.join(tx)),
    close: () => database.close(),
    [Symbol.asyncDispose]: () => database.close(),
  }
}

export const CUSTOMERS = 'create table customers (id text primary key, agency_id text not null, email text not null, name text not null)'
/** `count` rows that nobody has announced: older than Comity. */
export const oldRows = (count: number): string =>
  `insert into customers select 'c' || i, 'a' || i % 3, 'c' || i || '@example.com', 'C' || i from generate_series(1, ${count}) i`

export async function newCrm(
  bus: TestBus,
  options: { rows?: number; batch?: number; rate?: number; before?: Before; latency?: `${number}ms` } = {},
): Promise<TestTeam<Queryable>> {
  const { rows = 0, rate, batch, before, latency } = options
  const url = (await freshDatabase({ migrated: true })).url
  return testTeam<Queryable>(
    team<Queryable>('crm', {
      backfill: {
        ...(rate === undefined ? {} : { rate: `${rate}/s` }),
        ...(batch === undefined ? {} : { batch }),
        latency: latency ?? '1000ms',
      },
    }).owns(Customer, {
      table: 'customers',
    }),
    {
      ...{ bus, url },
      ...(before === undefined ? {} : { database: () => watched(url, before) }),
      async setup(db) {
        await db.query(CUSTOMERS)
        await db.query(oldRows(rows))
      },
    },
  )
}

export async function newMarketing(
  bus: TestBus,
  options: { before?: Before; fields?: readonly ('email' | 'name')[]; url?: string } = {},
): Promise<TestTeam<Queryable>> {
  const url = options.url ?? (await freshDatabase({ migrated: true })).url
  const { before, fields = ['email', 'name'] } = options
  return testTeam<Queryable>(team<Queryable>('marketing').keeps(Customer, { fields }), {
    ...{ bus, url },
    ...(before === undefined ? {} : { database: () => watched(url, before) }),
  })
}

export const asked = async (db: PostgresDatabase) =>
  (
    await db.query<{
      id: string
      state: string
      rows: string
      refused: string
      removed: string
      withheld: string
      last_version: string
      owner_state: string
      reason: string
    }>('select * from comity.asked_backfills order by asked_at desc')
  ).rows

export const stateOf = async (db: PostgresDatabase): Promise<string | undefined> => (await asked(db))[0]?.state

export async function ready(db: PostgresDatabase): Promise<void> {
  await expect.poll(() => stateOf(db), { timeout: 60_000, interval: 10 }).toBe('ready')
}

/** Fills the copy again. */
export async function again(db: PostgresDatabase, why = 'asked'): Promise<void> {
  await db.query(
    `insert into comity.asked_backfills (replica, owner, entity, why) values ('marketing.crm-customer', 'crm', 'crm.customer', $1)`,
    [why],
  )
}

export const owned = async (db: PostgresDatabase) => (await db.query('select id, email, name from customers order by id')).rows
export const copied = async (db: PostgresDatabase) => (await db.query('select id, email, name from crm_customer order by id')).rows
