import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { entity, event } from '@comity/contract'
import { MikroORM, EntitySchema as MikroSchema, type SqlEntityManager } from '@mikro-orm/postgresql'
import { PrismaPg } from '@prisma/adapter-pg'
import { type Team, team } from 'comity'
import { fromDrizzle } from 'comity/drizzle'
import { fromKnex } from 'comity/knex'
import { fromKysely } from 'comity/kysely'
import { fromMikroOrm } from 'comity/mikro-orm'
import { fromPg } from 'comity/pg'
import { fromPostgresJs } from 'comity/postgres-js'
import { fromPrisma } from 'comity/prisma'
import { fromSequelize } from 'comity/sequelize'
import { type TestTeam, testBus } from 'comity/testing'
import { fromTypeOrm } from 'comity/typeorm'
import type { ExtractTablesWithRelations } from 'drizzle-orm'
import { drizzle as drizzlePg, type NodePgQueryResultHKT } from 'drizzle-orm/node-postgres'
import { integer, type PgDatabase, type PgQueryResultHKT, type PgTransaction, pgTable, text } from 'drizzle-orm/pg-core'
import { drizzle as drizzlePostgresJs, type PostgresJsQueryResultHKT } from 'drizzle-orm/postgres-js'
import knex, { type Knex } from 'knex'
import { CamelCasePlugin, type Generated, Kysely, PostgresDialect, type Transaction } from 'kysely'
import pg from 'pg'
import postgres from 'postgres'
import { DataTypes, Sequelize, type Transaction as SequelizeTransaction } from 'sequelize'
import { DataSource, type EntityManager, EntitySchema } from 'typeorm'
import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import { generatePrismaClient, type PrismaClientClass } from '../adapters/prisma-client.ts'

/**
 * One team, written once for each library in that library's own words. In one file, though it is long: docs/libraries.md
 * shows these words, and the suite below holds all of them to the same promises.
 */
const order = z.object({ orderId: z.string() })
const shipment = order.extend({ attempt: z.number().int() })
const OrderPlaced = event('shop.order-placed', { key: 'orderId', data: order })
const OrderShipped = event('shop.order-shipped', { key: 'orderId', data: shipment })
const OrderPaid = event('billing.order-paid', { key: 'orderId', data: order })
const OrderDisputed = event('billing.order-disputed', { key: 'orderId', data: order })
const Product = entity('shop.product', { key: 'id', state: z.object({ id: z.string(), name: z.string(), tags: z.array(z.string()) }) })
type ProductState = { readonly id: string; readonly name: string; readonly tags: string[] }

const TABLES = [
  'create table orders (order_id text primary key)',
  'create table shipments (id int generated always as identity primary key, order_id text not null, attempt int not null)',
  'create table products (id text primary key, name text not null, tags text[] not null)',
]

/** Stands for whatever fails after the writes: at the first attempt only, and only what is called unlucky. */
function check(id: string, attempt = 1): void {
  if (id.startsWith('unlucky') && attempt === 1) throw new RangeError(`${id} fails on purpose`)
}

interface Shop extends AsyncDisposable {
  start(bus: ReturnType<typeof testBus>, url: string): Promise<TestTeam<unknown>>
  /** An order and its event, in the library's own transaction. */
  placeOrder(orderId: string): Promise<unknown>
  /** A row of the captured table, in the library's own transaction. */
  addProduct(product: ProductState): Promise<unknown>
}

/** The library's transaction has a type in its factory only; the suite sees one shape. */
function shopOf<Tx>(shop: Team<Tx>, rest: Pick<Shop, 'placeOrder' | 'addProduct'>, close: () => Promise<unknown>): Shop {
  return {
    ...rest,
    async start(bus, url) {
      const database = shop.options.database as NonNullable<typeof shop.options.database>
      const setup = async (db: { query(text: string): Promise<unknown> }) => {
        for (const table of TABLES) await db.query(table)
      }
      return (await testTeam<Tx>(shop, { bus, url, database: () => database, setup })) as unknown as TestTeam<unknown>
    },
    [Symbol.asyncDispose]: async () => void (await close()),
  }
}

