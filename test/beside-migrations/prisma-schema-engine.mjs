#!/usr/bin/env node
/**
 * What PRISMA_SCHEMA_ENGINE_BINARY names in our tests. Prisma's command line fetches its schema engine as a program from elsewhere; npm has the
 * same engine, of the same commit, as wasm. This answers the command line's JSON-RPC with that one, over Prisma's own driver for `pg`.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { PrismaPg } from '@prisma/adapter-pg'
import * as engine from '@prisma/schema-engine-wasm/schema_engine_bg'
import pg from 'pg'

const load = createRequire(import.meta.url)
const { bindMigrationAwareSqlAdapterFactory, ColumnTypeEnum } = createRequire(load.resolve('@prisma/adapter-pg'))(
  '@prisma/driver-adapter-utils',
)

// The driver does not know the type "char" (oid 18), of which Postgres' catalog is full, and the engine insists on it.
const chars = new WeakSet()
const { addFields } = pg.Result.prototype
pg.Result.prototype.addFields = function (fields) {
  for (const field of fields) {
    if (field.dataTypeID !== 18) continue
    field.dataTypeID = pg.types.builtins.TEXT
    chars.add(field)
  }
  return addFields.call(this, fields)
}
class Driver extends PrismaPg {
  connect = async () => adjusted(await super.connect())
  /** The driver's own drops the database before it leaves it, and lets a connection string win over the database's name. */
  connectToShadowDb = async () => {
    const database = `prisma_migrate_shadow_db_${randomUUID()}`
    const admin = await super.connect()
    await admin.executeScript(`CREATE DATABASE "${database}"`)
    const shadow = await new Driver({ ...server, database }).connect()
    const { dispose } = shadow
    shadow.dispose = async () => {
      await dispose.call(shadow)
      await admin.executeScript(`DROP DATABASE "${database}" WITH (FORCE)`)
      await admin.dispose()
    }
    return shadow
  }
}
function adjusted(connection) {
  const { performIO, queryRaw } = connection
  let fields = []
  connection.performIO = async (query) => {
    const result = await performIO.call(connection, query)
    fields = result.fields ?? []
    return result
  }
  connection.queryRaw = async (query) => {
    const result = await queryRaw.call(connection, query)
    return { ...result, columnTypes: result.columnTypes.map((type, at) => (chars.has(fields[at]) ? ColumnTypeEnum.Character : type)) }
  }
  return connection
}

const valuesOf = (name) => process.argv.flatMap((word, at) => (word === name ? [process.argv[at + 1]] : []))
const { url } = JSON.parse(valuesOf('--datasource')[0] ?? '{}')
if (process.argv.includes('cli')) process.exit(0) // can-connect-to-database, create-database: the tests' databases exist

const bytes = readFileSync(load.resolve('@prisma/schema-engine-wasm').replace(/\.js$/, '_bg.wasm'))
const { instance } = await WebAssembly.instantiate(bytes, { './schema_engine_bg.js': engine })
engine.__wbg_set_wasm(instance.exports)
instance.exports.__wbindgen_start()
globalThis.PRISMA_WASM_PANIC_REGISTRY = { set_message: (message) => process.stderr.write(`${message}\n`) }

const datamodels = valuesOf('--datamodels').map((file) => [file, readFileSync(file, 'utf8')])
const { hostname, port, username, pathname } = new URL(url ?? 'postgres://none')
const server = { host: hostname, port: Number(port), user: username, database: pathname.slice(1) }
const adapter = bindMigrationAwareSqlAdapterFactory(new Driver(server))
let opened

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params } = JSON.parse(line)
  let answer
  try {
    opened ??= await engine.SchemaEngine.new({ datamodels }, () => undefined, adapter)
    const result = method === 'getDatabaseVersion' ? await opened.version(params) : await opened[method](params)
    answer = { result: result ?? null }
  } catch (error) {
    const { message, code, meta } = error
    answer = { error: { code: 4466, message, data: { is_panic: false, message, error_code: code ?? null, meta: meta ?? null } } }
  }
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id, ...answer })}\n`)
}
