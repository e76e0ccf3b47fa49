import { release } from 'comity/admin'
import knexOf, { type Knex } from 'knex'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freshDatabase } from '../support/postgres.ts'
import { announced, comityObjects, shopTeam } from './shop-team.ts'

interface Migration extends Knex.Migration {
  readonly name: string
}
const migrations: readonly Migration[] = [
  {
    name: '1-customers',
    up: (knex) =>
      knex.schema.createTable('customers', (table) => {
        table.text('id').primary()
        table.text('name').notNullable()
        table.string('phone', 20)
      }),
    down: (knex) => knex.schema.dropTable('customers'),
  },
  {
    name: '2-notes',
    up: (knex) => knex.schema.alterTable('customers', (table) => void table.text('notes')),
    down: (knex) => knex.schema.alterTable('customers', (table) => void table.dropColumn('notes')),
  },
  {
    name: '3-longer-phones',
    up: (knex) => knex.schema.alterTable('customers', (table) => void table.text('phone').alter()),
    down: (knex) => knex.schema.alterTable('customers', (table) => void table.string('phone', 20).alter()),
  },
  {
    name: '4-no-phones',
    up: (knex) => knex.schema.alterTable('customers', (table) => void table.dropColumn('phone')),
    down: (knex) => knex.schema.alterTable('customers', (table) => void table.string('phone', 20)),
  },
]

let url: string
let database: pg.Pool
let shop: ReturnType<typeof shopTeam>

beforeAll(async () => {
  url = (await freshDatabase()).url
  database = new pg.Pool({ connectionString: url })
  shop = shopTeam(url, 'copies.atlas_city')
  await knex((migrate) => migrate.latest(), 1)
  await database.query('create schema copies') // of its own: "comity migrate" makes the table, not the schema
  await shop.migrate()
})
afterAll(async () => {
  await shop.stop()
  await database.end()
})

/** `knex migrate:…` of somebody who has the first so many migrations. */
async function knex<Result>(run: (migrate: Knex.Migrator) => Promise<Result>, upTo: number): Promise<Result> {
  const migrationSource: Knex.MigrationSource<Migration> = {
    getMigrations: async () => migrations.slice(0, upTo),
    getMigrationName: ({ name }) => name,
    getMigration: async (migration) => migration,
  }
  const log = { warn: () => undefined, error: () => undefined }
  const client = knexOf.default({ client: 'pg', connection: url, migrations: { migrationSource }, log })
  try {
    return await run(client.migrate)
  } finally {
    await client.destroy()
  }
}

test('an own column comes and goes, and nothing of Comity is touched', async () => {
  const before = await comityObjects(database)
  await knex((migrate) => migrate.latest(), 2)
  await database.query(`insert into customers (id, name, notes) values ('c1', 'Ann', 'not in the contract')`)
  await knex((migrate) => migrate.rollback(), 2)
  expect(await comityObjects(database)).toEqual(before)
  expect(await announced(database)).toEqual([{ key: 'c1', state: { id: 'c1', name: 'Ann', phone: null } }])
  expect((await shop.migrate({ check: true })).pending).toEqual([])
  await knex((migrate) => migrate.latest(), 2)
})

test('a published column keeps its type until "comity release"; "comity migrate" captures it again', async () => {
  await expect(knex((migrate) => migrate.latest(), 3)).rejects.toMatchObject({ code: '0A000' })
  await release('shop.customer', shop.environment)
  expect(await knex((migrate) => migrate.latest(), 3)).toEqual([3, ['3-longer-phones']])
  expect((await shop.migrate()).applied).toEqual(['capture customers as shop.customer'])
  const phone = '1'.repeat(30)
  await database.query(`update customers set phone = $1 where id = 'c1'`, [phone])
  expect((await announced(database)).at(-1)).toEqual({ key: 'c1', state: { id: 'c1', name: 'Ann', phone } })
})

test('a published column can not be dropped, and the whole migration is rolled back', async () => {
  await expect(knex((migrate) => migrate.latest(), 4)).rejects.toMatchObject({ code: '2BP01' })
  expect((await database.query('select name from knex_migrations order by id')).rows.at(-1)).toEqual({ name: '3-longer-phones' })
})

test('rolling everything back is refused as well; after "comity release" it runs, and leaves the outbox and the copies', async () => {
  const all = (migrate: Knex.Migrator): Promise<unknown> => migrate.rollback(undefined, true)
  await expect(knex(all, 3)).rejects.toMatchObject({ code: '0A000' })
  await release('shop.customer', shop.environment)
  const before = await announced(database)
  await knex(all, 3)
  expect(await comityObjects(database)).toEqual(expect.arrayContaining(['comity.outbox', 'copies.atlas_city']))
  expect(await announced(database)).toEqual(before)

  await knex((migrate) => migrate.latest(), 3)
  expect((await shop.migrate()).applied).toEqual(['capture customers as shop.customer'])
  await database.query(`insert into customers (id, name) values ('c2', 'Bob')`)
  expect((await announced(database)).at(-1)).toMatchObject({ key: 'c2' })
})

test('a migration that drops a trigger of Comity is repaired by "comity migrate"', async () => {
  await database.query('drop trigger "zz_comity shop.customer update" on customers')
  expect((await shop.migrate({ check: true })).pending).toEqual(['capture customers as shop.customer'])
  await shop.migrate()
  await database.query(`update customers set name = 'Rob' where id = 'c2'`)
  expect((await announced(database)).at(-1)).toMatchObject({ key: 'c2', state: { name: 'Rob' } })
})