function pgShop(url: string): Shop {
  const pool = new pg.Pool({ connectionString: url })
  const shop = team('shop', { database: fromPg(pool) })
    .owns(Product, { table: 'products' })
    .publishes(OrderPlaced)
    .publishes(OrderShipped)
    .on(OrderPaid, async ({ data }, { tx, attempt, publish }) => {
      await tx.query('insert into shipments (order_id, attempt) values ($1, $2)', [data.orderId, attempt])
      await publish(OrderShipped, { orderId: data.orderId, attempt })
      check(data.orderId, attempt)
    })

  async function transaction(work: (client: pg.PoolClient) => Promise<void>): Promise<void> {
    const client = await pool.connect()
    try {
      await client.query('begin')
      await work(client)
      await client.query('commit')
    } catch (error) {
      await client.query('rollback')
      throw error
    } finally {
      client.release()
    }
  }

  const placeOrder = (orderId: string) =>
    transaction(async (client) => {
      await client.query('insert into orders (order_id) values ($1)', [orderId])
      await shop.publish(client, OrderPlaced, { orderId })
      check(orderId)
    })

  shop.on(
    OrderDisputed,
    async ({ data }, { tx }) => {
      const insert = () => tx.query('insert into orders (order_id) values ($1)', [data.orderId])
      await insert()
      await insert().catch(() => undefined)
    },
    { attempts: 1 },
  )
  const addProduct = ({ id, name, tags }: ProductState) =>
    transaction(async (client) => {
      await client.query('insert into products (id, name, tags) values ($1, $2, $3)', [id, name, tags])
      check(id)
    })
  return shopOf(shop, { placeOrder, addProduct }, () => pool.end())
}

function postgresJsShop(url: string): Shop {
  const sql = postgres(url, { onnotice: () => undefined })
  const shop = team('shop', { database: fromPostgresJs(sql) })
    .owns(Product, { table: 'products' })
    .publishes(OrderPlaced)
    .publishes(OrderShipped)
    .on(OrderPaid, async ({ data }, { tx, attempt, publish }) => {
      await tx`insert into shipments ${tx({ order_id: data.orderId, attempt })}`
      await publish(OrderShipped, { orderId: data.orderId, attempt })
      check(data.orderId, attempt)
    })

  const placeOrder = (orderId: string) =>
    sql.begin(async (tx) => {
      await tx`insert into orders ${tx({ order_id: orderId })}`
      await shop.publish(tx, OrderPlaced, { orderId })
      check(orderId)
    })

  shop.on(
    OrderDisputed,
    async ({ data }, { tx }) => {
      await tx`insert into orders ${tx({ order_id: data.orderId })}`
      await tx`insert into orders ${tx({ order_id: data.orderId })}`.catch(() => undefined)
    },
    { attempts: 1 },
  )
  const addProduct = (product: ProductState) =>
    sql.begin(async (tx) => {
      await tx`insert into products ${tx(product, 'id', 'name', 'tags')}`
      check(product.id)
    })
  return shopOf(shop, { placeOrder, addProduct }, () => sql.end({ timeout: 1 }))
}

const orders = pgTable('orders', { orderId: text('order_id').primaryKey() })
const shipments = pgTable('shipments', {
  id: integer().primaryKey().generatedAlwaysAsIdentity(),
  orderId: text('order_id').notNull(),
  attempt: integer().notNull(),
})
const products = pgTable('products', { id: text().primaryKey(), name: text().notNull(), tags: text().array().notNull() })

