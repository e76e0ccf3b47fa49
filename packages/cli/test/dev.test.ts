import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { freshDatabase } from '../../../test/support/postgres.ts'
import { CUSTOMERS, insertCustomer, watchTable } from './support/agency.ts'
import { buildCli, comity, fixture, type Started, startComity } from './support/comity.ts'

beforeAll(buildCli, 120_000)

let workspace: string
let dev: Started
const clients: pg.Client[] = []
let tidy: (() => Promise<void>) | undefined

beforeEach(async () => {
  // Below the repository, so that `comity` is found from there.
  const output = fileURLToPath(new URL('../../../test/output/', import.meta.url))
  await mkdir(output, { recursive: true })
  workspace = await mkdtemp(join(output, 'dev-'))
  await cp(dirname(fixture('contracts.ts')), workspace, {
    recursive: true,
    filter: (path) => !/fixtures.(both|broken|handed-over|narrower|operated)/.test(path),
  })
  await writeFile(join(workspace, 'package.json'), '{ "type": "module" }')
})
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.end().catch(() => undefined)))
  await dev?.stop('SIGTERM')
  await tidy?.()
  tidy = undefined
  await rm(workspace, { recursive: true, force: true })
})

function startDev(...more: string[]): Started {
  // URLs that name real databases must not be used.
  dev = startComity(['dev', workspace, ...more], {
    env: { CRM_URL: 'postgres://127.0.0.1:1/production', BUS_URL: 'postgres://127.0.0.1:1/bus' },
  })
  return dev
}

/** Of all tests of the run; what `comity dev` makes there goes when the test has ended. */
async function sharedServer(): Promise<string> {
  const { url } = await freshDatabase()
  tidy = async () => {
    const server = new pg.Client(url)
    await server.connect()
    for (const name of ['crm', 'marketing', 'comity_bus']) await server.query(`drop database if exists ${name} with (force)`)
    await server.end()
  }
  return url
}

async function connectTo(team: string): Promise<pg.Client> {
  const url = /postgres\w*:\S+/.exec(await dev.line(new RegExp(`${team} .*postgres\\w*://`)))?.[0]
  const client = new pg.Client(url)
  client.on('error', () => undefined) // the server ends with the command
  await client.connect()
  clients.push(client)
  return client
}

test('runs all teams of a workspace on one server, waits for their tables, restarts what changed, and keeps the data', async () => {
  const first = startDev()
  await first.line(/Postgres 18.*\.comity/)
  await first.line(/marketing +running/)
  // A team's own tables are its own business: it starts as soon as they are there.
  await first.line(/crm +not started; tried again/)
  const crm = await connectTo('crm')
  await crm.query(CUSTOMERS)
  await first.line(/crm +running/)

  const marketing = await connectTo('marketing')
  const arrived = await watchTable(marketing, 'crm_customer')
  await crm.query(insertCustomer('c1'))
  await arrived()
  await first.line(/1 applied by marketing\.crm-customer/)

  // One team's sources: it alone restarts. What all share: all do.
  const lines = first.lines.length
  const config = join(workspace, 'marketing', 'comity.config.ts')
  await writeFile(config, `${await readFile(config, 'utf8')}\n// changed\n`)
  await first.line(/marketing.comity\.config\.ts changed: restarting marketing/, { after: lines })
  await first.line(/marketing +running/, { after: lines })
  expect(first.lines.slice(lines).filter((line) => /restarting crm/.test(line))).toEqual([])
  const shared = join(workspace, 'contracts.ts')
  await writeFile(shared, `${await readFile(shared, 'utf8')}\n// changed\n`)
  await Promise.all(['crm', 'marketing'].map((team) => first.line(new RegExp(`contracts\\.ts changed: restarting ${team}`))))

  // A mistake is shown; correcting it starts the team again.
  const broken = first.lines.length
  const good = await readFile(config, 'utf8')
  await writeFile(config, good.replace('allowUnsafe', 'alowUnsafe'))
  await first.line(/did you mean "allowUnsafe"/, { after: broken })
  await first.line(/marketing.comity\.config\.ts ended \(code 1\)/, { after: broken })
  await writeFile(config, good)
  await first.line(/marketing +running/, { after: broken })

  const { code, stderr } = await first.stop('SIGTERM')
  expect(code, stderr).toBe(0)
  expect(await readdir(join(workspace, '.comity'))).toEqual(['postgres'])

  const second = startDev()
  await second.line(/crm +running/)
  expect((await (await connectTo('marketing')).query('select id from crm_customer')).rows).toEqual([{ id: 'c1' }])
  expect((await second.stop('SIGINT')).code).toBe(0)
}, 180_000)

test('gives a configuration that opens its database by its own library the URL of its team', async () => {
  await rm(join(workspace, 'crm'), { recursive: true })
  await mkdir(join(workspace, 'analysis'))
  await writeFile(
    join(workspace, 'analysis', 'comity.config.ts'),
    `import { team } from 'comity'
     import { fromPg } from 'comity/pg'
     import pg from 'pg'
     import { EmailSent } from '../contracts.ts'

     const pool = new pg.Pool({ connectionString: process.env.COMITY_DATABASE_URL })
     export default team('analysis', { database: fromPg(pool) }).on(EmailSent, async ({ data }, { tx }) => {
       await tx.query('create table if not exists sent (customer text)')
       await tx.query('insert into sent values ($1)', [data.customerId])
     })`,
  )
  startDev()
  await Promise.all(['analysis', 'marketing'].map((team) => dev.line(new RegExp(`${team} +running`))))
  const marketing = await connectTo('marketing')
  await marketing.query(`select comity.publish('marketing.email-sent', '{"customerId":"c7","agencyId":"a1"}')`)
  await dev.line(/1 applied by analysis\.marketing-email-sent/)
  expect((await (await connectTo('analysis')).query('select customer from sent')).rows).toEqual([{ customer: 'c7' }])
}, 60_000)

