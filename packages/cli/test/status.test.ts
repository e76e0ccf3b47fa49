import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Agency, BOTH, CRM, insertCustomer, newAgency, prepare, watchTable } from './support/agency.ts'
import { buildCli, comity, type Started, startComity } from './support/comity.ts'

beforeAll(buildCli, 120_000)

let agency: Agency
let running: Started | undefined
beforeEach(async () => {
  agency = await newAgency()
})
afterEach(async () => {
  await running?.stop('SIGKILL')
  running = undefined
  await agency.close()
})

async function startBoth(): Promise<void> {
  running = startComity(['run', '-c', BOTH], agency)
  await Promise.all(['crm', 'marketing'].map((team) => running?.line(new RegExp(`"team":"${team}".*"running"`))))
}

/** What differs from run to run. */
function stable(text: string): string {
  return text
    .replace(/relayed by \S+, term \d+/g, 'relayed by HOST:PID, term N')
    .replace(/to version \d+/g, (found) => 'to version N'.padEnd(found.length))
}

describe('comity status', () => {
  test('fits 80 columns without colour', async () => {
    await prepare(agency)
    await startBoth()
    const arrived = await watchTable(agency.marketing, 'crm_customer')
    await agency.crm.query(insertCustomer('c1'))
    await arrived()
    await settled()
    const { code, stdout } = await comity(['status', '-c', BOTH], { env: { ...agency.env, COLUMNS: '80' } })
    expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([])
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that there is none is the point
    expect(stdout).not.toMatch(/\x1b/)
    expect(stable(stdout)).toMatchInlineSnapshot(`
      "TEAM                                  LAG  OLDEST  WAITING  WITHHELD  FRESH
      crm  relayed by HOST:PID, term N
        outbox   to version N                 0       -                  0
        topic    crm.customer
        handler  crm.marketing-email-sent     0       -        0
      marketing  relayed by HOST:PID, term N
        outbox   to version N                 0       -                  0
        topic    marketing.email-sent
        replica  marketing.crm-customer       0       -        0              now

      no problems
      "
    `)
    expect(code).toBe(0)
  })

  test('names what is read here and deprecated by its owner, which is no problem', async () => {
    await prepare(agency)
    await startBoth()
    await settled()
    await agency.marketing.query(
      `insert into comity.catalog_contracts as c (team, name, hash, description, declared_at)
       values ('crm', 'crm.customer', 'other', $1::jsonb, now() + interval '1 day')
       on conflict (team, name) do update set description = excluded.description, declared_at = excluded.declared_at`,
      [JSON.stringify({ deprecated: { fields: { name: '2027-01-31', phone: '2027-01-31' } }, contact: 'crm \u001b[31m' })],
    )
    const { code, stdout } = await comity(['status', '-c', BOTH], { env: { ...agency.env, COLUMNS: '80' } })
    expect(stdout).toMatch(
      /\n- marketing: marketing.crm-customer reads crm.customer.name, deprecated from\s+2027-01-31: ask crm \("crm \\u001b\[31m"\)\nno problems\n$/,
    )
    expect(code).toBe(0)
    const { teams } = JSON.parse((await comity(['status', '-c', BOTH, '--json'], { env: agency.env })).stdout)
    expect(teams[1].deprecated).toMatchObject([{ contract: 'crm.customer', field: 'name', from: '2027-01-31', owner: 'crm' }])
    const doctor = await comity(['doctor', '-c', BOTH, '-t', 'marketing'], { env: agency.env })
    expect(doctor.stdout).toContain('crm.customer.name is deprecated from 2027-01-31')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: another team's words must not reach the terminal as they are
    expect(doctor.stdout).not.toMatch(/\x1b/)
  })

  test('names what waits and what is withheld, and ends with 3', async () => {
    await prepare(agency)
    await startBoth()
    const parked = await watchTable(agency.crm, 'comity.waiting_keys')
    const withheld = await watchTable(agency.marketing, 'comity.withheld')
    await agency.marketing.query(`select comity.publish('marketing.email-sent', '{"customerId":"bad","agencyId":"a1"}')`)
    await agency.marketing.query(`select comity.publish('marketing.email-sent', '{"customerId":"c2","agencyId":7}')`)
    await Promise.all([parked(), withheld()])
    await settled()
    const { code, stdout } = await comity(['status', '-c', BOTH], { env: { ...agency.env, COLUMNS: '80' } })
    expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([])
    expect(stable(stdout)).toMatchInlineSnapshot(`
      "TEAM                                  LAG  OLDEST  WAITING  WITHHELD  FRESH
      crm  relayed by HOST:PID, term N
        outbox   to version N                 0       -                  0
        topic    crm.customer
        handler  crm.marketing-email-sent     0       -        1
      marketing  relayed by HOST:PID, term N
        outbox   to version N                 0       -                  1
        topic    marketing.email-sent
        replica  marketing.crm-customer       0       -        0              now

      ! crm: 1 keys wait in crm.marketing-email-sent, 1 of them dead letters: "comity
        dead-letters" lists them
      ! marketing: 1 changes are withheld, which "comity withheld" lists with their
        reasons
      "
    `)
    expect(code).toBe(3)

    const listed = await comity(['withheld', '-c', BOTH], agency)
    expect(listed.code).toBe(3)
    expect(listed.stdout).toMatch(/crm: nothing is withheld\n.*TOPIC +KEY +VERSION/s)
    expect(listed.stdout).toMatch(/marketing.email-sent +c2 +\d+ .* COMITY_INVALID_DATA +agencyId: /)
    const retried = await comity(['withheld', 'retry', 'marketing.email-sent', 'c2', '-t', 'marketing', '-c', BOTH], agency)
    expect(retried).toMatchObject({ code: 3, stdout: 'marketing: 0 sent, 1 still withheld, see "comity withheld"\n' })
    const nothing = await comity(['withheld', 'retry', 'crm.customer', '-t', 'crm', '--json', '-c', BOTH], agency)
    expect(JSON.parse(nothing.stdout)).toMatchObject({ error: { code: 'COMITY_NOTHING_WITHHELD' } })
  })

  /** Asked again until nothing is on its way. */
  async function settled(): Promise<void> {
    const figures = async (): Promise<unknown> => {
      const { teams } = JSON.parse((await comity(['status', '--json', '-c', BOTH], agency)).stdout)
      return teams.flatMap((team: { outbox: { pending: number }; subscriptions: { lag: number }[] }) => [
        team.outbox.pending,
        ...team.subscriptions.map(({ lag }) => lag),
      ])
    }
    await expect.poll(figures, { timeout: 60_000, interval: 200 }).toEqual([0, 0, 0, 0])
  }

  test('shows the other teams when one can not be asked, and ends with 1', async () => {
    await agency.close()
    agency = await newAgency('npm', { empty: true })
    await comity(['migrate', '-c', CRM], agency)
    const { code, stdout } = await comity(['status', '-c', BOTH], agency)
    expect(code).toBe(1)
    expect(stdout).toContain('crm.customer')
    expect(stdout).toContain('marketing  COMITY_NOT_MIGRATED')
    expect(stdout).toContain('! marketing: the database of marketing is not migrated for this code')
    expect(stdout).toContain('! crm: nobody relays this outbox')
  })

  test('--watch looks again every second until it is told to stop', async () => {
    await comity(['migrate', '-c', CRM], agency)
    const watching = startComity(['status', '--watch', '--json', '-c', CRM], agency)
    running = watching
    const first = await watching.line(/^\{/)
    const second = await watching.line(/^\{/, { after: 1 })
    const at = [first, second].map((line) => Date.parse(JSON.parse(line).teams[0].at))
    expect((at[1] as number) - (at[0] as number)).toBeGreaterThan(900)
    const { code, signal } = await watching.stop('SIGINT')
    expect([code, signal]).toEqual([3, null])
  })
})
