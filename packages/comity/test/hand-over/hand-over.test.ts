import { type Entity, entity } from '@comity/contract'
import { type Queryable, team } from 'comity'
import { type AuditBegun, auditOf, listHandOvers, listWithheld } from 'comity/admin'
import { type TestBus, type TestTeam, testBus } from 'comity/testing'
import { afterEach, expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import { act } from '../admin/act.ts'
import { eventually } from '../control/eventually.ts'

const options = {
  key: 'id',
  tenant: 'agencyId',
  state: z.object({ id: z.string(), agencyId: z.string(), email: z.string(), name: z.string().nullable() }),
} as const
/** As everybody knows it before. */
const Before = entity('crm.customer', options)
/** As the team that gets it knows it, and others when they like. */
const After = entity('crm.customer', { ...options, owner: 'accounts', former: ['crm'] })

const running: TestTeam<Queryable>[] = []
afterEach(async () => {
  for (const one of running.splice(0)) await one[Symbol.asyncDispose]()
})

interface Place {
  readonly bus: TestBus
  readonly url: string
}

async function run(config: ReturnType<typeof team<Queryable>>, place: Place, setup?: string): Promise<TestTeam<Queryable>> {
  const one = await testTeam<Queryable>(config, { ...place, ...(setup ? { setup: async (db) => void (await db.query(setup)) } : {}) })
  running.push(one)
  return one
}
async function stop(one: TestTeam<Queryable>): Promise<void> {
  running.splice(running.indexOf(one), 1)
  await one[Symbol.asyncDispose]()
}

const TABLE = 'create table if not exists customers (id text primary key, agency_id text not null, email text not null, name text)'
const crm = (): ReturnType<typeof team<Queryable>> => team<Queryable>('crm').owns(Before, { table: 'customers' })
const keeping = (name: string, customer: Entity): ReturnType<typeof team<Queryable>> =>
  team<Queryable>(name).keeps(customer as typeof Before, { fields: ['email', 'name'], table: 'customers' })
const accounts = (): ReturnType<typeof team<Queryable>> => team<Queryable>('accounts').owns(After, { table: 'customers' })

async function places(): Promise<Readonly<Record<'crm' | 'accounts' | 'marketing', Place>>> {
  const bus = testBus()
  const place = async (): Promise<Place> => ({ bus, url: (await freshDatabase({ migrated: true })).url })
  return { crm: await place(), accounts: await place(), marketing: await place() }
}

async function give(owner: TestTeam<Queryable>): Promise<{ version: number }> {
  return eventually('the map of the owner', () =>
    act<{ version: number }>(owner.team as never, 'hand-over', { entity: 'crm.customer', to: 'accounts' }).catch((error: Error) => {
      if (/no copy|is being filled/.test(error.message)) return undefined
      throw error
    }),
  )
}
async function rowsOf(one: TestTeam<Queryable>): Promise<unknown> {
  return (await one.db.query('select id, agency_id as "agencyId", email, name from customers order by id')).rows
}
async function copied(one: TestTeam<Queryable>, email: string): Promise<void> {
  await eventually(`${email} in the copy`, async () => (await one.db.query('select 1 from customers where email = $1', [email])).rows[0])
}

test('an entity goes to another team: its readers go on as they are, and nothing is lost', async () => {
  const at = await places()
  const next = await run(keeping('accounts', Before), at.accounts)
  // Its versions begin below those of the owner of before: only taking over moves them.
  await next.db.query('select comity.notice_incarnation()::text')
  const owner = await run(crm(), at.crm, TABLE)
  await owner.db.query(
    `insert into customers values ('c1', 'a1', 'one@x.org', 'One'), ('c2', 'a1', 'two@x.org', null), ('c3', 'a2', 'three@x.org', 'Three')`,
  )
  const reader = await run(keeping('marketing', Before), at.marketing)
  await copied(next, 'three@x.org')
  await copied(reader, 'three@x.org')
  await owner.db.query(`update customers set email = 'last@x.org' where id = 'c1'`)
  await owner.db.query(`delete from customers where id = 'c3'`)

  const lastOf = async (team: TestTeam<Queryable>) =>
    Number((await team.db.query<{ last: string }>('select last_value::text as last from comity.outbox_id')).rows[0]?.last)
  const { version } = await give(owner)
  expect(await lastOf(next)).toBeLessThan(version)
  // Somebody who does not know yet: named, and not lost without a word.
  await owner.db.query(`update customers set email = 'too-late@x.org' where id = 'c2'`)
  const withheld = await eventually('what is withheld', async () => (await listWithheld(owner.team.environment as never))[0])
  expect(withheld).toMatchObject({ topic: 'crm.customer', key: 'c2', code: 'COMITY_HANDED_OVER' })
  expect(withheld.version).toBeGreaterThan(version)
  await eventually('every reader is told', async () => (await listHandOvers(owner.team.environment as never))[0]?.toldAt ?? undefined)

  await copied(next, 'last@x.org')
  await eventually('both have heard', async () => (await listHandOvers(reader.team.environment as never))[0])
  await stop(next)
  const heir = await run(accounts(), at.accounts)
  expect(await rowsOf(heir)).toEqual([
    { id: 'c1', agencyId: 'a1', email: 'last@x.org', name: 'One' },
    { id: 'c2', agencyId: 'a1', email: 'two@x.org', name: null },
  ])
  expect(await lastOf(heir)).toBeGreaterThan(version)
  // What the reader knows as the owner's contract still names the team of before.
  await heir.db.query(`insert into customers (id, agency_id, email, name) values ('c3', 'a2', 'again@x.org', 'Again')`)
  await heir.db.query(`update customers set email = 'first@x.org' where id = 'c1'`)
  await heir.db.query(`delete from customers where id = 'c2'`)
  await copied(reader, 'first@x.org')
  await eventually('the deletion', async () => ((await reader.db.query('select from customers')).rows.length === 2 ? true : undefined))
  expect(await rowsOf(reader)).toEqual(await rowsOf(heir))
  expect((await heir.team.migrate()).applied).toEqual([])

  // And it knows its new owner when it is deployed the next time: it can be filled and compared by it.
  await stop(reader)
  const later = await run(keeping('marketing', After), at.marketing)
  const joined = await run(keeping('sales', After), { bus: at.crm.bus, url: (await freshDatabase({ migrated: true })).url })
  await copied(joined, 'first@x.org')
  await heir.db.query(`update customers set name = 'Changed' where id = 'c1'`)
  await eventually('one that joined', async () => ((await rowsOf(joined)) as { name: string }[]).find(({ name }) => name === 'Changed'))
  const { audits } = await act<AuditBegun>(later.team as never, 'audit', { replica: 'marketing.crm-customer' })
  const compared = await eventually('the audit', async () => {
    const one = await auditOf(later.team.environment as never, audits[0]?.id ?? '')
    return one.state === 'ended' ? one : undefined
  })
  expect(compared).toMatchObject({ verdict: 'true', ourRows: 2 })
  expect(await rowsOf(later)).toEqual(await rowsOf(heir))
})

test('code of before that still runs when its copy is taken takes nothing more for it, and leaves no line behind', async () => {
  const at = await places()
  const owner = await run(crm(), at.crm, TABLE)
  await owner.db.query(`insert into customers values ('c1', 'a1', 'one@x.org', 'One')`)
  const next = await run(keeping('accounts', Before), at.accounts)
  await copied(next, 'one@x.org')
  await give(owner)
  const problem = `select comity.take_over_problem('crm.customer', 'accounts.crm-customer') as problem`
  await eventually(
    'its copy can be taken',
    async () => (await next.db.query<{ problem: string | null }>(problem)).rows[0]?.problem === null || undefined,
  )
  const heir = await run(accounts(), at.accounts)
  const reader = await run(keeping('marketing', After), at.marketing)
  await heir.db.query(`update customers set email = 'next@x.org'`)
  await heir.db.query(`insert into customers values ('c2', 'a1', 'two@x.org', null)`)
  await copied(reader, 'two@x.org')
  const ofCopy = async (team: TestTeam<Queryable>) =>
    (await team.team.status()).subscriptions.find(({ name }) => name === 'accounts.crm-customer')
  await eventually('the code of before stands still', async () => {
    const { state, processes = [] } = (await ofCopy(next)) ?? {}
    return state === 'paused' && processes.every(({ inFlight }) => inFlight === 0) ? true : undefined
  })
  expect(await ofCopy(heir)).toMatchObject({ state: 'orphaned', waitingKeys: 0 })
  expect((await heir.db.query('select from comity.waiting')).rows).toEqual([])
})

test('who keeps a copy again, later, takes what comes for it', async () => {
  const at = await places()
  const owner = await run(crm(), at.crm, TABLE)
  // As taking over leaves it.
  const next = await run(
    keeping('accounts', Before),
    at.accounts,
    `insert into comity.pauses (subscription, by, reason, author) values ('accounts.crm-customer', 'operator', 'its copy was taken', 'comity migrate')`,
  )
  await owner.db.query(`insert into customers values ('c1', 'a1', 'one@x.org', 'One')`)
  await copied(next, 'one@x.org')
})
