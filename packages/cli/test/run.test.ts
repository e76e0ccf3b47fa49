import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Agency, CRM, insertCustomer, MARKETING, newAgency, prepare, watchTable } from './support/agency.ts'
import { buildCli, comity, type Started, startComity } from './support/comity.ts'

beforeAll(buildCli, 120_000)

let agency: Agency
let running: Started[]
beforeEach(async () => {
  agency = await newAgency()
  running = []
})
afterEach(async () => {
  await Promise.all(running.map((one) => one.stop('SIGKILL')))
  await agency.close()
})

function run(config: string, ...args: string[]): Started {
  const started = startComity(['run', '--config', config, ...args], { env: agency.env })
  running.push(started)
  return started
}

describe('comity run', () => {
  test('refuses, with the command that helps and no stack trace, a database that is not migrated', async () => {
    const { code, stderr } = await run(CRM).ended
    expect(code).toBe(1)
    expect(stderr).toContain('COMITY_NOT_MIGRATED')
    expect(stderr).toContain('What to do: run "comity migrate"')
    expect(stderr).not.toContain('    at ')
  })

  test('carries a plain SQL change of one team into the copy of the other, and ends by SIGTERM with 0', async () => {
    await prepare(agency)
    const [crm, marketing] = [run(CRM, '--port', '0'), run(MARKETING)]
    await Promise.all([crm.line(/"running"/), marketing.line(/"running"/)])
    await expectMonitoring(crm)
    const arrived = await watchTable(agency.marketing, 'crm_customer')
    await agency.crm.query(insertCustomer('c1'))
    await arrived()
    const { rows } = await agency.marketing.query('select id, email, name from crm_customer')
    expect(rows).toEqual([{ id: 'c1', email: 'c1@example.com', name: 'Customer c1' }])
    expect(Object.keys((await agency.marketing.query('select * from crm_customer')).rows[0])).not.toContain('phone')

    for (const [team, one] of Object.entries({ crm, marketing })) {
      const ended = await one.stop('SIGTERM')
      expect(ended.code, ended.stderr).toBe(0)
      const log = ended.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
      expect(log).toContainEqual(expect.objectContaining({ level: 'info', team, msg: 'running' }))
      expect(log.at(-1)).toMatchObject({ msg: 'stopped' })
    }
  })

  test('goes on where it was after kill -9', async () => {
    await prepare(agency)
    const relay = run(CRM)
    const killed = run(MARKETING)
    await Promise.all([relay.line(/"running"/), killed.line(/"running"/)])
    const first = await watchTable(agency.marketing, 'crm_customer')
    await agency.crm.query(insertCustomer('c1'))
    await first()
    await killed.stop('SIGKILL')
    await agency.crm.query(insertCustomer('c2'))
    run(MARKETING)
    // What is written first may be c1 again, by the backfill that was going on.
    const copied = async () => (await agency.marketing.query('select id from crm_customer order by id')).rows
    await expect.poll(copied).toEqual([{ id: 'c1' }, { id: 'c2' }])
  })

  test('--only relay leaves the subscriptions, --only subscriptions leaves the outbox', async () => {
    await prepare(agency)
    const subscriptions = run(CRM, '--only', 'subscriptions')
    const announced = JSON.parse(await subscriptions.line(/"running"/))
    expect(announced).toMatchObject({ subscriptions: ['crm.marketing-email-sent'] })
    expect(announced).not.toHaveProperty('topics')

    const relay = run(CRM, '--only', 'relay')
    expect(JSON.parse(await relay.line(/"running"/))).not.toHaveProperty('subscriptions')
    await relay.line(/leading/)
    const { rows } = await agency.crm.query(`select holder from comity.leases where name = 'relay'`)
    expect(rows[0].holder).toContain(`:${relay.child.pid}:`)
  })

  test('a handler that is at work when SIGTERM comes ends first; a second signal ends the process at once', async () => {
    await prepare(agency)
    await agency.crm.query(insertCustomer('c1'))
    const publish = `select comity.publish('marketing.email-sent', '{"customerId":"c1","agencyId":"a1"}')`
    // The handler's update waits for this lock.
    await agency.crm.query('begin')
    await agency.crm.query(`select from customers where id = 'c1' for update`)
    const [crm, relay] = [run(CRM), run(MARKETING)]
    await Promise.all([crm.line(/"running"/), relay.line(/"running"/)])
    await agency.marketing.query(publish)
    await blocked()
    crm.child.kill('SIGTERM')
    await crm.line(/stopping/)
    await agency.crm.query('commit')
    expect((await crm.ended).code).toBe(0)
    expect((await agency.crm.query('select phone from customers')).rows[0].phone).toMatch(/^20/)

    await agency.crm.query('begin')
    await agency.crm.query(`select from customers where id = 'c1' for update`)
    const again = run(CRM)
    await again.line(/"running"/)
    await agency.marketing.query(publish)
    await blocked()
    again.child.kill('SIGTERM')
    await again.line(/stopping/)
    expect((await again.stop('SIGINT')).code).toBe(130)
    await agency.crm.query('rollback')
  }, 60_000)

  /** Probes, and metrics for Prometheus, where the log says. */
  async function expectMonitoring(crm: Started): Promise<void> {
    const { url } = JSON.parse(await crm.line(/comity\.monitoring/)) as { url: string }
    const ask = async (path: string): Promise<string> => (await fetch(url + path)).text()
    const wait = { timeout: 60_000, interval: 100 }
    await expect.poll(async () => JSON.parse(await ask('/readyz')), wait).toMatchObject({ ok: true, teams: { crm: { ok: true } } })
    expect(JSON.parse(await ask('/livez'))).toMatchObject({ ok: true, teams: { crm: { ok: true } } })
    await expect.poll(() => ask('/metrics'), wait).toMatch(/^comity_relay_leading\{comity_team="crm"\} 1$/m)
  }

  /** Asked again until a session waits for a lock: nothing tells of that. */
  async function blocked(): Promise<void> {
    await expect
      .poll(
        async () =>
          (
            await agency.marketing.query(
              `select count(*)::int as n from pg_stat_activity where wait_event_type = 'Lock' and query like '%update customers%'`,
            )
          ).rows[0].n,
        { timeout: 60_000 },
      )
      .toBe(1)
  }

  test('an error of the configuration ends it before anything runs', async () => {
    const { code, stdout, stderr } = await comity(['run', '--config', CRM, '--team', 'sales'], { env: agency.env })
    expect(code).toBe(1)
    expect(stdout).toBe('')
    expect(stderr).toContain('COMITY_TEAM_NOT_IN_CONFIG')
    expect(stderr).toContain('give one of its teams: crm')
  })
})
