import { execFile } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { release } from 'comity/admin'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { full } from '../support/full.ts'
import { freshDatabase } from '../support/postgres.ts'
import { announced, comityObjects, shopTeam } from './shop-team.ts'

const folder = new URL('../output/prisma/', import.meta.url)
const bin = createRequire(import.meta.url).resolve('prisma/build/index.js')
const engine = fileURLToPath(new URL('prisma-schema-engine.mjs', import.meta.url))

let url: string
let database: pg.Pool
let shop: ReturnType<typeof shopTeam>

beforeAll(async () => {
  url = (await freshDatabase()).url
  database = new pg.Pool({ connectionString: url })
  shop = shopTeam(url, 'copies.atlas_city')
  await rm(folder, { recursive: true, force: true })
  await migration(
    '1_customers',
    'create table customers (id text not null, name text not null, phone varchar(20), constraint customers_pkey primary key (id))',
  )
  await writeFile(new URL('migrations/migration_lock.toml', folder), 'provider = "postgresql"\n')
  await model('phone String? @db.VarChar(20)')
  await config()
  await prisma('migrate', 'deploy')
  await database.query('create schema copies') // of its own: "comity migrate" makes the table, not the schema
  await shop.migrate()
}, 120_000)
afterAll(async () => {
  await shop.stop()
  await database.end()
})

async function migration(name: string, sql: string): Promise<void> {
  await mkdir(new URL(`migrations/${name}/`, folder), { recursive: true })
  await writeFile(new URL(`migrations/${name}/migration.sql`, folder), `${sql};\n`)
}
async function model(phone: string): Promise<void> {
  const customer = `model Customer {\n  id String @id\n  name String\n  ${phone}\n  @@map("customers")\n}\n`
  await writeFile(new URL('schema.prisma', folder), `datasource db {\n  provider = "postgresql"\n}\n${customer}`)
}
async function config(more = ''): Promise<void> {
  const text = `export default { schema: 'schema.prisma', migrations: { path: 'migrations' }, datasource: { url: process.env.SHOP_URL }, ${more} }\n`
  await writeFile(new URL('prisma.config.mjs', folder), text)
}

/** `npx prisma …`: all that it says; rejects with the same when it fails. */
async function prisma(...args: readonly string[]): Promise<string> {
  const own = {
    SHOP_URL: url,
    PRISMA_SCHEMA_ENGINE_BINARY: engine,
    PRISMA_HIDE_UPDATE_MESSAGE: '1',
    CHECKPOINT_DISABLE: '1',
    NO_COLOR: '1',
  }
  const run = promisify(execFile)(process.execPath, [bin, ...args], { cwd: fileURLToPath(folder), env: { ...process.env, ...own } })
  const { stdout, stderr } = await run.catch((error: { stdout: string; stderr: string }) => {
    throw new Error(`${error.stdout}\n${error.stderr}`)
  })
  return `${stdout}\n${stderr}`
}

test('migrate dev sees no drift: Comity is in other schemas, and triggers are not what it compares', { timeout: 60_000 }, async () => {
  const before = await comityObjects(database)
  expect(await prisma('migrate', 'dev', '--name', 'nothing')).toContain('Already in sync')
  expect(await comityObjects(database)).toEqual(before)
})

test('a published column keeps its type until "comity release"; "comity migrate" captures it again', { timeout: 120_000 }, async () => {
  await model('phone String?')
  await migration('2_longer_phones', 'alter table customers alter column phone type text')
  await expect(prisma('migrate', 'deploy')).rejects.toThrow('cannot alter type of a column used by a function')
  await release('shop.customer', shop.environment)
  await prisma('migrate', 'resolve', '--rolled-back', '2_longer_phones')
  await prisma('migrate', 'deploy')
  expect((await shop.migrate()).applied).toEqual(['capture customers as shop.customer'])
  const phone = '1'.repeat(30)
  await database.query(`insert into customers values ('c1', 'Ann', $1)`, [phone])
  expect(await announced(database)).toEqual([{ key: 'c1', state: { id: 'c1', name: 'Ann', phone } }])
})

test.runIf(full)('a copy in public is drift, unless it is external; db push drops it', { timeout: 240_000 }, async () => {
  await database.query('create table public.atlas_city (id text primary key)')
  await expect(prisma('migrate', 'dev', '--name', 'drift')).rejects.toThrow(/Drift detected[\s\S]*atlas_city/)
  await config(`experimental: { externalTables: true }, tables: { external: ['public.atlas_city'] }`)
  expect(await prisma('migrate', 'dev', '--name', 'none')).toContain('Already in sync')
  await prisma('db', 'push')
  expect((await database.query(`select to_regclass('public.atlas_city') is null as gone`)).rows).toEqual([{ gone: false }])
  await config()
  await prisma('db', 'push')
  expect((await database.query(`select to_regclass('public.atlas_city') is null as gone`)).rows).toEqual([{ gone: true }])
})

test('migrate reset drops triggers and views with the tables, and "comity migrate" restores them; the outbox and the copies stay', {
  timeout: 60_000,
}, async () => {
  const before = await comityObjects(database)
  const outbox = await announced(database)
  await prisma('migrate', 'reset', '--force')
  const left = await comityObjects(database)
  expect(before.filter((name) => !left.includes(name))).toEqual([
    'comity.shop.customer state',
    'comity_public.shop.customer',
    ...['delete', 'insert', 'truncate', 'update'].map((event) => `trigger zz_comity shop.customer ${event} on customers`),
  ])
  expect(await announced(database)).toEqual(outbox)
  expect((await shop.migrate()).applied).toEqual(['capture customers as shop.customer'])
  expect(await comityObjects(database)).toEqual(before)
  await database.query(`insert into customers (id, name) values ('c2', 'Bob')`)
  expect((await announced(database)).at(-1)).toMatchObject({ key: 'c2' })
  expect((await shop.migrate()).applied).toEqual([])
})
