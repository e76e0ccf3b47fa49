import { execFile } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { release } from 'comity/admin'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { full } from '../support/full.ts'
import { freshDatabase } from '../support/postgres.ts'
import { announced, comityObjects, shopTeam } from './shop-team.ts'

const folder = new URL('../output/drizzle-kit/', import.meta.url)
const bin = fileURLToPath(new URL('bin.cjs', pathToFileURL(createRequire(import.meta.url).resolve('drizzle-kit'))))

let url: string
let database: pg.Pool
let shop: ReturnType<typeof shopTeam>

beforeAll(async () => {
  url = (await freshDatabase()).url
  database = new pg.Pool({ connectionString: url })
  shop = shopTeam(url, 'copies.atlas_city')
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  await schema("varchar('phone', { length: 20 })")
  await config()
  await kit('generate', '--name', 'customers')
  await kit('migrate')
  await database.query('create schema copies') // of its own: "comity migrate" makes the table, not the schema
  await shop.migrate()
}, 120_000)
afterAll(async () => {
  await shop.stop()
  await database.end()
})

async function schema(phone: string): Promise<void> {
  const columns = `id: text('id').primaryKey(), name: text('name').notNull()${phone && `, phone: ${phone}`}`
  await writeFile(
    new URL('schema.ts', folder),
    `import { pgTable, text, varchar } from 'drizzle-orm/pg-core'\nexport const customers = pgTable('customers', { ${columns} })\nvoid varchar\n`,
  )
}
async function config(more = ''): Promise<void> {
  const connection = `dbCredentials: { url: process.env.SHOP_URL }`
  const text = `export default { dialect: 'postgresql', schema: './schema.ts', out: './migrations', ${connection}, ${more} }\n`
  await writeFile(new URL('drizzle.config.ts', folder), text)
}

/** `npx drizzle-kit …`: what it says. */
async function kit(...args: readonly string[]): Promise<string> {
  const env = { ...process.env, SHOP_URL: url, NO_COLOR: '1' }
  const { stdout } = await promisify(execFile)(process.execPath, [bin, ...args], { cwd: fileURLToPath(folder), env })
  return stdout
}

test('push sees nothing of Comity: its schemas are not those that drizzle-kit looks at, and it knows no triggers', {
  timeout: 60_000,
}, async () => {
  const before = await comityObjects(database)
  expect(await kit('push', '--force')).toContain('No changes detected')
  expect(await comityObjects(database)).toEqual(before)
})

test('a published column keeps its type until "comity release"; "comity migrate" captures it again', { timeout: 90_000 }, async () => {
  await schema("text('phone')")
  await kit('generate', '--name', 'longer-phones')
  await expect(kit('migrate')).rejects.toMatchObject({ code: 1 })
  expect((await database.query('select count(*)::int as applied from drizzle.__drizzle_migrations')).rows).toEqual([{ applied: 1 }])
  await release('shop.customer', shop.environment)
  await kit('migrate')
  expect((await shop.migrate()).applied).toEqual(['capture customers as shop.customer'])
  const phone = '1'.repeat(30)
  await database.query(`insert into customers values ('c1', 'Ann', $1)`, [phone])
  expect(await announced(database)).toEqual([{ key: 'c1', state: { id: 'c1', name: 'Ann', phone } }])
})

test.runIf(full)('push can not drop a published column: Postgres refuses', { timeout: 60_000 }, async () => {
  await schema('')
  await kit('push', '--force').catch(() => undefined) // some versions end with 0
  expect((await database.query('select phone from customers')).rows).toHaveLength(1)
  await schema("text('phone')")
})

test.runIf(full)('tablesFilter keeps push away from a copy in a schema that it looks at', { timeout: 60_000 }, async () => {
  await config(`schemaFilter: ['public', 'copies'], tablesFilter: ['!atlas_city']`)
  await kit('push', '--force')
  expect(await comityObjects(database)).toContain('copies.atlas_city')
})

test('without it, push drops the copy', { timeout: 60_000 }, async () => {
  await config(`schemaFilter: ['public', 'copies']`)
  await kit('push', '--force')
  expect(await comityObjects(database)).not.toContain('copies.atlas_city')
})

test.runIf(full)('push over the schema comity destroys the outbox: never name it', { timeout: 240_000 }, async () => {
  await config(`schemaFilter: ['public', 'comity', 'comity_public']`)
  await kit('push', '--force').catch(() => undefined)
  expect(await comityObjects(database)).not.toContain('comity.subscriptions')
})
