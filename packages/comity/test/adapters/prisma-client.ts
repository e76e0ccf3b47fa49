import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { PrismaPg } from '@prisma/adapter-pg'

export type PrismaClientClass<Client> = new (options: { readonly adapter: PrismaPg }) => Client

/**
 * Prisma's client is code that its command line generates, into `client` of the folder. It wants to fetch an engine that
 * generating does not use: any program will do. One folder per test file: files run side by side.
 */
export async function generatePrismaClient<Client>(folder: URL, models: string): Promise<PrismaClientClass<Client>> {
  const load = createRequire(import.meta.url)
  await mkdir(folder, { recursive: true })
  const schema = fileURLToPath(new URL('schema.prisma', folder))
  const head =
    'generator client {\n  provider = "prisma-client-js"\n  output = "./client"\n}\ndatasource db {\n  provider = "postgresql"\n}\n'
  await writeFile(schema, head + models)
  await promisify(execFile)(process.execPath, [load.resolve('prisma/build/index.js'), 'generate', '--schema', schema], {
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, PRISMA_HIDE_UPDATE_MESSAGE: '1', CHECKPOINT_DISABLE: '1' },
  })
  return (load(fileURLToPath(new URL('client/index.js', folder))) as { PrismaClient: PrismaClientClass<Client> }).PrismaClient
}
