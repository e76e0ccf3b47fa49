/** A hand-over on every broker, each team with its least rights there: the topic stays where it is, and the team that gets it may send to it. */
import type { Queryable, Team } from 'comity'
import { describe, expect, test } from 'vitest'
import { connect, type PostgresDatabase } from '../../packages/comity/src/postgres/index.ts'
import { act } from '../../packages/comity/test/admin/act.ts'
import { After, Before, keeping, owning, TABLE } from '../../packages/comity/test/hand-over/teams.ts'
import { until } from '../chaos/until.ts'
import { BUS_KINDS } from '../support/buses/bus-address.ts'
import { missing } from '../support/buses/launch-bus.ts'
import { launchLimitedBus } from '../support/buses/limited-bus.ts'
import { freshDatabase } from '../support/postgres.ts'

const crmConfig = owning('crm', Before)
const accountsConfig = keeping('accounts', Before)
const heirConfig = owning('accounts', After)
const marketingConfig = keeping('marketing', Before)
const configs = [crmConfig, accountsConfig, heirConfig, marketingConfig] as readonly Team[]

for (const kind of BUS_KINDS) {
  const reason = await missing(kind)
  const where = reason === undefined ? test : test.skip
  describe(kind, () => {
    where(`an entity goes to another team${reason === undefined ? '' : ` (skipped: ${reason})`}`, async () => {
      await using bus = await launchLimitedBus(kind, configs)
      const urls = {
        crm: (await freshDatabase({ migrated: true })).url,
        accounts: (await freshDatabase({ migrated: true })).url,
        marketing: (await freshDatabase({ migrated: true })).url,
      }
      const own = async (config: Team<Queryable>): Promise<Team<Queryable>> =>
        config.with<Queryable>({
          database: urls[config.name as keyof typeof urls],
          transport: await bus.as(config.name),
          allowUnsafe: true,
        })
      const [customers, inherited, copies] = [urls.crm, urls.accounts, urls.marketing].map((url) => connect(url, { max: 2 })) as [
        PostgresDatabase,
        PostgresDatabase,
        PostgresDatabase,
      ]
      await customers.query(TABLE)
      await customers.query(`insert into customers select 'c' || i, 'a1', 'c' || i || '@x.org', null from generate_series(1, 50) i`)
      const copied = (db: PostgresDatabase, email: string): Promise<unknown> =>
        until(email, async () => (await db.query('select 1 from customers where email = $1::text', [email])).rows[0])

      for (const config of [crmConfig, accountsConfig, marketingConfig]) await bus.provision(config as Team)
      await using crm = await own(crmConfig)
      await using marketing = await own(marketingConfig)
      for (const one of [crm, marketing]) {
        await one.migrate()
        await one.start()
      }
      {
        await using accounts = await own(accountsConfig)
        await accounts.migrate()
        await accounts.start()
        for (const db of [inherited, copies]) {
          await copied(db, 'c50@x.org')
          await until('it is filled', async () => (await db.query(`select from comity.asked_backfills where state = 'ready'`)).rows[0])
        }
        await customers.query(`update customers set email = 'last-' || id where id in ('c1', 'c7', 'c49')`)
        await until('it is handed over', () =>
          act(crm as never, 'hand-over', { entity: 'crm.customer', to: 'accounts' }).catch((error: Error) => {
            if (/no copy|being filled|never filled/.test(error.message)) return undefined
            throw error
          }),
        )
        await copied(inherited, 'last-c49')
        await until('every bucket has its mark', async () =>
          (await inherited.query(`select comity.take_over_problem('crm.customer', 'accounts.crm-customer') as problem`)).rows.find(
            ({ problem }) => problem === null,
          ),
        )
      }
      await bus.provision(heirConfig as Team)
      await using heir = await own(heirConfig)
      await heir.migrate()
      await heir.start()
      await customers.query(`update customers set email = 'too-late' where id = 'c2'`)
      await inherited.query(`update customers set email = 'first-' || id where id in ('c1', 'c8')`)
      await copied(copies, 'first-c8')
      await until(
        'it is named',
        async () => (await customers.query(`select from comity.withheld where code = 'COMITY_HANDED_OVER'`)).rows[0],
      )
      const rows = 'select id, agency_id, email, name from customers order by id'
      await expect.poll(async () => (await copies.query(rows)).rows).toEqual((await inherited.query(rows)).rows)
      expect((await copies.query('select from comity.waiting_keys')).rows).toEqual([])
      for (const db of [customers, inherited, copies]) await db.close()
    })
  })
}
