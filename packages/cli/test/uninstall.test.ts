import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { onNewestPostgres } from '../../../test/support/postgres.ts'
import { type Agency, BOTH, CRM, insertCustomer, MARKETING, newAgency, prepare, watchTable } from './support/agency.ts'
import { buildCli, comity, startComity } from './support/comity.ts'

beforeAll(buildCli, 120_000)

onNewestPostgres('comity uninstall', (server) => {
  let agency: Agency
  beforeEach(async () => {
    agency = await newAgency(server)
    await comity(['migrate', '-c', BOTH], agency)
  })
  afterEach(() => agency.close())

  test('says what it would do with 2, does it when confirmed, and leaves the tables as they were', async () => {
    const objects = `
      select nspname || ' ' || relname as object from pg_class c join pg_namespace n on n.oid = relnamespace
        where nspname !~ '^pg_|^information_schema' and relkind in ('r', 'p', 'v', 'S')
      union all select 'trigger ' || tgname from pg_trigger
      union all select 'function ' || proname from pg_proc p join pg_namespace n on n.oid = pronamespace where nspname !~ '^pg_|^information_schema'
      union all select 'schema ' || nspname from pg_namespace where nspname ~ '^comity'`
    await agency.crm.query(insertCustomer('c1'))
    const plan = await comity(['uninstall', '-c', CRM], agency)
    expect(plan.code, plan.stderr).toBe(2)
    expect(plan.stdout).toContain('stop capturing crm.customer')
    expect(plan.stdout).toContain('1 changes that were not sent yet')
    expect(plan.stdout).toContain('comity uninstall --yes crm')
    expect((await agency.crm.query(`select from pg_trigger where tgname ~ 'comity'`)).rowCount).toBeGreaterThan(0)

    const wrong = await comity(['uninstall', '-c', CRM, '--yes', 'marketing'], agency)
    expect(wrong.code).toBe(1)
    expect(wrong.stderr).toContain('COMITY_CONFIRMATION_DIFFERS')

    const done = await comity(['uninstall', '-c', CRM, '--yes', 'crm'], agency)
    expect(done.code, done.stderr).toBe(0)
    expect((await agency.crm.query(objects)).rows).toEqual([{ object: 'public customers' }])
    await agency.crm.query(insertCustomer('c2'))
    expect((await agency.crm.query('select id from customers order by id')).rows).toEqual([{ id: 'c1' }, { id: 'c2' }])

    const again = await comity(['uninstall', '-c', CRM, '--yes', 'crm'], agency)
    expect(again).toMatchObject({ code: 0, stdout: 'crm: nothing of Comity is in this database\n' })
  })

  test('keeps a replica as a plain table', async () => {
    await agency.marketing.query(`insert into crm_customer values ('c1', 'a1', 'e', 'n', 1)`)
    const { code, stdout, stderr } = await comity(['uninstall', '--json', '-c', MARKETING, '--yes', 'marketing'], agency)
    expect(code, stderr).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ team: 'marketing', done: true })
    expect((await agency.marketing.query('select id, name from crm_customer')).rows).toEqual([{ id: 'c1', name: 'n' }])
  })

  test('refuses while something of the user depends on it, and names it', async () => {
    await agency.crm.query('create view sent as select id, topic from comity.outbox')
    await agency.crm.query('create view report as select * from comity_public."crm.customer"')
    const { code, stderr } = await comity(['uninstall', '-c', CRM, '--yes', 'crm'], agency)
    expect(code).toBe(1)
    expect(stderr).toContain('COMITY_UNINSTALL_BLOCKED')
    expect(stderr).toMatch(/view report; .*view sent/)
    expect((await agency.crm.query('select from sent')).rowCount).toBe(0)
    expect((await agency.crm.query(`select from pg_trigger where tgname ~ 'comity'`)).rowCount).toBeGreaterThan(0)
  })

  test('refuses while a process relays', async () => {
    await comity(['provision', '-c', CRM], agency)
    const running = startComity(['run', '-c', CRM], agency)
    await running.line(/leading/)
    const { code, stderr } = await comity(['uninstall', '-c', CRM, '--yes', 'crm'], agency)
    expect(code).toBe(1)
    expect(stderr).toContain('COMITY_UNINSTALL_WHILE_RUNNING')
    await running.stop('SIGTERM')
    expect((await comity(['uninstall', '-c', CRM, '--yes', 'crm'], agency)).code).toBe(0)
  }, 60_000)

  test('takes one team at a time', async () => {
    const { code, stderr } = await comity(['uninstall', '-c', BOTH, '--yes', 'crm'], agency)
    expect(code).toBe(1)
    expect(stderr).toContain('COMITY_TEAM_NOT_NAMED')
  })
})

describe('comity release', () => {
  test('lets a published column be altered; migrate captures it again', async () => {
    const agency = await newAgency()
    await prepare(agency)
    const alter = 'alter table customers alter column name type varchar(200)'
    await expect(agency.crm.query(alter)).rejects.toThrow(/used by/)
    const wrong = await comity(['release', 'crm.costumer', '-c', CRM], agency)
    expect(wrong.stderr).toContain('give the name of a captured entity; here that is crm.customer')
    const { code, stdout, stderr } = await comity(['release', 'crm.customer', '-c', CRM], agency)
    expect(code, stderr).toBe(0)
    expect(stdout).toContain('not announced until the next "comity migrate"')
    await agency.crm.query(alter)
    expect((await comity(['run', '-c', CRM], agency)).stderr).toContain('released at')

    const migrated = await comity(['migrate', '-c', CRM], agency)
    expect(migrated.code, migrated.stderr).toBe(0)
    const running = startComity(['run', '-c', BOTH], agency)
    const arrived = await watchTable(agency.marketing, 'crm_customer')
    await agency.crm.query(insertCustomer('c9'))
    await arrived()
    await running.stop('SIGKILL')
    await agency.close()
  }, 60_000)
})
