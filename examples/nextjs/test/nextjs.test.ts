/** The short form calls the route as Next.js would; the full form installs Next.js (330 MB, so it is in no lock of ours), builds and starts it. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { cp, mkdir, rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Team } from 'comity'
import pg from 'pg'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { full } from '../../../test/support/full.ts'
import { freshDatabase } from '../../../test/support/postgres.ts'

let app: typeof import('../comity.config.ts')
let mails: pg.Pool

beforeAll(async () => {
  const [shop, mail, bus] = await Promise.all([freshDatabase(), freshDatabase(), freshDatabase()])
  vi.stubEnv('SHOP_URL', shop.url)
  vi.stubEnv('MAIL_URL', mail.url)
  vi.stubEnv('BUS_URL', bus.url)
  app = await import('../comity.config.ts')
  mails = new pg.Pool({ connectionString: mail.url })
  await app.pool.query('create table orders (id text primary key, email text not null)')
  await mails.query('create table mails (order_id text primary key, recipient text not null)')
  for (const team of teams()) {
    await team.migrate()
    await team.provision()
    await team.stop()
  }
}, 60_000)
afterAll(() => Promise.all([app.pool.end(), mails.end()]))

/** Those of the configuration, on a server without fsync. */
const teams = (): readonly Pick<Team, 'migrate' | 'provision' | 'start' | 'drained' | 'caughtUp' | 'stop'>[] => [
  app.shop.with({ ...app.shop.options, allowUnsafe: true }),
  app.mail.with({ ...app.mail.options, allowUnsafe: true }),
]
/** What `comity run` does, as a process of its own; the app runs no loop. */
async function running(work: () => Promise<void>): Promise<void> {
  const run = teams()
  for (const team of run) await team.start()
  try {
    await work()
    for (const team of run) await team.drained()
    for (const team of run) await team.caughtUp()
  } finally {
    for (const team of run) await team.stop()
  }
}
const mailed = async (orderId: string): Promise<number> =>
  (await mails.query('select from mails where order_id = $1', [orderId])).rowCount ?? 0
const post = (body: unknown): RequestInit => ({ method: 'POST', body: JSON.stringify(body) })

test('the route publishes in its transaction, while nothing runs; "comity run" sends it later, once', async () => {
  const { POST } = await import('../app/orders/route.ts')
  const call = (body: unknown): Promise<Response> => POST(new Request('http://localhost/orders', post(body)))
  expect((await call({ orderId: 'o1', email: 'ann@example.com' })).status).toBe(201)
  expect((await call({ orderId: 'o2' })).status).toBe(400)
  await expect(call({ orderId: 'o1', email: 'bob@example.com' })).rejects.toMatchObject({ code: '23505' }) // rolled back, with its event
  expect(await mailed('o1')).toBe(0)
  await running(async () => undefined)
  expect((await mails.query('select * from mails')).rows).toEqual([{ order_id: 'o1', recipient: 'ann@example.com' }])
})

test.runIf(full)('Next.js builds and serves it', { timeout: 600_000 }, async () => {
  const folder = new URL('../../../test/output/nextjs/', import.meta.url)
  const here = fileURLToPath(new URL('..', import.meta.url))
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  for (const name of ['app', 'comity.config.ts', 'place-order.ts', 'next.config.mjs', 'tsconfig.json', 'package.json'])
    await cp(`${here}${name}`, new URL(name, folder), { recursive: true })
  const cwd = fileURLToPath(folder)
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production' as const }
  const install = ['install', '--workspaces=false', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock']
  await promisify(execFile)('npm', install, { cwd, env })
  // As if they had come from a registry: Next.js bundles what is linked, and leaves to Node what is installed.
  for (const [name, place] of [
    ['contract', '@comity/contract'],
    ['comity', 'comity'],
  ] as const)
    for (const part of ['package.json', 'dist', 'migrations'].filter((part) => name === 'comity' || part !== 'migrations'))
      await cp(new URL(`../../../packages/${name}/${part}`, import.meta.url), new URL(`node_modules/${place}/${part}`, folder), {
        recursive: true,
      })
  const next = fileURLToPath(new URL('node_modules/next/dist/bin/next', folder))
  await promisify(execFile)(process.execPath, [next, 'build'], { cwd, env })
  const server = spawn(process.execPath, [next, 'start', '--port', '0'], { cwd, env, stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    const url = await addressOf(server)
    await running(async () => {
      expect((await fetch(`${url}/orders`, post({ orderId: 'next', email: 'ann@example.com' }))).status).toBe(201)
      expect(await (await fetch(url)).text()).toContain('Order')
    })
    expect(await mailed('next')).toBe(1)
  } finally {
    server.kill('SIGTERM')
    await rm(folder, { recursive: true, force: true })
  }
})

function addressOf(server: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = ''
    server.stdout?.on('data', (text: Buffer) => {
      said += text
      const url = /http:\/\/localhost:\d+/.exec(said)?.[0]
      if (url !== undefined && said.includes('Ready')) resolve(url)
    })
    server.once('close', () => reject(new Error(`it ended before it was ready:\n${said}`)))
  })
}