function drizzleShop(db: PgDatabase<PgQueryResultHKT>, close: () => Promise<unknown>): Shop {
  const shop = team('shop', { database: fromDrizzle(db) })
    .owns(Product, { table: 'products' })
    .publishes(OrderPlaced)
    .publishes(OrderShipped)
    .on(OrderPaid, async ({ data }, { tx, attempt, publish }) => {
      await tx.insert(shipments).values({ orderId: data.orderId, attempt })
      await publish(OrderShipped, { orderId: data.orderId, attempt })
      check(data.orderId, attempt)
    })

  const placeOrder = (orderId: string) =>
    db.transaction(async (tx) => {
      await tx.insert(orders).values({ orderId })
      await shop.publish(tx, OrderPlaced, { orderId })
      check(orderId)
    })

  shop.on(
    OrderDisputed,
    async ({ data }, { tx }) => {
      await tx.insert(orders).values({ orderId: data.orderId })
      await tx
        .insert(orders)
        .values({ orderId: data.orderId })
        .catch(() => undefined)
    },
    { attempts: 1 },
  )
  const addProduct = (product: ProductState) =>
    db.transaction(async (tx) => {
      await tx.insert(products).values(product)
      check(product.id)
    })
  return shopOf(shop, { placeOrder, addProduct }, close)
}

interface Tables {
  orders: { orderId: string }
  shipments: { id: Generated<number>; orderId: string; attempt: number }
  products: { id: string; name: string; tags: string[] }
}

function kyselyShop(url: string): Shop {
  const pool = new pg.Pool({ connectionString: url })
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }), plugins: [new CamelCasePlugin()] })
  const shop = team('shop', { database: fromKysely(db, { pool }) })
    .owns(Product, { table: 'products' })
    .publishes(OrderPlaced)
    .publishes(OrderShipped)
    .on(OrderPaid, async ({ data }, { tx, attempt, publish }) => {
      await tx.insertInto('shipments').values({ orderId: data.orderId, attempt }).execute()
      await publish(OrderShipped, { orderId: data.orderId, attempt })
      check(data.orderId, attempt)
    })

  const placeOrder = (orderId: string) =>
    db.transaction().execute(async (tx) => {
      await tx.insertInto('orders').values({ orderId }).execute()
      await shop.publish(tx, OrderPlaced, { orderId })
      check(orderId)
    })

  shop.on(
    OrderDisputed,
    async ({ data }, { tx }) => {
      const insert = tx.insertInto('orders').values({ orderId: data.orderId })
      await insert.execute()
      await insert.execute().catch(() => undefined)
    },
    { attempts: 1 },
  )
  const addProduct = (product: ProductState) =>
    db.transaction().execute(async (tx) => {
      await tx.insertInto('products').values(product).execute()
      check(product.id)
    })
  return shopOf(shop, { placeOrder, addProduct }, () => db.destroy())
}

const PRISMA_MODELS = `
model Order {
  orderId String @id @map("order_id")
  @@map("orders")
}
model Shipment {
  id Int @id @default(autoincrement())
  orderId String @map("order_id")
  attempt Int
  @@map("shipments")
}
model Product {
  id String @id
  name String
  tags String[]
  @@map("products")
}
`
const prismaFolder = new URL('../../../../test/output/prisma-user-library/', import.meta.url)
let prismaGeneration: Promise<PrismaClientClass<PrismaClient>> | undefined
const prismaClass = () => {
  prismaGeneration ??= generatePrismaClient<PrismaClient>(prismaFolder, PRISMA_MODELS)
  return prismaGeneration
}

/** What is used here of the client that is generated when the test runs; the test of types below takes the generated one itself. */
interface PrismaTransaction {
  readonly order: { create(given: { data: { orderId: string } }): Promise<unknown> }
  readonly shipment: { create(given: { data: { orderId: string; attempt: number } }): Promise<unknown> }
  readonly product: { create(given: { data: ProductState }): Promise<unknown> }
  $queryRawUnsafe<Rows>(text: string, ...values: unknown[]): Promise<Rows>
}
interface PrismaClient extends PrismaTransaction {
  $transaction<Result>(work: (tx: PrismaTransaction) => Promise<Result>): Promise<Result>
  $disconnect(): Promise<void>
}

