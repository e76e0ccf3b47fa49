/**
 * `npm start`: two Nest applications, each with its team and its database; one process here, two in production. `--json` prints the verdict
 * as one line; `--once` is what it does anyway: it ends when every mail is written.
 */
import 'reflect-metadata'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { launchPostgres } from '@comity/embedded-postgres'
import { teamToken } from '@comity/nestjs'
import { NestFactory } from '@nestjs/core'
import type { Team } from 'comity'
import { mailModule, tables as mailTables } from './mail.ts'
import { Pool } from './pool.ts'
import { Orders, shopModule, tables as shopTables } from './shop.ts'

const ORDERS = 60
/** One of so many is refused after it was published: no mail may come of it. */
const REFUSED = 10
/** Milliseconds. */
const WITHIN = 60_000
const LOOK_EVERY = 20

interface Verdict {
  readonly example: 'nestjs'
  readonly ok: boolean
  readonly orders: number
  readonly refused: number
  readonly mails: number
  /** Mails that have no order, or not the order's recipient and product. */
  readonly mismatches: number
}

const { values: given } = parseArgs({ options: { once: { type: 'boolean' }, json: { type: 'boolean' } } })
const say = (text: string): void => void (given.json ? process.stderr : process.stdout).write(`${text}\n`)

const verdict = await shopAndMail()
process.exitCode = verdict.ok ? 0 : 1
if (given.json) process.stdout.write(`${JSON.stringify(verdict)}\n`)

async function shopAndMail(): Promise<Verdict> {
  await using postgres = await launchPostgres()
  const bus = await postgres.createDatabase('bus')
  const shopUrl = await prepared(await postgres.createDatabase('shop'), shopTables)
  const mailUrl = await prepared(await postgres.createDatabase('mail'), mailTables)

  const logger = given.json ? false : (['log', 'warn', 'error'] as const).slice()
  const shop = await NestFactory.createApplicationContext(shopModule({ database: shopUrl, bus }), { logger })
  const mail = await NestFactory.createApplicationContext(mailModule({ database: mailUrl, bus }), { logger })
  for (const app of [shop, mail]) app.enableShutdownHooks()
  try {
    const [shopPool, mailPool] = [shop.get(Pool), mail.get(Pool)]
    await shopPool.query(`insert into products select 'p' || i, 'Lamp ' || i, 10 * i, 7 * i from generate_series(1, 5) i`)
    // Orders could go first: a mail then waits for its product. Here nobody has to.
    await shop.get<Team>(teamToken()).drained()
    await mail.get<Team>(teamToken()).caughtUp()
    let refused = 0
    for (let i = 1; i <= ORDERS; i++) {
      // The product that does not exist fails the transaction.
      const productId = i % REFUSED === 0 ? 'p0' : `p${1 + (i % 5)}`
      await shop
        .get(Orders)
        .place({ orderId: `o${i}`, productId, email: `buyer-${i}@example.com` })
        .catch(() => refused++)
    }
    const orders = await shopPool.query<{ id: string; row: string }>(
      `select o.id, concat_ws('|', o.id, email, 'You bought: ' || name) as row from orders o join products p on p.id = product_id`,
    )
    say(`${orders.rows.length} orders are placed, ${refused} were refused.`)

    const count = async (): Promise<number> => (await mailPool.query('select from mails')).rowCount ?? 0
    for (const end = performance.now() + WITHIN; (await count()) < orders.rows.length && performance.now() < end; ) await delay(LOOK_EVERY)
    const mails = await mailPool.query<{ row: string }>(`select concat_ws('|', order_id, recipient, subject) as row from mails`)
    const expected = new Set(orders.rows.map(({ row }) => row))
    const mismatches = mails.rows.filter(({ row }) => !expected.has(row)).length
    say(`${mails.rows.length} mails are written; ${mismatches} differ from their order.`)
    const ok = refused === ORDERS / REFUSED && mails.rows.length === orders.rows.length && mismatches === 0
    return { example: 'nestjs', ok, orders: orders.rows.length, refused, mails: mails.rows.length, mismatches }
  } finally {
    await Promise.all([shop.close(), mail.close()])
  }
}

async function prepared(url: string, tables: string): Promise<string> {
  const pool = new Pool({ connectionString: url })
  await pool.query(tables)
  await pool.end()
  return url
}
