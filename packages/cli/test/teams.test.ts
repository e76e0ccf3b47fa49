/** `comity teams add`: what it writes runs at once beside the teams that were there, and its copy fills by itself. */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { until } from '../../../test/chaos/until.ts'
import { CUSTOMERS, insertCustomer } from './support/agency.ts'
import { buildCli, comity, fixture, type Started, startComity } from './support/comity.ts'
import { inProcess } from './support/in-process.ts'

beforeAll(buildCli, 120_000)

let workspace: string
let dev: Started | undefined
const clients: pg.Client[] = []

beforeEach(async () => {
  // Below the repository, so that `comity` is found from there.
  const output = fileURLToPath(new URL('../../../test/output/', import.meta.url))
  await mkdir(output, { recursive: true })
  workspace = await mkdtemp(join(output, 'teams-'))
  await cp(dirname(fixture('contracts.ts')), workspace, {
    recursive: true,
    filter: (path) => !/fixtures.(both|broken|handed-over|narrower|operated)/.test(path),
  })
  await writeFile(join(workspace, 'package.json'), '{\n    "type": "module"\n}\n')
})
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.end().catch(() => undefined)))
  await dev?.stop('SIGTERM')
  dev = undefined
  await rm(workspace, { recursive: true, force: true })
})

function add(...args: string[]): ReturnType<typeof inProcess> {
  return inProcess('teams', 'add', ...args, '--in', workspace)
}

async function connectTo(started: Started, team: string): Promise<pg.Client> {
  const url = /postgres\w*:\S+/.exec(await started.line(new RegExp(`${team} .*postgres\\w*://`)))?.[0]
  const client = new pg.Client(url)
  client.on('error', () => undefined) // the server ends with the command
  await client.connect()
  clients.push(client)
  return client
}

test('a new team runs with the others, and has what was there before it', { timeout: 120_000 }, async () => {
  const before = startComity(['dev', workspace])
  dev = before
  await (await connectTo(before, 'crm')).query(`${CUSTOMERS}; ${insertCustomer('c1')}; ${insertCustomer('c2')}`)
  await before.line(/crm +running/)
  await before.stop('SIGTERM')

  const added = await comity(['teams', 'add', 'billing', '--keeps', 'crm.customer', '--fields', 'email,name'], { cwd: workspace })
  expect(added.code, added.stderr).toBe(0)
  expect(added.stdout).toContain('Written: billing/comity.config.ts, billing/README.md, package.json')
  expect(await readFile(join(workspace, 'billing', 'comity.config.ts'), 'utf8')).toMatchInlineSnapshot(`
    "import { team } from 'comity'
    import { Customer } from '../contracts.ts'

    export default team('billing', { database: process.env.BILLING_URL, transport: process.env.BUS_URL })
      .keeps(Customer, { fields: ['email', 'name'] }) // the table crm_customer, yours to index and join
    "
  `)
  expect(await readFile(join(workspace, 'billing', 'README.md'), 'utf8')).toMatchInlineSnapshot(`
    "# billing

    Keeps its own copy of crm.customer in the table \`crm_customer\`. The copy fills by itself when the team first runs.

    On your machine \`comity dev\` runs it with all other teams. Elsewhere, with \`BILLING_URL\` and \`BUS_URL\` set:

    \`\`\`sh
    npx comity migrate --config billing     # its tables, in its own database
    npx comity provision --config billing   # its subscriptions, at the broker
    npx comity run --config billing
    \`\`\`
    "
  `)
  expect(await readFile(join(workspace, 'package.json'), 'utf8')).toBe(
    '{\n    "type": "module",\n    "scripts": {\n        "billing": "comity run --config billing"\n    }\n}\n',
  )

  const after = startComity(['dev', workspace])
  dev = after
  const billing = await connectTo(after, 'billing')
  await after.line(/billing +running/)
  const copied = await until('the copy is filled', async () => {
    const { rows } = await billing.query('select id, agency_id, email, name from crm_customer order by id').catch(() => ({ rows: [] }))
    return rows.length === 2 && rows
  })
  expect(copied[0]).toEqual({ id: 'c1', agency_id: 'a1', email: 'c1@example.com', name: 'Customer c1' })
  const crm = await connectTo(after, 'crm')
  await crm.query(`update customers set name = 'New' where id = 'c1'`)
  await until('a change has arrived', async () => (await billing.query(`select from crm_customer where name = 'New'`)).rows.length === 1)
})

test('what can not run is refused before anything is written', { timeout: 60_000 }, async () => {
  const refused = async (...args: string[]) => (await add(...args)).stderr
  expect(await refused('billing', '--keeps', 'crm.custmer', '--fields', 'email')).toContain('COMITY_ENTITY_NOT_IN_WORKSPACE')
  expect(await refused('billing', '--keeps', 'crm.customer', '--fields', 'iban')).toContain('COMITY_REPLICA_FIELD_UNKNOWN')
  expect(await refused('billing', '--keeps', 'crm.customer')).toContain('--fields email,name,phone')
  expect(await refused('Billing', '--keeps', 'crm.customer', '--fields', 'email')).toContain('COMITY_INVALID_NAME')
  expect(await refused('marketing', '--keeps', 'crm.customer', '--fields', 'email')).toContain('COMITY_TEAM_FOLDER_TAKEN')
  const contracts = join(workspace, 'contracts.ts')
  await writeFile(
    contracts,
    (await readFile(contracts, 'utf8')).replace("tenant: 'agencyId',", "tenant: 'agencyId', audiences: { sales: ['email'] },"),
  )
  await rm(join(workspace, 'marketing'), { recursive: true })
  // In processes of their own: here the contracts are loaded already.
  const granted = (name: string) =>
    comity(['teams', 'add', name, '--keeps', 'crm.customer', '--fields', 'email', '--json'], { cwd: workspace })
  expect(JSON.parse((await granted('billing')).stdout).error.code).toBe('COMITY_AUDIENCE_MISSING')
  const sales = await granted('sales')
  expect(JSON.parse(sales.stdout)).toMatchObject({ team: 'sales', fields: ['email'], audience: 'sales' })
  expect(await readFile(join(workspace, 'sales', 'comity.config.ts'), 'utf8')).toContain(`audience: 'sales'`)
})
