import { type Entity, entity } from '@comity/contract'
import { type Queryable, type Team, team } from 'comity'
import type { TestBus, TestTeam } from 'comity/testing'
import { expect } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'

// Two changes at once: `name` becomes `fullName`, and the words of `status` are others.
const base = { id: z.string(), agencyId: z.string() }
const contract = { key: 'id', tenant: 'agencyId' } as const
const letter = z.enum(['A', 'B'])

export const Customer1 = entity('crm.customer', { ...contract, state: z.object({ ...base, name: z.string(), status: letter }) })
/** Expanded: both names may be there. NULL in the table is `null` in `nick`, and nothing in `fullName` and `alias`. */
export const Customer2 = entity('crm.customer', {
  ...contract,
  state: z.object({
    ...base,
    name: z.string(),
    fullName: z.string().optional(),
    nick: z.string().nullable(),
    alias: z.string().optional(),
    status: letter,
  }),
})
export const Customer3 = entity('crm.customer', {
  ...contract,
  state: z.object({ ...base, fullName: z.string(), status: z.enum(['active', 'blocked']) }),
})

const word = (status: 'A' | 'B') => (status === 'A' ? ('active' as const) : ('blocked' as const))

/** Reads only the newest version. `name` of 'throw' can't be lifted. */
export function marketingTeam(where?: { status: 'active' | 'blocked' }): Team<Queryable> {
  return team<Queryable>('marketing')
    .keeps(Customer3, { fields: ['fullName', 'status'], ...(where ? { where } : {}) })
    .lifts(Customer2, Customer3, ({ fullName, name, status, id, agencyId }) => ({
      ...{ id, agencyId },
      fullName: fullName ?? name,
      status: word(status),
    }))
    .lifts(Customer1, Customer2, (older) => {
      if (older.name === 'throw') throw new RangeError('as the test wants it')
      return { ...older, fullName: `${older.name}!`, nick: null }
    })
}

export const TABLE = `create table customers (id text primary key, agency_id text not null, name text not null, full_name text, nick text, alias text, status text not null)`
/** Rows that nobody has announced: `c1`, …; every other one is blocked. */
export const oldRows = (count: number): string =>
  `insert into customers (id, agency_id, name, status)
   select 'c' || i, 'a' || i % 3, 'C' || i, case when i % 2 = 0 then 'B' else 'A' end from generate_series(1, ${count}) i`

/** CRM with one version of its contract, on a database that may have had another one. */
export async function crmWith(customer: Entity, bus: TestBus, options: { url?: string; rows?: number } = {}): Promise<TestTeam<Queryable>> {
  const { rows } = options
  return testTeam<Queryable>(team<Queryable>('crm').owns(customer, { table: 'customers' }), {
    bus,
    url: options.url ?? (await freshDatabase({ migrated: true })).url,
    async setup(db) {
      if (rows === undefined) return
      await db.query(TABLE)
      await db.query(oldRows(rows))
    },
  })
}

export async function filled(marketing: TestTeam<Queryable>, state = 'ready'): Promise<void> {
  const newest = async () =>
    (await marketing.db.query<{ state: string }>('select state from comity.asked_backfills order by asked_at desc limit 1')).rows[0]?.state
  await expect.poll(newest, { timeout: 120_000 }).toBe(state)
}

export async function copied(marketing: TestTeam<Queryable>, some = 'true'): Promise<readonly string[]> {
  const { rows } = await marketing.db.query<{ row: string }>(
    `select concat_ws(' ', id, agency_id, full_name, status) as row from crm_customer where ${some} order by id`,
  )
  return rows.map(({ row }) => row)
}

/** Has the copy compared, and answers what came of it. */
export async function audit(marketing: TestTeam<Queryable>, repair = false, extent = 'full') {
  const { rows: asked } = await marketing.db.query<{ id: string }>(
    `insert into comity.audits (replica, extent, repair, cause, author, reason)
     values ('marketing.crm-customer', $2::text, $1::text::boolean, 'operator', 'a test', 'to know') returning id::text as id`,
    [String(repair), extent],
  )
  const id = asked[0]?.id as string
  const ended = async () =>
    (
      await marketing.db.query<{ verdict: string; problem: string | null; suspects: number }>(
        `select verdict, problem, suspects from comity.audits where id = $1::text::uuid and state = 'ended'`,
        [id],
      )
    ).rows[0]
  await expect.poll(ended, { timeout: 120_000 }).toBeDefined()
  const { rows } = await marketing.db.query<{ found: string }>(
    `select key || ': ' || class as found from comity.audit_findings where audit = $1::text::uuid order by key collate "C"`,
    [id],
  )
  return { id, ...(await ended()), findings: rows.map(({ found }) => found) }
}
