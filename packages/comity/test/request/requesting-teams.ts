import { entity, request } from '@comity/contract'
import { type Queryable, type Team, type TeamContext, type TeamOptions, team } from 'comity'
import type { TestBus, TestTeam } from 'comity/testing'
import { z } from 'zod'
import { testTeam } from '../../../../test/support/test-team.ts'
import { eventually } from '../control/eventually.ts'

export const Customer = entity('crm.customer', {
  key: 'id',
  tenant: 'agencyId',
  state: z.object({
    id: z.string(),
    agencyId: z.string(),
    email: z.string(),
    name: z.string(),
    seen: z.iso.datetime().nullable(),
    score: z.number(),
    tags: z.array(z.string()),
  }),
})
/** Published by code. */
export const Profile = entity('crm.profile', { key: 'id', state: z.object({ id: z.string(), about: z.string() }) })

export const ChangeEmail = request('crm.change-customer-email', {
  entity: Customer,
  key: 'customerId',
  tenant: 'agencyId',
  data: z.object({ customerId: z.string(), agencyId: z.string(), email: z.string() }),
  rejects: { 'email-taken': z.object({ by: z.string() }), 'customer-closed': null },
})
export const ChangeAbout = request('crm.change-about', {
  entity: Profile,
  key: 'profileId',
  data: z.object({ profileId: z.string(), about: z.string() }),
})

declare const anyTeam: Team<Queryable>
export type ChangeEmailReaction = Parameters<typeof anyTeam.asks<typeof ChangeEmail>>[1]
type ChangeEmailAnswer = Parameters<typeof anyTeam.answers<typeof ChangeEmail>>[1]

/** Owns customers and profiles; what it does with what is asked, the test says. */
export async function newCrm(
  bus: TestBus,
  options: {
    answer?: ChangeEmailAnswer
    url?: string
    customers?: number
    given?: TeamOptions<Queryable>
    attempts?: number
  } = {},
): Promise<TestTeam<Queryable>> {
  const { answer = changeEmail, url, customers = 3, attempts = 1 } = options
  const config = team<Queryable>('crm', options.given ?? {})
    .owns(Customer, { table: 'customers' })
    .owns(Profile)
    .answers(ChangeEmail, answer, { attempts, breaker: false })
    .answers(ChangeAbout, async ({ data }, { publish }) => {
      await publish(Profile, { id: data.profileId, about: data.about })
    })
  return testTeam<Queryable>(config, {
    ...{ bus },
    ...(url === undefined ? {} : { url }),
    async setup(db) {
      await db.query(
        `create table if not exists customers (id text primary key, agency_id text not null, email text not null unique, name text not null,
          seen timestamptz, score double precision not null default 0.1, tags text[] not null default '{}')`,
      )
      await db.query(
        `insert into customers (id, agency_id, email, name, seen, tags)
         select 'c' || i, 'a1', 'c' || i || '@example.com', 'C', '2026-01-01 00:00:00.5Z', '{new}' from generate_series(1, $1::int) i on conflict do nothing`,
        [customers],
      )
    },
  })
}

export async function changeEmail(
  { key, data }: { readonly key: string; readonly data: { readonly email: string } },
  { tx }: TeamContext<Queryable>,
): Promise<void> {
  await tx.query('update customers set email = $1::text where id = $2::text', [data.email, key])
}

/** Keeps customers and asks for changes of them. */
export async function newAsker(
  bus: TestBus,
  options: {
    name?: string
    url?: string
    fields?: readonly ('email' | 'name' | 'seen' | 'score' | 'tags')[]
    /** What it does with outcomes. */
    react?: ChangeEmailReaction
    timeout?: `${number}ms`
    /** SQL of a table of its own. */
    table?: string
  } = {},
): Promise<TestTeam<Queryable>> {
  const { name = 'marketing', url, fields = ['email', 'name', 'seen', 'score', 'tags'], react, timeout = '10000ms', table } = options
  const config = team<Queryable>(name)
    .keeps(Customer, { fields })
    .keeps(Profile, { fields: ['about'] })
    .asks(ChangeAbout)
  if (react === undefined) config.asks(ChangeEmail)
  else config.asks(ChangeEmail, react, { timeout })
  return testTeam<Queryable>(config, {
    bus,
    ...(url === undefined ? {} : { url }),
    ...(table === undefined ? {} : { setup: (db) => db.query(table) }),
  })
}

/** Until the copies are filled: a backfill that goes on gives rows new versions. */
export async function filled(asker: TestTeam<Queryable>): Promise<void> {
  await eventually('the copies are filled', async () => {
    const { rows } = await asker.db.query<{ state: string }>('select state from comity.asked_backfills')
    return rows.length === 2 && rows.every(({ state }) => state === 'ready') ? true : undefined
  })
}

/** One request in a transaction of its own. */
export async function askFor(
  asker: TestTeam<Queryable>,
  customerId: string,
  email: string,
  options: Parameters<Team<Queryable>['ask']>[3] = {},
): ReturnType<typeof asker.team.ask<typeof ChangeEmail>> {
  return asker.db.transaction((tx) => asker.team.ask(tx, ChangeEmail, { customerId, agencyId: 'a1', email }, options as never))
}

export async function customer(crm: TestTeam<Queryable>, id: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  return (await crm.db.query<Record<string, unknown>>('select id, email, name from customers where id = $1', [id])).rows[0]
}

/** What the owner has decided, one text for each row. */
export async function decided(crm: TestTeam<Queryable>): Promise<readonly string[]> {
  const { rows } = await crm.db.query<{ said: string }>(
    `select concat_ws(' ', asker, id, outcome, reason) as said from comity.requests order by asker, id`,
  )
  return rows.map(({ said }) => said)
}