async function prismaShop(url: string): Promise<Shop> {
  const PrismaClient = await prismaClass()
  const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) })
  const shop = team('shop', { database: fromPrisma(prisma) })
    .owns(Product, { table: 'products' })
    .publishes(OrderPlaced)
    .publishes(OrderShipped)
    .on(OrderPaid, async ({ data }, { tx, attempt, publish }) => {
      await tx.shipment.create({ data: { orderId: data.orderId, attempt } })
      await publish(OrderShipped, { orderId: data.orderId, attempt })
      check(data.orderId, attempt)
    })

  const placeOrder = (orderId: string) =>
    prisma.$transaction(async (tx) => {
      await tx.order.create({ data: { orderId } })
      await shop.publish(tx, OrderPlaced, { orderId })
      check(orderId)
    })

  shop.on(
    OrderDisputed,
    async ({ data }, { tx }) => {
      await tx.order.create({ data: { orderId: data.orderId } })
      await tx.order.create({ data: { orderId: data.orderId } }).catch(() => undefined)
    },
    { attempts: 1 },
  )
  const addProduct = (product: ProductState) =>
    prisma.$transaction(async (tx) => {
      await tx.product.create({ data: product })
      check(product.id)
    })
  return shopOf(shop, { placeOrder, addProduct }, () => prisma.$disconnect())
}

function knexShop(url: string): Shop {
  const db = knex({ client: 'pg', connection: url })
  const shop = team('shop', { database: fromKnex(db) })
    .owns(Product, { table: 'products' })
    .publishes(OrderPlaced)
    .publishes(OrderShipped)
    .on(OrderPaid, async ({ data }, { tx, attempt, publish }) => {
      await tx('shipments').insert({ order_id: data.orderId, attempt })
      await publish(OrderShipped, { orderId: data.orderId, attempt })
      check(data.orderId, attempt)
    })

  const placeOrder = (orderId: string) =>
    db.transaction(async (tx) => {
      await tx('orders').insert({ order_id: orderId })
      await shop.publish(tx, OrderPlaced, { orderId })
      check(orderId)
    })

  shop.on(
    OrderDisputed,
    async ({ data }, { tx }) => {
      await tx('orders').insert({ order_id: data.orderId })
      await tx('orders')
        .insert({ order_id: data.orderId })
        .catch(() => undefined)
    },
    { attempts: 1 },
  )
  const addProduct = (product: ProductState) =>
    db.transaction(async (tx) => {
      await tx('products').insert(product)
      check(product.id)
    })
  return shopOf(shop, { placeOrder, addProduct }, () => db.destroy())
}

const Order = new EntitySchema<{ orderId: string }>({
  name: 'Order',
  tableName: 'orders',
  columns: { orderId: { name: 'order_id', type: 'text', primary: true } },
})
const Shipment = new EntitySchema<{ id: number; orderId: string; attempt: number }>({
  name: 'Shipment',
  tableName: 'shipments',
  columns: {
    id: { type: 'int', primary: true, generated: true },
    orderId: { name: 'order_id', type: 'text' },
    attempt: { type: 'int' },
  },
})
const ProductRow = new EntitySchema<ProductState>({
  name: 'Product',
  tableName: 'products',
  columns: { id: { type: 'text', primary: true }, name: { type: 'text' }, tags: { type: 'text', array: true } },
})

