import pg from 'pg'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { freshDatabase } from '../../../test/support/postgres.ts'
import { type Agency, BOTH, CRM, newAgency } from './support/agency.ts'
import { buildCli, comity } from './support/comity.ts'

beforeAll(buildCli, 120_000)

let agency: Agency
beforeEach(async () => {
  agency = await newAgency('npm', { empty: true })
})
afterEach(() => agency.close())

describe('comity migrate', () => {
  test('--check says what is pending with 2, migrate does it, --check is content with 0', async () => {
    const before = await comity(['migrate', '--check', '-c', CRM], agency)
    expect(before.code).toBe(2)
    expect(before.stdout).toContain('crm: to do: apply 0001-outbox')
    expect(before.stdout).toContain('crm: to do: register the contract crm.customer (captured)')
    expect((await agency.crm.query(`select from pg_namespace where nspname = 'comity'`)).rowCount).toBe(0)

    const done = await comity(['migrate', '-c', CRM], agency)
    expect(done.code, done.stderr).toBe(0)
    expect(done.stdout).toContain('crm: applied 0001-outbox')

    const after = await comity(['migrate', '--check', '-c', CRM], agency)
    expect(after).toMatchObject({ code: 0, stdout: 'crm: nothing is pending\n' })
    expect((await comity(['migrate', '-c', CRM], agency)).stdout).toBe('crm: up to date\n')
  })

  test('--print gives a script that does the same', async () => {
    const { stdout, code } = await comity(['migrate', '--print', '-c', CRM], agency)
    expect(code).toBe(0)
    await agency.crm.query(stdout)
    expect((await comity(['migrate', '--check', '-c', CRM], agency)).stdout).toBe('crm: nothing is pending\n')
  })

  test('two at once do it once, for every team of the configuration', async () => {
    const both = await Promise.all([1, 2].map(() => comity(['migrate', '--json', '-c', BOTH], agency)))
    expect(both.map(({ code, stdout }) => (code === 0 ? code : stdout))).toEqual([0, 0])
    const applied = both.flatMap(({ stdout }) => JSON.parse(stdout).teams.flatMap((team: { applied: string[] }) => team.applied))
    expect(applied.filter((one) => one.startsWith('applied 0001'))).toHaveLength(2) // once a team
    expect(applied.filter((one) => one.includes('crm_customer'))).toHaveLength(1)
    expect((await comity(['migrate', '--check', '-c', BOTH], agency)).code).toBe(0)
  })

  test("refuses another team's database, in JSON when asked", async () => {
    await comity(['migrate', '-c', CRM], agency)
    const env = { ...agency.env, MARKETING_URL: agency.env.CRM_URL }
    const { code, stdout } = await comity(['migrate', '--json', '-c', BOTH, '--team', 'marketing'], { env })
    expect(code).toBe(1)
    expect(JSON.parse(stdout).error).toEqual({
      code: 'COMITY_OTHER_TEAMS_DATABASE',
      cause: 'this database belongs to team crm, not to marketing',
      remedy: 'give each team a database of its own, and check the URL',
    })
  })
})

describe('comity provision', () => {
  test('--plan says what is missing with 2; provision migrates the bus and creates it', async () => {
    const before = await comity(['provision', '--plan', '-c', BOTH], agency)
    expect(before.code, before.stderr).toBe(2)
    expect(before.stdout).toContain('crm: to do: create topic crm.customer')
    const bus = new pg.Client(agency.env.BUS_URL)
    await bus.connect()
    expect((await bus.query(`select from pg_namespace where nspname = 'comity_bus'`)).rowCount).toBe(0)

    const done = await comity(['provision', '-c', BOTH], agency)
    expect(done.code, done.stderr).toBe(0)
    expect(done.stdout).toContain('marketing: create subscription marketing.crm-customer')
    expect((await bus.query('select name from comity_bus.topics order by name')).rows).toEqual([
      { name: 'comity.catalog' },
      ...['answer', 'copying', 'declaration', 'erasures', 'heartbeat', 'receipts'].map((kind) => ({ name: `comity.crm.${kind}` })),
      ...['answer', 'copy-crm-customer', 'declaration', 'erasures', 'heartbeat', 'receipts'].map((kind) => ({
        name: `comity.marketing.${kind}`,
      })),
      { name: 'crm.customer' },
      { name: 'marketing.email-sent' },
    ])
    await bus.end()

    const after = await comity(['provision', '--plan', '--json', '-c', BOTH], agency)
    expect(after.code).toBe(0)
    expect(JSON.parse(after.stdout)).toEqual({
      teams: [
        { team: 'crm', steps: [] },
        { team: 'marketing', steps: [] },
      ],
    })
  })

  test("--access prints each team's least rights, and asks the broker nothing; a broker that has no such form says so", async () => {
    const nowhere = { ...agency.env, BUS_URL: 'google-pubsub://nowhere' }
    const terraform = await comity(['provision', '--access', 'terraform', '-c', BOTH], { ...agency, env: nowhere })
    expect(terraform.code, terraform.stderr).toBe(0)
    const published = [...terraform.stdout.matchAll(/resource "google_pubsub_topic" "(\w+)"/g)].map(([, name]) => name)
    expect(published.length).toBeGreaterThan(5)
    expect(published.length).toBe(new Set(published).size)
    expect(terraform.stdout).toContain('roles/pubsub.publisher')
    const json = await comity(['provision', '--access', '--json', '-c', BOTH], { ...agency, env: nowhere })
    expect(JSON.parse(json.stdout)).toMatchObject({ brokers: [{ transport: 'google-pubsub', teams: ['crm', 'marketing'] }] })
    const none = await comity(['provision', '--access', '-c', BOTH], agency)
    expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining('comity migrate --roles bus') })
  })

  test('says which server it could not reach, without the password', async () => {
    const { name } = await freshDatabase()
    const env = { ...agency.env, CRM_URL: `postgres://crm:secret@127.0.0.1:1/${name}` }
    const { code, stderr } = await comity(['migrate', '-c', CRM, '--verbose'], { env })
    expect(code).toBe(1)
    expect(stderr).toContain('COMITY_DATABASE_UNREACHABLE')
    expect(stderr).toContain('127.0.0.1:1')
    expect(stderr).not.toContain('secret')
  })
})
