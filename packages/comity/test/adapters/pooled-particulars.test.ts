import { EntitySchema, MikroORM } from '@mikro-orm/postgresql'
import knex, { type Knex } from 'knex'
import pg from 'pg'
import { Sequelize } from 'sequelize'
import { DataSource } from 'typeorm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { fromKnex } from '../../src/adapters/knex.ts'
import { fromMikroOrm } from '../../src/adapters/mikro-orm.ts'
import { fromSequelize } from '../../src/adapters/sequelize.ts'
import { fromTypeOrm } from '../../src/adapters/typeorm.ts'
import { sqlStateOf } from '../../src/postgres/classify-error.ts'
import type { Database } from '../../src/postgres/database.ts'
import { NotATransaction, TransactionEndedByHandler, TransactionIsOver } from '../../src/postgres/errors.ts'

const Seen = new EntitySchema<{ id: string }>({ name: 'Seen', tableName: 'seen', properties: { id: { type: 'text', primary: true } } })

let admin: pg.Client
let db: Knex
let dataSource: DataSource
let sequelize: Sequelize
let orm: MikroORM

beforeAll(async () => {
  const { url } = await freshDatabase()
  admin = new pg.Client({ connectionString: url })
  await admin.connect()
  await admin.query('create table seen (id text primary key)')
  // What a careful administrator may have set: the library's own transactions are read-only then, and Comity's are not.
  const name = new URL(url).pathname.slice(1)
  for (const set of ['default_transaction_isolation = serializable', 'default_transaction_read_only = on']) {
    await admin.query(`alter database ${name} set ${set}`)
  }
  db = knex({ client: 'pg', connection: url })
  dataSource = await new DataSource({ type: 'postgres', url }).initialize()
  sequelize = new Sequelize(url, { logging: false })
  orm = await MikroORM.init({ clientUrl: url, entities: [Seen] })
})
afterAll(async () => {
  await db?.destroy()
  await dataSource?.destroy()
  await sequelize?.close()
  await orm?.close(true)
  await admin?.end()
})

const seen = async (): Promise<string[]> =>
  (await admin.query<{ id: string }>('delete from seen returning id')).rows.map(({ id }) => id).sort()

/** The ways of one library to begin and end a transaction by hand. */
interface Hands<Tx> {
  readonly database: Database<Tx>
  begin(): Promise<Tx>
  commit(tx: Tx): Promise<unknown>
  rollback(tx: Tx): Promise<unknown>
  /** A transaction inside of a transaction. */
  nested(tx: Tx, work: (inner: Tx) => Promise<void>): Promise<unknown>
}
const hands = <Tx>(own: Hands<Tx>): Hands<unknown> => own as unknown as Hands<unknown>
const libraries: Readonly<Record<string, () => Hands<unknown>>> = {
  Knex: () =>
    hands({
      database: fromKnex(db),
      begin: () => db.transaction(),
      commit: async (tx) => tx.commit(),
      rollback: async (tx) => tx.rollback(),
      nested: (tx, work) => tx.transaction(work),
    }),
  TypeORM: () =>
    hands({
      database: fromTypeOrm(dataSource),
      async begin() {
        const runner = dataSource.createQueryRunner()
        await runner.startTransaction()
        return runner.manager
      },
      commit: async ({ queryRunner }) => queryRunner?.commitTransaction().then(() => queryRunner.release()),
      rollback: async ({ queryRunner }) => queryRunner?.rollbackTransaction(),
      nested: (tx, work) => tx.transaction(work),
    }),
  Sequelize: () =>
    hands({
      database: fromSequelize(sequelize),
      begin: () => sequelize.transaction(),
      commit: (tx) => tx.commit(),
      rollback: (tx) => tx.rollback(),
      nested: (transaction, work) => sequelize.transaction({ transaction }, work),
    }),
  MikroORM: () =>
    hands({
      database: fromMikroOrm(orm),
      async begin() {
        const em = orm.em.fork()
        await em.begin()
        return em
      },
      commit: (tx) => tx.commit(),
      rollback: (tx) => tx.rollback(),
      nested: (tx, work) => tx.transactional(work),
    }),
}