async function typeOrmShop(url: string): Promise<Shop> {
  const dataSource = await new DataSource({ type: 'postgres', url, entities: [Order, Shipment, ProductRow] }).initialize()
  const shop = team('shop', { database: fromTypeOrm(dataSource) })
    .owns(Product, { table: 'products' })
    .publishes(OrderPlaced)
    .publishes(OrderShipped)
    .on(OrderPaid, async ({ data }, { tx, attempt, publish }) => {
      await tx.insert(Shipment, { orderId: data.orderId, attempt })
      await publish(OrderShipped, { orderId: data.orderId, attempt })
      check(data.orderId, attempt)
    })

  const placeOrder = (orderId: string) =>
    dataSource.transaction(async (manager) => {
      await manager.insert(Order, { orderId })
      await shop.publish(manager, OrderPlaced, { orderId })
      check(orderId)
    })

  shop.on(
    OrderDisputed,
    async ({ data }, { tx }) => {
      await tx.insert(Order, { orderId: data.orderId })
      await tx.insert(Order, { orderId: data.orderId }).catch(() => undefined)
    },
    { attempts: 1 },
  )
  const addProduct = (product: ProductState) =>
    dataSource.transaction(async (manager) => {
      await manager.insert(ProductRow, product)
      check(product.id)
    })
  return shopOf(shop, { placeOrder, addProduct }, () => dataSource.destroy())
}

function sequelizeShop(url: string): Shop {
  const sequelize = new Sequelize(url, { logging: false, define: { timestamps: false, underscored: true } })
  const key = () => ({ type: DataTypes.TEXT, primaryKey: true })
  const Orders = sequelize.define('order', { orderId: key() })
  const Shipments = sequelize.define('shipment', { orderId: DataTypes.TEXT, attempt: DataTypes.INTEGER })
  const Products = sequelize.define('product', { id: key(), name: DataTypes.TEXT, tags: DataTypes.ARRAY(DataTypes.TEXT) })
  const shop = team('shop', { database: fromSequelize(sequelize) })
    .owns(Product, { table: 'products' })
    .publishes(OrderPlaced)
    .publishes(OrderShipped)
    .on(OrderPaid, async ({ data }, { tx, attempt, publish }) => {
      await Shipments.create({ orderId: data.orderId, attempt }, { transaction: tx })
      await publish(OrderShipped, { orderId: data.orderId, attempt })
      check(data.orderId, attempt)
    })

  const placeOrder = (orderId: string) =>
    sequelize.transaction(async (tx) => {
      await Orders.create({ orderId }, { transaction: tx })
      await shop.publish(tx, OrderPlaced, { orderId })
      check(orderId)
    })

  shop.on(
    OrderDisputed,
    async ({ data }, { tx }) => {
      await Orders.create({ orderId: data.orderId }, { transaction: tx })
      await Orders.create({ orderId: data.orderId }, { transaction: tx }).catch(() => undefined)
    },
    { attempts: 1 },
  )
  const addProduct = (product: ProductState) =>
    sequelize.transaction(async (tx) => {
      await Products.create({ ...product }, { transaction: tx })
      check(product.id)
    })
  return shopOf(shop, { placeOrder, addProduct }, () => sequelize.close())
}

const OrderEntity = new MikroSchema<{ orderId: string }>({
  name: 'Order',
  tableName: 'orders',
  properties: { orderId: { type: 'text', fieldName: 'order_id', primary: true } },
})
const ShipmentEntity = new MikroSchema<{ id: number; orderId: string; attempt: number }>({
  name: 'Shipment',
  tableName: 'shipments',
  properties: {
    id: { type: 'integer', primary: true, autoincrement: true },
    orderId: { type: 'text', fieldName: 'order_id' },
    attempt: { type: 'integer' },
  },
})
const ProductEntity = new MikroSchema<ProductState>({
  name: 'Product',
  tableName: 'products',
  properties: { id: { type: 'text', primary: true }, name: { type: 'text' }, tags: { type: 'array' } },
})

