import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { onNewestPostgres } from '../../../test/support/postgres.ts'
import { type Agency, BOTH, CRM, CUSTOMERS, insertCustomer, MARKETING, newAgency, watchTable } from './support/agency.ts'
import { buildCli, comity, type Started, startComity } from './support/comity.ts'

/** The printed roles, used as they are: tables are an owner's, the application is the writer, `comity run` is the runner. Nobody is superuser. */
onNewestPostgres('comity migrate --roles', (server) => {
  let agency: Agency
  const running: Started[] = []
  const clients: pg.Client[] = []

  beforeAll(async () => {
    await buildCli()
    agency = await newAgency(server, { empty: true })
    await agency.crm.query('drop table customers')
    for (const [team, client] of [
      ['crm', agency.crm],
      ['marketing', agency.marketing],
    ] as const) {
      await client.query(`create role ${team}_owner login`)
      await client.query(`do $$ begin execute format('alter database %I owner to ${team}_owner', current_database()); end $$`)
    }
    const owner = await connect(as(agency.env.CRM_URL, 'crm_owner'))
    await owner.query(CUSTOMERS)
    const env = {
      ...agency.env,
      CRM_URL: as(agency.env.CRM_URL, 'crm_owner'),
      MARKETING_URL: as(agency.env.MARKETING_URL, 'marketing_owner'),
    }
    for (const command of ['migrate', 'provision']) {
      const { code, stderr } = await comity([command, '-c', BOTH], { env })
      expect(code, stderr).toBe(0)
    }
    const bus = await connect(agency.env.BUS_URL)
    for (const [config, client] of [
      [CRM, agency.crm],
      [MARKETING, agency.marketing],
    ] as const) {
      await client.query((await comity(['migrate', '--roles', 'database', '-c', config], { env })).stdout)
      await bus.query((await comity(['migrate', '--roles', 'bus', '-c', config], { env })).stdout)
    }
    // What only the team knows: what its application and its handlers write in its own tables.
    await owner.query('grant select, insert, update, delete on customers to crm_writer')
    await owner.query('grant select, update on customers to crm_runner')
  }, 180_000)
  afterAll(async () => {
    await Promise.all(running.map((one) => one.stop('SIGKILL')))
    await Promise.all(clients.map((client) => client.end()))
    await agency.close()
  })

  function as(url: string, role: string): string {
    const given = new URL(url)
    given.username = role
    return given.href
  }
  async function connect(url: string): Promise<pg.Client> {
    const client = new pg.Client(url)
    await client.connect()
    clients.push(client)
    return client
  }
  function runnerEnv(): Record<'crm' | 'marketing', Record<string, string>> {
    return {
      crm: { CRM_URL: as(agency.env.CRM_URL, 'crm_runner'), BUS_URL: as(agency.env.BUS_URL, 'crm_bus') },
      marketing: { MARKETING_URL: as(agency.env.MARKETING_URL, 'marketing_runner'), BUS_URL: as(agency.env.BUS_URL, 'marketing_bus') },
    }
  }

  test('are enough for the whole way: change, copy, event, handler, parked message, status, stop and start again', async () => {
    const env = runnerEnv()
    const start = (config: string, own: Record<string, string>): Started => {
      const started = startComity(['run', '-c', config], { env: own })
      running.push(started)
      return started
    }
    const [crmRun, marketingRun] = [start(CRM, env.crm), start(MARKETING, env.marketing)]
    await Promise.all([crmRun.line(/leading/), marketingRun.line(/leading/)])
    const crmApp = await connect(as(agency.env.CRM_URL, 'crm_writer'))
    const marketingApp = await connect(as(agency.env.MARKETING_URL, 'marketing_writer'))

    // Until the copy is filled it is written to beside its changes.
    const filled = async () =>
      (await agency.marketing.query<{ state: string }>('select state from comity.asked_backfills')).rows.map(({ state }) => state)
    await expect.poll(filled, { timeout: 60_000 }).toEqual(['ready'])
    for (const change of [
      insertCustomer('c1'),
      `update customers set name = 'New' where id = 'c1'`,
      `delete from customers where id = 'c1'`,
      insertCustomer('c1'),
    ]) {
      const arrived = await watchTable(agency.marketing, 'crm_customer')
      await crmApp.query(change)
      await arrived()
    }
    const copied = async () => (await marketingApp.query('select id, email from crm_customer')).rows
    await expect.poll(copied).toEqual([{ id: 'c1', email: 'c1@example.com' }])

    await agency.marketing.query(`update crm_customer set email = 'edited by hand' where id = 'c1'`)
    const audit = await comity(['audit', 'marketing.crm-customer', '-c', MARKETING], { env: env.marketing })
    expect({ ...audit, code: audit.code }).toMatchObject({ code: 3, stdout: expect.stringContaining('c1  different') })
    expect(audit.stdout).not.toContain('edited by hand')
    // The runner may see what differs; the application's role is told what it lacks.
    const shown = await comity(['audit', 'status', '--values', '-c', MARKETING], { env: env.marketing })
    expect(shown.stdout).toContain('email: here "edited by hand", at the owner "c1@example.com"')
    const application = { ...env.marketing, MARKETING_URL: as(agency.env.MARKETING_URL, 'marketing_writer') }
    const seen = 'select on comity.audits, comity.audit_findings, comity.repairs, comity.replicas, comity.migrations, comity.database'
    await agency.marketing.query(`grant ${seen} to marketing_writer`)
    const denied = await comity(['audit', 'status', '--values', '-c', MARKETING], { env: application })
    expect(denied).toMatchObject({ code: 1, stderr: expect.stringContaining('COMITY_VALUES_NOT_ALLOWED') })
    expect(denied.stdout + denied.stderr).not.toContain('edited by hand')
    await agency.marketing.query(`revoke ${seen} from marketing_writer`)
    const repair = await comity(['audit', 'marketing.crm-customer', '--repair', '-c', MARKETING], { env: env.marketing })
    expect(repair).toMatchObject({ code: 0, stdout: expect.stringContaining('c1  different → true') })
    expect((await comity(['audit', 'status', '-c', MARKETING], { env: env.marketing })).stdout).toContain('1 of 1 keys')
    expect((await marketingApp.query('select id, email from crm_customer')).rows).toEqual([{ id: 'c1', email: 'c1@example.com' }])

    const handled = await watchTable(agency.crm, 'customers')
    await marketingApp.query(`select comity.publish('marketing.email-sent', '{"customerId":"c1","agencyId":"a1"}')`)
    await handled()
    const parked = await watchTable(agency.crm, 'comity.waiting_keys')
    await marketingApp.query(`select comity.publish('marketing.email-sent', '{"customerId":"bad","agencyId":"a1"}')`)
    await parked()
    const later = `select comity.publish('marketing.email-sent', '{"customerId":"c1","agencyId":"a1"}', not_before => now() + interval`
    await marketingApp.query(`${later} '1 day')`)
    expect((await marketingApp.query(`select comity.cancel_scheduled('marketing.email-sent', 'c1') as gone`)).rows).toEqual([{ gone: 1 }])
    const handledLater = await watchTable(agency.crm, 'customers')
    await marketingApp.query(`${later} '100 ms')`)
    await handledLater()
    const withheld = await watchTable(agency.marketing, 'comity.withheld')
    await marketingApp.query(`select comity.publish('marketing.email-sent', '{"customerId":"c2","agencyId":7}')`)
    await withheld()

    const status = await comity(['status', '-c', CRM], { env: env.crm })
    expect(status.code, status.stdout).toBe(3)
    expect(status.stdout).toContain('1 keys wait in crm.marketing-email-sent')
    // Each at its owner: what its application has deleted, and an event that waits at another team.
    await crmApp.query(`delete from customers where id = 'c1'`)
    for (const [config, own, topic, key] of [
      [CRM, env.crm, 'crm.customer', 'c1'],
      [MARKETING, env.marketing, 'marketing.email-sent', 'bad'],
    ] as const) {
      const erased = await comity(['erase', topic, key, '--reason', 'a test', '--yes', key, '-c', config], { env: own })
      expect(erased.code, erased.stdout + erased.stderr).toBe(0)
    }
    expect((await agency.crm.query('select key from comity.waiting_keys')).rows).toEqual([])
    expect((await crmRun.stop('SIGTERM')).code).toBe(0)
    await start(CRM, env.crm).line(/leading/)
    for (const { lines } of running) expect(lines.filter((line) => /permission denied|"level":"error"/.test(line))).toEqual([])
  }, 120_000)

  test('are no more than enough: what goes beyond them is refused', async () => {
    const envs = runnerEnv()
    const roles = {
      crm_writer: as(agency.env.CRM_URL, 'crm_writer'),
      crm_runner: envs.crm.CRM_URL as string,
      marketing_writer: as(agency.env.MARKETING_URL, 'marketing_writer'),
      crm_bus: envs.crm.BUS_URL as string,
    }
    const refused: Readonly<Record<keyof typeof roles, readonly string[]>> = {
      crm_writer: [
        'select from comity.outbox',
        'select from comity.contracts',
        'select from comity.inbox',
        `insert into comity.outbox (topic, key, kind) values ('crm.customer', 'x', 'event')`,
        'delete from comity.outbox',
        `update comity.checkpoint set id = 0`,
        'select comity.notice_incarnation()',
        'select comity.horizon()',
        'select comity.move_scheduled()',
        'select from comity.scheduled',
        `select nextval('comity.outbox_id')`,
        `select comity.release_capture('crm.customer')`,
        `select comity.drop_leaf('outbox_first')`,
        'create table comity.mine (id int)',
        'create table public.mine (id int)',
        'alter table customers disable trigger all',
        'select * from comity_public."crm.customer"',
      ],
      crm_runner: [
        `insert into comity.outbox (topic, key, kind) values ('crm.customer', 'x', 'event')`,
        'update comity.outbox set payload = null',
        'delete from comity.outbox',
        'truncate comity.outbox',
        'delete from comity.scheduled',
        `insert into comity.scheduled (due, topic, key, payload) values (now(), 'crm.customer', 'x', '{}')`,
        `select setval('comity.outbox_id', 1)`,
        `select nextval('comity.outbox_id')`,
        `update comity.contracts set source = 'published'`,
        `update comity.database set team = 'other'`,
        'delete from comity.inbox',
        'update comity.inbox set recorded_at = now()',
        'delete from comity.waiting',
        `update comity.waiting set key = ''`,
        'delete from comity.withheld',
        `update comity.withheld set payload = null`,
        'delete from comity.tombstones',
        `update comity.subscriptions set lanes = 2`,
        `select comity.drop_leaf('outbox_first')`,
        `select comity.release_capture('crm.customer')`,
        'delete from customers',
        'create table comity.mine (id int)',
        'drop schema comity cascade',
      ],
      marketing_writer: [
        'select from comity.outbox',
        'update crm_customer set name = $$x$$',
        'delete from crm_customer',
        'update comity.tombstones set version = 0',
        'update comity.replicas set columns = null',
      ],
      crm_bus: ['select from comity_bus.messages', 'delete from comity_bus.positions', `select comity_bus.enroll('crm_bus', 'marketing')`],
    }
    const allowed: string[] = []
    for (const [role, statements] of Object.entries(refused)) {
      const client = await connect(roles[role as keyof typeof roles])
      for (const statement of statements) {
        const code = await client.query(statement).then(
          () => 'done',
          (error: { code: string }) => error.code,
        )
        if (code !== '42501') allowed.push(`${role}: ${statement}: ${code}`)
      }
    }
    expect(allowed).toEqual([])
  })

  test('do not let one team publish as another on the bus', async () => {
    const { crm } = runnerEnv()
    const client = await connect(crm.BUS_URL as string)
    const sql = `select comity_bus.claim('marketing', 99999999999999, 'thief')`
    await expect(client.query(sql)).rejects.toMatchObject({ code: 'CB003' })
  })

  test('may be printed and run again', async () => {
    const env = { ...agency.env, CRM_URL: as(agency.env.CRM_URL, 'crm_owner') }
    const { stdout } = await comity(['migrate', '--roles', '--json', '-c', CRM], { env })
    const [script] = JSON.parse(stdout).teams
    expect(script.roles).toEqual({ writer: 'crm_writer', runner: 'crm_runner', bus: 'crm_bus' })
    await agency.crm.query('grant delete on comity.outbox to crm_writer')
    await agency.crm.query(script.database)
    const { rows } = await agency.crm.query(`select has_table_privilege('crm_writer', 'comity.outbox', 'delete') as delete`)
    expect(rows).toEqual([{ delete: false }])
  })
})