describe.each(Object.entries(libraries))('%s', (_, open) => {
  let library: Hands<unknown>
  beforeAll(() => {
    library = open()
  })
  const insert = (tx: unknown, id: string): Promise<unknown> => library.database.join(tx).query('insert into seen values ($1::text)', [id])

  test('opens READ COMMITTED READ WRITE, whatever the database says', async () => {
    const modes = await library.database.transaction(async (tx) => {
      await insert(tx, 'written')
      const text = `select current_setting('transaction_isolation') as isolation, current_setting('transaction_read_only') as read_only`
      return (await library.database.join(tx).query(text)).rows
    })
    expect(modes).toEqual([{ isolation: 'read committed', read_only: 'off' }])
    expect(await seen()).toEqual(['written'])
  })

  test('joins a transaction that was begun by hand until it is ended by hand', async () => {
    const tx = await library.begin()
    await library.database.join(tx).query('set transaction read write')
    await insert(tx, 'by hand')
    expect(await seen()).toEqual([])
    await library.commit(tx)
    const late = await (async () => insert(tx, 'late'))().catch((error: unknown) => error)
    expect([TransactionIsOver, NotATransaction].some((type) => late instanceof type)).toBe(true)
    expect(await seen()).toEqual(['by hand'])
  })

  test.each(['commit', 'rollback'] as const)('does not vouch for work that ends the transaction by %s()', async (end) => {
    const ended = library.database.transaction(async (tx) => {
      await insert(tx, 'before')
      await library[end](tx)
    })
    await expect(ended).rejects.toBeInstanceOf(TransactionEndedByHandler)
    const failed = library.database.transaction(async (tx) => {
      await library[end](tx)
      await insert(tx, 'after')
    })
    await expect(failed).rejects.toBeInstanceOf(TransactionEndedByHandler)
    expect(await seen()).toEqual(end === 'commit' ? ['before'] : [])
    await library.database.transaction((tx) => insert(tx, 'next'))
    expect(await seen()).toEqual(['next'])
  })

  test('joins a transaction inside of its transaction: what is undone there is undone for us', async () => {
    await library.database.transaction(async (tx) => {
      await insert(tx, 'outer')
      const undone = library.nested(tx, async (inner) => {
        await insert(inner, 'undone')
        throw new RangeError('inner')
      })
      await expect(undone).rejects.toThrow(RangeError)
      await library.nested(tx, async (inner) => void (await insert(inner, 'inner')))
    })
    expect(await seen()).toEqual(['inner', 'outer'])
  })
})

test('Knex hears of its own statements only', async () => {
  const heard: string[] = []
  const listen = ({ sql }: { sql: string }): void => void heard.push(sql)
  db.on('query', listen)
  await fromKnex(db).transaction(async (tx) => void (await tx('seen').select('id')))
  db.off('query', listen)
  expect(heard.filter((text) => text.startsWith('select'))).toEqual(['select "id" from "seen"'])
})

test('TypeORM has to be initialized first', async () => {
  const later = new DataSource({ type: 'postgres' })
  await expect(fromTypeOrm(later).query('select 1 as x')).rejects.toThrow('Driver not Connected')
  await expect(fromTypeOrm(later).transaction(() => Promise.resolve())).rejects.toThrow('Driver not Connected')
})

test('Sequelize runs outside of the transaction what is not told of it', async () => {
  const failed = fromSequelize(sequelize).transaction(async (transaction) => {
    await sequelize.query(`begin read write; insert into seen values ('outside'); commit`)
    await sequelize.query(`insert into seen values ('inside')`, { transaction })
    throw new RangeError('theirs')
  })
  await expect(failed).rejects.toThrow(RangeError)
  expect(await seen()).toEqual(['outside'])
})

describe('MikroORM', () => {
  test('writes what a handler persisted, and a flush that fails is a failure of its work', async () => {
    const database = fromMikroOrm(orm)
    await database.transaction(async (em) => void em.create(Seen, { id: 'persisted' }))
    const twice = database.transaction(async (em) => void em.create(Seen, { id: 'persisted' }))
    expect(sqlStateOf(await twice.catch((error: unknown) => error))).toBe('23505')
    const invalid = database.transaction(async (em) => void em.create(Seen, {} as { id: string }))
    await expect(invalid).rejects.toThrow(/Seen\.id/)
    expect(await seen()).toEqual(['persisted'])
  })

  test('writes nothing of what was persisted before em.rollback()', async () => {
    const database = fromMikroOrm(orm)
    const ended = database.transaction(async (em) => {
      em.create(Seen, { id: 'rolled back' })
      await em.rollback()
    })
    await expect(ended).rejects.toBeInstanceOf(TransactionEndedByHandler)
    expect(await seen()).toEqual([])
  })

  test('the global EntityManager stands for the transaction around it, and transactions do not wait for each other', async () => {
    const { join } = fromMikroOrm(orm)
    const row = (id: string) => join(orm.em).query('insert into seen values ($1::text)', [id])
    const begin = () => join(orm.em).query('set transaction read write')
    let waiting: Promise<unknown> | undefined
    await orm.em.fork().transactional(async () => {
      await begin()
      await row('same')
      // The other one waits in Postgres for the row of this one, which goes on.
      waiting = orm.em
        .fork({ disableContextResolution: true })
        .transactional(async () => {
          await begin()
          await row('same')
        })
        .catch((error: unknown) => sqlStateOf(error))
      const blocked = `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
      await expect.poll(async () => (await admin.query(blocked)).rows.length, { timeout: 60_000 }).toBe(1)
      await row('other')
    })
    expect(await waiting).toBe('23505')
    expect(await seen()).toEqual(['other', 'same'])
  })
})