async function mikroOrmShop(url: string): Promise<Shop> {
  const orm = await MikroORM.init({ clientUrl: url, entities: [OrderEntity, ShipmentEntity, ProductEntity] })
  const shop = team('shop', { database: fromMikroOrm(orm) })
    .owns(Product, { table: 'products' })
    .publishes(OrderPlaced)
    .publishes(OrderShipped)
    .on(OrderPaid, async ({ data }, { tx, attempt, publish }) => {
      tx.create(ShipmentEntity, { orderId: data.orderId, attempt }) // written when the handler returns
      await publish(OrderShipped, { orderId: data.orderId, attempt })
      check(data.orderId, attempt)
    })

  const placeOrder = (orderId: string) =>
    orm.em.fork().transactional(async (em) => {
      em.create(OrderEntity, { orderId })
      await shop.publish(em, OrderPlaced, { orderId })
      check(orderId)
    })

  shop.on(
    OrderDisputed,
    async ({ data }, { tx }) => {
      await tx.insert(OrderEntity, { orderId: data.orderId })
      await tx.insert(OrderEntity, { orderId: data.orderId }).catch(() => undefined)
    },
    { attempts: 1 },
  )
  const addProduct = (product: ProductState) =>
    orm.em.fork().transactional(async (em) => {
      em.create(ProductEntity, product)
      check(product.id)
    })
  return shopOf(shop, { placeOrder, addProduct }, () => orm.close(true))
}

const shops: Readonly<Record<string, (url: string) => Shop | Promise<Shop>>> = {
  pg: pgShop,
  'postgres.js': postgresJsShop,
  'Drizzle over pg': (url) => {
    const pool = new pg.Pool({ connectionString: url })
    return drizzleShop(drizzlePg(pool), () => pool.end())
  },
  'Drizzle over postgres.js': (url) => {
    const client = postgres(url, { onnotice: () => undefined })
    return drizzleShop(drizzlePostgresJs(client), () => client.end({ timeout: 1 }))
  },
  Kysely: kyselyShop,
  Prisma: prismaShop,
  Knex: knexShop,
  TypeORM: typeOrmShop,
  Sequelize: sequelizeShop,
  MikroORM: mikroOrmShop,
}

