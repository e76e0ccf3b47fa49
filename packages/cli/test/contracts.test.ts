/** `comity contracts check`: a field that nobody keeps may go, one that Marketing keeps may not, and Marketing is named. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Agency, BOTH, newAgency } from './support/agency.ts'
import { buildCli } from './support/comity.ts'

vi.hoisted(() => {
  process.env.NO_COLOR = '1'
  process.env.COLUMNS = '200'
})
const { inProcess } = await import('./support/in-process.ts')

const FIELDS = { email: 'z.string()', name: 'z.string()', phone: 'z.string().nullable()' }
let agency: Agency
let folder: string
beforeAll(async () => {
  await buildCli()
  agency = await newAgency()
  Object.assign(process.env, agency.env)
  // Below the repository, so that `comity` is found from there.
  const output = fileURLToPath(new URL('../../../test/output/', import.meta.url))
  await mkdir(output, { recursive: true })
  folder = await mkdtemp(join(output, 'contracts-'))
  expect(await inProcess('migrate', '-c', BOTH)).toMatchObject({ code: 0 })
  // As Marketing says of itself; of its contract another version than is known here.
  const keeps = [{ name: 'marketing.crm-customer', contract: 'crm.customer', hash: 'other', fields: ['email', 'name'] }]
  const heard = {
    v: 1,
    team: 'marketing',
    library: '0',
    owns: [],
    publishes: [],
    keeps,
    handles: [],
    operates: [],
    operators: [],
    contact: '#marketing',
  }
  await agency.crm.query('insert into comity.catalog (team, declaration, declared_at, heard_at) values ($1, $2, now(), now())', [
    'marketing',
    JSON.stringify(heard),
  ])
  await agency.crm.query(
    `insert into comity.holders (subscription, team, topic, kind, fields) values ('analysis.customers', 'analysis', 'crm.customer', 'handler', '["email", "name", "phone"]')`,
  )
}, 180_000)
afterAll(async () => {
  await agency?.close()
  await rm(folder, { recursive: true, force: true })
})

/** CRM with other fields, in a configuration of its own. */
async function crmWith(fields: Readonly<Record<string, string>>, more = '', answered?: { readonly data: string }): Promise<string> {
  const config = join(await mkdtemp(join(folder, 'crm-')), 'comity.config.ts')
  const state = Object.entries({ id: 'z.string()', agencyId: 'z.string()', ...fields }).map(([name, schema]) => `${name}: ${schema}`)
  await writeFile(
    config,
    `import { entity, request } from '@comity/contract'
import { team } from 'comity'
import { z } from 'zod'
const Customer = entity('crm.customer', { key: 'id', tenant: 'agencyId', state: z.object({ ${state.join(', ')} })${more} })
export default team('crm', { database: process.env.CRM_URL, transport: process.env.BUS_URL, allowUnsafe: true }).owns(Customer, { table: 'customers' })
${answered === undefined ? '' : `.answers(request('crm.change-email', { entity: Customer, key: 'id', data: ${answered.data} }), async () => undefined)`}
`,
  )
  return config
}
const check = async (fields: Readonly<Record<string, string>>, ...more: string[]) =>
  inProcess('contracts', 'check', '-c', await crmWith(fields), ...more)

test('an unchanged contract breaks nobody', async () => {
  const { code, stdout } = await check(FIELDS)
  expect(stdout).toContain('crm.customer: unchanged')
  expect(code).toBe(0)
})

test('a field that nobody says to keep may go; a handler that has not said what it reads may be affected', async () => {
  const { phone: _, ...rest } = FIELDS
  const { code, stdout, stderr } = await check({ ...rest, phone: 'z.string().nullable().optional()' })
  expect(stderr).toBe('')
  expect(stdout).toContain('unaffected  marketing.crm-customer, a copy of marketing (ask #marketing)')
  expect(code).toBe(2) // the handler has not said more than its contract, which requires it
  const gone = await check(rest)
  expect(gone.stdout).toContain('crm.customer: phone removed')
  expect(gone.stdout).toContain('unaffected  marketing.crm-customer')
})

test('removing a field that Marketing keeps fails, and names Marketing, its copy and its contact', async () => {
  const { email: _, ...rest } = FIELDS
  const { code, stdout } = await check(rest)
  expect(code).toBe(2)
  expect(stdout).toContain('broken      marketing.crm-customer, a copy of marketing (ask #marketing)')
  expect(stdout).toContain('email: is not sent any more')
  const json = JSON.parse((await check(rest, '--json')).stdout)
  expect(json.teams[0].contracts[0].consumers.find(({ team }: { team: string }) => team === 'marketing')).toMatchObject({
    ...{ contact: '#marketing', kind: 'copy', verdict: 'broken', reasons: [{ field: 'email' }] },
  })
})

test('for a pull request: annotations, and a summary', async () => {
  const { email: _, ...rest } = FIELDS
  const summary = join(folder, 'summary.md')
  process.env.GITHUB_STEP_SUMMARY = summary
  const { stdout, code } = await check(rest, '--format', 'github')
  delete process.env.GITHUB_STEP_SUMMARY
  expect(code).toBe(2)
  expect(stdout).toContain(
    '::error title=crm.customer::breaks marketing.crm-customer, a copy of marketing (ask #marketing): email: is not sent any more\n',
  )
  expect(await readFile(summary, 'utf8')).toContain(
    '| `marketing.crm-customer` | marketing (#marketing) | ❌ broken | email: is not sent any more |',
  )
})

test('who asks a request is named with a change that it would not survive', async () => {
  const config = await crmWith(FIELDS, '', { data: 'z.object({ id: z.string(), email: z.string(), why: z.string() })' })
  const published = { contractKind: 'request', name: 'crm.change-email', owner: 'crm', keyFields: ['id'], ordered: false, audiences: {} }
  const data = { type: 'object', properties: { id: { type: 'string' }, email: { type: 'string' } }, required: ['id', 'email'] }
  const version = { ...published, entity: 'crm.customer', fields: ['id', 'email'], schema: data, rejects: { taken: null } }
  await agency.crm.query(`insert into comity.contract_versions (topic, number, description) values ('crm.change-email', 1, $1)`, [
    JSON.stringify(version),
  ])
  await agency.crm.query(`update comity.catalog set declaration = declaration || $1::jsonb where team = 'marketing'`, [
    JSON.stringify({ asks: [{ contract: 'crm.change-email', hash: 'other' }] }),
  ])
  const { code, stdout } = await inProcess('contracts', 'check', '-c', config)
  expect(code).toBe(2)
  expect(stdout).toContain('crm.change-email: why added, rejects.taken removed')
  expect(stdout).toContain('broken      marketing, which asks it (ask #marketing)')
  expect(stdout).toMatch(/why: .+\n.+rejects\.taken: is a reason that is not given any more/)
  const markdown = await inProcess('contracts', 'check', '-c', config, '--format', 'markdown')
  expect(markdown.stdout).toContain('| asks it | marketing (#marketing) | ❌ broken | why: ')
})

test('what is deprecated is listed with its day and those who still read it', async () => {
  const config = await crmWith(FIELDS, `, deprecated: { name: '2027-01-31' }`)
  const { code, stdout } = await inProcess('contracts', 'deprecated', '-c', config)
  expect(stdout).toMatch(/crm\.customer +name +2027-01-31 +analysis\.customers, marketing\.crm-customer/)
  expect(code).toBe(3)
})
