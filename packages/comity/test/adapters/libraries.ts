import { PrismaPg } from '@prisma/adapter-pg'
import { sql as drizzleSql } from 'drizzle-orm'
import { drizzle as drizzlePg } from 'drizzle-orm/node-postgres'
import { drizzle as drizzlePostgresJs } from 'drizzle-orm/postgres-js'
import { CamelCasePlugin, CompiledQuery, Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import postgres from 'postgres'
import { fromDrizzle } from '../../src/adapters/drizzle.ts'
import { fromKysely } from '../../src/adapters/kysely.ts'
import { fromPg } from '../../src/adapters/pg.ts'
import { fromPostgresJs } from '../../src/adapters/postgres-js.ts'
import { fromPrisma } from '../../src/adapters/prisma.ts'
import { connect } from '../../src/postgres/pool.ts'
import { generatePrismaClient, type PrismaClientClass } from './prisma-client.ts'
import { library, type OpenLibrary } from './test-library.ts'

export const libraries: Readonly<Record<string, OpenLibrary>> = {
  'own pool': async (url, options = {}) => {
    const database = connect(url, options)
    return library({
      database,
      execute: (tx, text) => tx.query(text),
      transaction: (work) => database.transaction(work),
      notATransaction: database,
      [Symbol.asyncDispose]: () => database.close(),
    })
  },

  pg: async (url, options) => {
    const pool = new pg.Pool({ connectionString: url })
    return library({
      database: fromPg(pool, options),
      execute: (tx, text) => tx.query(text),
      async transaction(work) {
        const client = await pool.connect()
        try {
          await client.query('begin')
          const result = await work(client)
          await client.query('commit')
          return result
        } catch (error) {
          await client.query('rollback')
          throw error
        } finally {
          client.release()
        }
      },
      notATransaction: pool,
      [Symbol.asyncDispose]: () => pool.end(),
    })
  },

  'postgres.js': async (url, options) => {
    const sql = postgres(url, { onnotice: () => undefined })
    return library({
      database: fromPostgresJs(sql, options),
      execute: (tx, text) => tx.unsafe(text),
      transaction: async <Result>(work: (tx: postgres.TransactionSql) => Promise<Result>) => (await sql.begin(work)) as Result,
      notATransaction: sql,
      // Without a limit it waits for ever after a connection that was lost at COMMIT.
      [Symbol.asyncDispose]: () => sql.end({ timeout: 1 }),
    })
  },

  'Drizzle over pg': async (url, options) => {
    const pool = new pg.Pool({ connectionString: url })
    const db = drizzlePg(pool)
    return library({
      database: fromDrizzle(db, options),
      execute: async (tx, text) => tx.execute(drizzleSql.raw(text)),
      transaction: (work) => db.transaction(work),
      notATransaction: db,
      [Symbol.asyncDispose]: () => pool.end(),
    })
  },

  'Drizzle over postgres.js': async (url, options) => {
    const client = postgres(url, { onnotice: () => undefined })
    const db = drizzlePostgresJs(client)
    return library({
      database: fromDrizzle(db, options),
      execute: async (tx, text) => tx.execute(drizzleSql.raw(text)),
      transaction: (work) => db.transaction(work),
      notATransaction: db,
      [Symbol.asyncDispose]: () => client.end({ timeout: 1 }),
    })
  },

  Kysely: async (url, options) => {
    const pool = new pg.Pool({ connectionString: url })
    const db = new Kysely<object>({ dialect: new PostgresDialect({ pool }), plugins: [new CamelCasePlugin()] })
    return library({
      database: fromKysely(db, { ...options, pool }),
      execute: (tx, text) => tx.executeQuery(CompiledQuery.raw(text)),
      transaction: (work) => db.transaction().execute(work),
      notATransaction: db,
      [Symbol.asyncDispose]: () => db.destroy(),
    })
  },

  Prisma: async (url, options) => {
    const client = await prismaClient(url)
    return library({
      database: fromPrisma(client, options),
      execute: (tx, text) => tx.$executeRawUnsafe(text),
      transaction: (work) => client.$transaction(work),
      notATransaction: client,
      [Symbol.asyncDispose]: () => client.$disconnect(),
    })
  },
}

interface PrismaTransaction {
  $queryRawUnsafe<Rows>(text: string, ...values: unknown[]): Promise<Rows>
  $executeRawUnsafe(text: string): Promise<number>
}
interface PrismaClient extends PrismaTransaction {
  $transaction<Result>(work: (tx: PrismaTransaction) => Promise<Result>): Promise<Result>
  $disconnect(): Promise<void>
}

const generated = new URL('../../../../test/output/prisma/', import.meta.url)
let generation: Promise<PrismaClientClass<PrismaClient>> | undefined

async function prismaClient(url: string): Promise<PrismaClient> {
  generation ??= generatePrismaClient(generated, 'model Thing {\n  id String @id\n}\n')
  const Client = await generation
  return new Client({ adapter: new PrismaPg({ connectionString: url }) })
}