describe.each(Object.entries(shops))('through %s', (_, open) => {
  let library: Shop
  let shop: TestTeam<unknown>
  let billing: TestTeam<unknown>
  let heard: string[] = []

  beforeAll(async () => {
    const bus = testBus()
    const { url } = await freshDatabase({ migrated: true })
    library = await open(url)
    shop = await library.start(bus, url)
    const config = team('billing')
      .publishes(OrderPaid)
      .publishes(OrderDisputed)
      .keeps(Product, { fields: ['name', 'tags'] })
      .on(OrderPlaced, ({ data }) => void heard.push(`${data.orderId} is placed`))
      .on(OrderShipped, ({ data }) => void heard.push(`${data.orderId} is shipped at attempt ${data.attempt}`))
    billing = (await testTeam(config, { bus, url: (await freshDatabase({ migrated: true })).url })) as unknown as TestTeam<unknown>
  })
  afterAll(async () => {
    await billing?.[Symbol.asyncDispose]()
    await shop?.[Symbol.asyncDispose]()
    await library?.[Symbol.asyncDispose]()
  })

  /** What the other team has heard since the last time, and nothing is under way any more. */
  async function hears(): Promise<string[]> {
    await billing.caughtUp()
    const all = heard.sort()
    heard = []
    return all
  }
  const rows = async (text: string) => (await shop.db.query(text)).rows
  const published = async (topic: string) =>
    (await shop.db.query('select key from comity.outbox where topic = $1::text order by id', [topic])).rows.map(({ key }) => key)
  const billed = (contract: typeof OrderPaid | typeof OrderDisputed, orderId: string) =>
    billing.db.transaction((tx) => billing.team.publish(tx, contract, { orderId }))

  test('a row and its event are committed together, or neither is', async () => {
    await library.placeOrder('first')
    await expect(library.placeOrder('unlucky')).rejects.toThrow(new RangeError('unlucky fails on purpose'))
    await library.placeOrder('last')
    expect(await hears()).toEqual(['first is placed', 'last is placed'])
    expect(await rows('select * from orders order by order_id')).toEqual([{ order_id: 'first' }, { order_id: 'last' }])
    expect(await published('shop.order-placed')).toEqual(['first', 'last'])
  })

  test('a handler writes and publishes in one transaction: its effect happens once, and the follow-up arrives once', async () => {
    await billed(OrderPaid, 'lucky')
    expect(await hears()).toEqual(['lucky is shipped at attempt 1'])
    expect(await rows('select order_id, attempt from shipments')).toEqual([{ order_id: 'lucky', attempt: 1 }])
  })

  test('nothing stays of an attempt that throws after it wrote and published; the next one has its effect, once', async () => {
    await billed(OrderPaid, 'unlucky')
    expect(await hears()).toEqual(['unlucky is shipped at attempt 2'])
    expect(await rows(`select order_id, attempt from shipments where order_id like 'unlucky%'`)).toEqual([
      { order_id: 'unlucky', attempt: 2 },
    ])
    expect(await published('shop.order-shipped')).toEqual(['lucky', 'unlucky'])
  })

  test('a handler that catches an SQL error has done nothing: its message is not acknowledged as done, it waits, with its code', async () => {
    await billed(OrderDisputed, 'disputed')
    expect(await shop.caughtUp()).toEqual({ waiting: 1 })
    expect(await rows(`select * from orders where order_id = 'disputed'`)).toEqual([])
    expect(await rows('select subscription, key, reason, attempts, error_code from comity.waiting')).toEqual([
      {
        subscription: 'shop.billing-order-disputed',
        key: 'disputed',
        reason: 'parked',
        attempts: 1,
        error_code: 'COMITY_TRANSACTION_ROLLED_BACK',
      },
    ])
    const { subscriptions } = await shop.team.status()
    expect(subscriptions.find(({ topic }) => topic === OrderDisputed.name)).toMatchObject({
      waitingKeys: 1,
      ended: { applied: 0, discarded: 0, waiting: 1 },
    })
  })

  test('a row of a captured table is announced when its transaction commits, arrays and all', async () => {
    const tags = ['new', 'say "hi"', 'a,b']
    await library.addProduct({ id: 'p1', name: 'Lamp', tags })
    await expect(library.addProduct({ id: 'unlucky', name: 'Mirror', tags: [] })).rejects.toThrow(RangeError)
    await library.addProduct({ id: 'p2', name: 'Chair', tags: [] })
    await billing.caughtUp()
    expect((await billing.db.query('select id, name, tags from shop_product order by id')).rows).toEqual([
      { id: 'p1', name: 'Lamp', tags },
      { id: 'p2', name: 'Chair', tags: [] },
    ])
    expect(await published('shop.product')).toEqual(['p1', 'p2'])
  })
})