test('teams that ask each other start, whoever is first; one whose owner has no tables yet waits for it', async () => {
  await writeFile(
    join(workspace, 'requests.ts'),
    `import { entity, request } from '@comity/contract'
     import { z } from 'zod'
     import { Customer } from './contracts.ts'

     export const Campaign = entity('marketing.campaign', { key: 'id', state: z.object({ id: z.string(), stopped: z.boolean() }) })
     export const ChangeEmail = request('crm.change-email', {
       entity: Customer, key: 'id', tenant: 'agencyId', data: z.object({ id: z.string(), agencyId: z.string(), email: z.string() }), rejects: { taken: null },
     })
     export const StopCampaign = request('marketing.stop-campaign', { entity: Campaign, key: 'id', data: z.object({ id: z.string() }) })`,
  )
  await writeFile(
    join(workspace, 'crm', 'comity.config.ts'),
    `import { team } from 'comity'
     import { Customer } from '../contracts.ts'
     import { ChangeEmail, StopCampaign } from '../requests.ts'

     export default team('crm', { allowUnsafe: true })
       .owns(Customer, { table: 'customers' })
       .asks(StopCampaign)
       .answers(ChangeEmail, async ({ key, data }, { tx, ask, reject }) => {
         if (data.email === 'taken') return reject('taken')
         await tx.query('update customers set email = $1 where id = $2', [data.email, key])
         await ask(StopCampaign, { id: 'spring' })
         return undefined
       })`,
  )
  await writeFile(
    join(workspace, 'marketing', 'comity.config.ts'),
    `import { team } from 'comity'
     import { Customer } from '../contracts.ts'
     import { Campaign, ChangeEmail, StopCampaign } from '../requests.ts'

     export default team('marketing', { allowUnsafe: true })
       .owns(Campaign)
       .keeps(Customer, { fields: ['email'] })
       .asks(ChangeEmail)
       .answers(StopCampaign, async ({ key }, { publish }) => void (await publish(Campaign, { id: key, stopped: true })))`,
  )
  startDev('--server', await sharedServer())
  const [crm, marketing] = [await connectTo('crm'), await connectTo('marketing')]
  await dev.line(/marketing +waits: marketing asks crm\.change-email, and the broker knows nobody who answers yet/)
  await crm.query(CUSTOMERS)
  await Promise.all(['crm', 'marketing'].map((team) => dev.line(new RegExp(`${team} +running`))))
  // It tells nobody to provision, which happens here by itself.
  expect(dev.lines.filter((line) => line.includes('comity provision'))).toEqual([])
  await crm.query(insertCustomer('c1'))
  const ask = (email: string) =>
    marketing.query('select comity.ask($1, $2)', ['crm.change-email', JSON.stringify({ id: 'c1', agencyId: 'a1', email })])
  await ask('taken')
  await ask('new@example.com')
  const ended = async (db: pg.Client) => (await db.query('select state, reason from comity.asked_requests order by asked_at')).rows
  await expect
    .poll(() => ended(marketing))
    .toEqual([
      { state: 'rejected', reason: 'taken' },
      { state: 'visible', reason: null },
    ])
  expect((await marketing.query('select email from crm_customer')).rows).toEqual([{ email: 'new@example.com' }])
  await expect.poll(() => ended(crm)).toEqual([{ state: 'accepted', reason: null }])
}, 60_000)

test('leaves no process behind when it is killed', async () => {
  const killed = startDev()
  const crm = await connectTo('crm')
  const ended = new Promise((resolve) => crm.once('end', resolve))
  await killed.stop('SIGKILL')
  // The server ends with it, and the output's other holders, the teams' processes, have closed it: `stop` resolved.
  await ended
}, 60_000)

test('says what to do where there is no configuration', async () => {
  const { code, stderr } = await comity(['dev', join(workspace, 'nowhere')])
  expect(code).toBe(1)
  expect(stderr).toContain('COMITY_CONFIG_NOT_FOUND')
})

test('on a server of one’s own, makes the databases there and leaves them', async () => {
  const url = await sharedServer()
  const own = startDev('--server', url)
  await own.line(/Postgres 18.* at 127\.0\.0\.1:\d+/)
  const crm = await connectTo('crm')
  await crm.query(CUSTOMERS)
  await Promise.all([own.line(/crm +running/), own.line(/marketing +running/)])
  await own.stop('SIGTERM')
  expect((await readdir(workspace)).includes('.comity')).toBe(false)
  const server = new pg.Client(url)
  clients.push(server)
  await server.connect()
  const { rows } = await server.query(`select datname from pg_database where datname in ('crm', 'marketing', 'comity_bus') order by 1`)
  expect(rows.map(({ datname }) => datname)).toEqual(['comity_bus', 'crm', 'marketing'])
})
