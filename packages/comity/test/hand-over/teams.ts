import { type Entity, entity } from '@comity/contract'
import { type Queryable, type Team, team } from 'comity'
import { listHandOvers } from 'comity/admin'
import { type TestBus, type TestTeam, testBus } from 'comity/testing'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import type { Database } from '../../src/postgres/database.ts'
import { act } from '../admin/act.ts'
import { eventually } from '../control/eventually.ts'

export const options = {
  key: 'id',
  tenant: 'agencyId',
  state: z.object({ id: z.string(), agencyId: z.string(), email: z.string(), name: z.string().nullable() }),
} as const
/** As everybody knows it before. */
export const Before = entity('crm.customer', options)
/** As the team that gets it knows it, and others when they like. */
export const After = entity('crm.customer', { ...options, owner: 'accounts', former: ['crm'] })
/** Given back. */
export const Back = entity('crm.customer', { ...options, former: ['crm', 'accounts'] })

export const TABLE = 'create table if not exists customers (id text primary key, agency_id text not null, email text not null, name text)'
const COLUMNS = { columns: { agencyId: 'agency_id' } }

export const owning = (name: string, customer: Entity): Team<Queryable> =>
  team<Queryable>(name).owns(customer as typeof Before, { table: 'customers' })
export const keeping = (name: string, customer: Entity, fields: readonly ('email' | 'name')[] = ['email', 'name']): Team<Queryable> =>
  team<Queryable>(name).keeps(customer as typeof Before, { fields, table: 'customers', ...COLUMNS })

export interface Place {
  readonly bus: TestBus
  readonly url: string
}

/** Teams of one bus that are stopped at the end of a test. */
export class Teams {
  readonly #running: TestTeam<Queryable>[] = []
  bus = testBus()

  async place(): Promise<Place> {
    return { bus: this.bus, url: (await freshDatabase({ migrated: true })).url }
  }

  async run(
    config: Team<Queryable>,
    place: Place,
    setup?: string,
    database?: (url: string) => Database<Queryable>,
  ): Promise<TestTeam<Queryable>> {
    const one = await testTeam<Queryable>(config, {
      ...place,
      ...(setup ? { setup: async (db) => void (await db.query(setup)) } : {}),
      ...(database ? { database } : {}),
    })
    this.#running.push(one)
    return one
  }

  async stop(one: TestTeam<Queryable>): Promise<void> {
    this.#running.splice(this.#running.indexOf(one), 1)
    await one[Symbol.asyncDispose]()
  }

  async stopAll(): Promise<void> {
    for (const one of this.#running.splice(0)) await one[Symbol.asyncDispose]()
    this.bus = testBus()
  }
}

/** As soon as the owner has heard that the other team keeps all of it, and no copy is being filled. */
export async function give(owner: TestTeam<Queryable>, to = 'accounts'): Promise<{ readonly version: number }> {
  return eventually('the map of the owner', () =>
    act<{ version: number }>(owner.team as never, 'hand-over', { entity: 'crm.customer', to }).catch((error: Error) => {
      if (/no copy|being filled|never filled/.test(error.message)) return undefined
      throw error
    }),
  )
}
/** Resolves when this team has heard of so many hand-overs. */
export async function heard(one: TestTeam<Queryable>, count = 1): Promise<void> {
  await eventually('it is heard of', async () => ((await listHandOvers(one.team.environment as never)).length >= count ? true : undefined))
}
/** Resolves when its copy is filled and settled. */
export async function ready(one: TestTeam<Queryable>): Promise<void> {
  await eventually('it is filled', async () => (await one.db.query(`select from comity.asked_backfills where state = 'ready'`)).rows[0])
}
/** At the team that gets it: nothing is in the way any more. */
export async function takeable(next: TestTeam<Queryable>): Promise<void> {
  await eventually('it can be taken over', async () => {
    const { rows } = await next.db.query<{ problem: string | null }>(
      'select comity.take_over_problem(r.topic, r.name) as problem from comity.replicas r',
    )
    return rows[0]?.problem === null ? true : undefined
  })
}
/** At the owner: every bucket has its mark. */
export async function told(owner: TestTeam<Queryable>): Promise<void> {
  await eventually('every reader is told', async () => (await listHandOvers(owner.team.environment as never))[0]?.toldAt ?? undefined)
}
/** Of this database. */
export async function lastDrawn(one: TestTeam<Queryable>): Promise<number> {
  return Number((await one.db.query<{ last: string }>('select last_value::text as last from comity.outbox_id')).rows[0]?.last)
}
export async function rowsOf(one: TestTeam<Queryable>): Promise<unknown> {
  return (await one.db.query('select id, agency_id as "agencyId", email, name from customers order by id')).rows
}
export async function copied(one: TestTeam<Queryable>, email: string): Promise<void> {
  await eventually(`${email} in the copy`, async () => (await one.db.query('select 1 from customers where email = $1', [email])).rows[0])
}