describe('the types', () => {
  const pool = new pg.Pool()
  const sql = postgres()
  type NoTables = Record<string, never>

  // What is asserted here is asserted by the compiler (`tsc -p tsconfig.test.json`); nothing connects.
  test('tx in a handler is the own transaction of the library', () => {
    const kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
    const own = {
      pg: team('shop', { database: fromPg(pool) }),
      postgresJs: team('shop', { database: fromPostgresJs(sql) }),
      drizzle: team('shop', { database: fromDrizzle(drizzlePg(pool)) }),
      drizzleOverPostgresJs: team('shop', { database: fromDrizzle(drizzlePostgresJs(sql)) }),
      kysely: team('shop', { database: fromKysely(kysely, { pool }) }),
      knex: team('shop', { database: fromKnex(knex({ client: 'pg' })) }),
      typeOrm: team('shop', { database: fromTypeOrm(new DataSource({ type: 'postgres' })) }),
      sequelize: team('shop', { database: fromSequelize(new Sequelize('postgres://localhost')) }),
      mikroOrm: team('shop', { database: fromMikroOrm({} as MikroORM) }),
    }
    own.pg.on(OrderPaid, (_, { tx }) => {
      expectTypeOf(tx).toEqualTypeOf<pg.PoolClient>()
    })
    own.postgresJs.on(OrderPaid, (_, { tx }) => {
      expectTypeOf(tx).toEqualTypeOf<postgres.TransactionSql>()
    })
    own.drizzle.on(OrderPaid, (_, { tx }) => {
      expectTypeOf(tx).toEqualTypeOf<PgTransaction<NodePgQueryResultHKT, NoTables, ExtractTablesWithRelations<NoTables>>>()
    })
    own.drizzleOverPostgresJs.on(OrderPaid, (_, { tx }) => {
      expectTypeOf(tx).toEqualTypeOf<PgTransaction<PostgresJsQueryResultHKT, NoTables, ExtractTablesWithRelations<NoTables>>>()
    })
    own.knex.on(OrderPaid, (_, { tx }) => {
      expectTypeOf(tx).toEqualTypeOf<Knex.Transaction>()
    })
    own.typeOrm.on(OrderPaid, (_, { tx }) => {
      expectTypeOf(tx).toEqualTypeOf<EntityManager>()
    })
    own.sequelize.on(OrderPaid, (_, { tx }) => {
      expectTypeOf(tx).toEqualTypeOf<SequelizeTransaction>()
    })
    own.mikroOrm.on(OrderPaid, (_, { tx }) => {
      expectTypeOf(tx).toEqualTypeOf<SqlEntityManager>()
    })
    const shop = own.kysely.on(OrderPaid, (_, { tx }) => {
      expectTypeOf(tx).toEqualTypeOf<Transaction<Tables>>()
    })
    expectTypeOf(shop).toEqualTypeOf<Team<Transaction<Tables>>>()
  })

  test('publish takes the transaction of the own library, and no other', () => {
    const kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
    const shop = team('shop', { database: fromKysely(kysely, { pool }) })
    const publishes = [
      (tx: Transaction<Tables>) => shop.publish(tx, OrderPlaced, { orderId: 'o' }),
      // @ts-expect-error the database itself is no transaction
      () => shop.publish(kysely, OrderPlaced, { orderId: 'o' }),
      // @ts-expect-error the transaction of another library
      (tx: pg.PoolClient) => shop.publish(tx, OrderPlaced, { orderId: 'o' }),
    ]
    expect(publishes).toHaveLength(3)
  })

  test("tx in a handler is the transaction of Prisma's generated client", async () => {
    await prismaClass()
    const program = `
      import { event } from '@comity/contract'
      import { team } from 'comity'
      import { fromPrisma } from 'comity/prisma'
      import { z } from 'zod'
      import type { Prisma, PrismaClient } from './client/index.js'
      type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
      declare const client: PrismaClient
      const OrderPaid = event('billing.order-paid', { key: 'orderId', data: z.object({ orderId: z.string() }) })
      const OrderPlaced = event('shop.order-placed', { key: 'orderId', data: z.object({ orderId: z.string() }) })
      export const shop = team('shop', { database: fromPrisma(client) })
        .publishes(OrderPlaced)
        .on(OrderPaid, async ({ data }, { tx, publish }) => {
          const same: Same<typeof tx, Prisma.TransactionClient> = true
          await tx.shipment.create({ data: { orderId: data.orderId, attempt: Number(same) } })
          // @ts-expect-error Prisma knows its columns
          await tx.shipment.create({ data: { orderId: 5 } })
          await publish(OrderPlaced, data)
        })
      export const own = client.$transaction((tx) => shop.publish(tx, OrderPlaced, { orderId: 'o' }))
      // @ts-expect-error no transaction of Prisma
      export const wrong = shop.publish({}, OrderPlaced, { orderId: 'o' })
    `
    await writeFile(new URL('handler.ts', prismaFolder), program)
    const config = { extends: '../../../tsconfig.test.json', include: ['handler.ts'], exclude: [] }
    await writeFile(new URL('tsconfig.json', prismaFolder), JSON.stringify(config))
    const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')
    const found = await promisify(execFile)(process.execPath, [tsc, '-p', fileURLToPath(prismaFolder)]).then(
      () => '',
      (error: { stdout: string }) => error.stdout,
    )
    expect(found).toBe('')
  }, 120_000)
})
