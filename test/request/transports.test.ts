/** One life of requests on every broker, each team with its least rights there: nobody answers yet, asked, accepted and visible, rejected, in conflict. */
import { type Queryable, type Team, team } from 'comity'
import { describe, expect, test } from 'vitest'
import { connect } from '../../packages/comity/src/postgres/index.ts'
import { ChangeEmail, Customer } from '../../packages/comity/test/request/requesting-teams.ts'
import { BUS_KINDS } from '../support/buses/bus-address.ts'
import { missing } from '../support/buses/launch-bus.ts'
import { launchLimitedBus } from '../support/buses/limited-bus.ts'
import { freshDatabase } from '../support/postgres.ts'

const PATIENCE = { timeout: 60_000 }

const crmConfig = team<Queryable>('crm')
  .owns(Customer, { table: 'customers' })
  .answers(ChangeEmail, async ({ key, data }, { tx, reject }) => {
    await tx.query('update customers set name = $1::text where id = $2::text', ['half done', key])
    const { rows } = await tx.query<{ id: string }>('select id from customers where email = $1::text', [data.email])
    if (rows[0] !== undefined) return reject('email-taken', { by: rows[0].id })
    await tx.query('update customers set email = $1::text, name = $2::text where id = $3::text', [data.email, 'done', key])
    return undefined
  })
const marketingConfig = team<Queryable>('marketing')
  .keeps(Customer, { fields: ['email', 'name'] })
  .asks(ChangeEmail)
/** It keeps what CRM owns, and asks nothing. */
const salesConfig = team<Queryable>('sales').keeps(Customer, { fields: ['name'] })
const configs = [crmConfig, marketingConfig, salesConfig] as readonly Team[]

for (const kind of BUS_KINDS) {
  const reason = await missing(kind)
  const where = reason === undefined ? test : test.skip
  describe(kind, () => {
    where(`a request is answered, and only by whom it is asked of${reason === undefined ? '' : ` (skipped: ${reason})`}`, async () => {
      await using bus = await launchLimitedBus(kind, configs)
      const own = async (config: Team<Queryable>): Promise<Team<Queryable>> => {
        const { url } = await freshDatabase({ migrated: true })
        return config.with<Queryable>({ database: url, transport: await bus.as(config.name), allowUnsafe: true })
      }
      await using crm = await own(crmConfig)
      await using marketing = await own(marketingConfig)
      const [customers, copies] = [crm, marketing].map((one) => connect(one.options.database as unknown as string, { max: 2 })) as [
        ReturnType<typeof connect>,
        ReturnType<typeof connect>,
      ]
      await customers.query(
        `create table customers (id text primary key, agency_id text not null, email text not null, name text not null,
          seen timestamptz, score float8 not null default 0, tags text[] not null default '{}')`,
      )
      await customers.query(
        `insert into customers (id, agency_id, email, name) select 'c' || i, 'a1', 'c' || i || '@example.com', 'C' from generate_series(1, 3) i`,
      )
      await crm.migrate()
      await marketing.migrate()

      // Its own part of the broker is there, and nobody reads what it would ask.
      await bus.provision(marketingConfig as Team)
      await expect(marketing.start()).rejects.toMatchObject({ code: 'COMITY_REQUEST_UNANSWERED' })
      // The owner need not run, nor ever have run.
      await bus.provision(crmConfig as Team)
      await bus.provision(salesConfig as Team)
      await marketing.start()
      const ask = (customerId: string, email: string, options = {}) =>
        copies.transaction((tx) => marketing.ask(tx, ChangeEmail, { customerId, agencyId: 'a1', email }, options))
      const first = await ask('c1', 'new@example.com')
      await crm.start()

      const accepted = await first.outcome(PATIENCE)
      expect(accepted).toMatchObject({ state: 'accepted', version: expect.any(Number) })
      if (accepted.state !== 'accepted') throw new Error('not accepted')
      await accepted.visible(PATIENCE)
      const { rows } = await copies.query<{ email: string; version: string }>(
        `select email, name, comity_version as version from crm_customer where id = 'c1'`,
      )
      expect(rows).toEqual([{ email: 'new@example.com', name: 'done', version: expect.any(String) }])
      // The first filling of the copy, which goes on meanwhile, may have said it again by a later one.
      expect(Number(rows[0]?.version)).toBeGreaterThanOrEqual(accepted.version as number)
      await expect.poll(() => first.state(), PATIENCE).toBe('visible')

      const rejected = await (await ask('c2', 'c3@example.com')).outcome(PATIENCE)
      expect(rejected).toMatchObject({ state: 'rejected', reason: 'email-taken', detail: { by: 'c3' } })
      const stale = await (await ask('c1', 'late@example.com', { expect: { email: 'c1@example.com' } })).outcome(PATIENCE)
      expect(stale).toMatchObject({ state: 'rejected', reason: 'conflict', detail: { email: 'new@example.com' } })
      const seen = { email: 'c2@example.com', name: 'C' }
      expect(await (await ask('c2', 'two@example.com', { expect: seen })).outcome(PATIENCE)).toMatchObject({ state: 'accepted' })
      expect((await customers.query('select id, email, name from customers order by id')).rows).toEqual([
        { id: 'c1', email: 'new@example.com', name: 'done' },
        { id: 'c2', email: 'two@example.com', name: 'done' },
        { id: 'c3', email: 'c3@example.com', name: 'C' },
      ])

      // Who does not ask may not; who asks may not answer; nobody hears what another was answered, or reads what another is asked.
      const forbidden = { code: 'COMITY_TRANSPORT_FORBIDDEN' }
      const message = { id: 'forged', key: 'c1', attributes: {}, data: '{}' }
      const send = async (by: string, topic: string): Promise<unknown> =>
        (await bus.as(by)).send(topic, [message], { fence: { team: by, incarnation: 1, term: 1, holder: 'thief' } })
      await expect(send('sales', ChangeEmail.name)).rejects.toMatchObject(forbidden)
      await expect(send('marketing', 'comity.marketing.outcomes-crm')).rejects.toMatchObject(forbidden)
      const { signal } = new AbortController()
      const read = async (by: string, name: string): Promise<void> => (await bus.as(by)).receive(name, async () => [], { signal })
      if (kind !== 'memory')
        for (const [by, name] of [
          ['sales', 'marketing.comity.outcomes-crm'],
          ['marketing', 'crm.crm-change-customer-email'],
        ] as const)
          await expect(read(by, name)).rejects.toMatchObject(forbidden)
      for (const db of [customers, copies]) await db.close()
    })
  })
}
