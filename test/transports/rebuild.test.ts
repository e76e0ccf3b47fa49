/** A bus whose disk is gone: it is empty, and filled again from the outboxes. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { buildCli } from '../../packages/cli/test/support/comity.ts'
import { until } from '../chaos/until.ts'
import { freshDatabase } from '../support/postgres.ts'
import { Agency, recreate } from './agency.ts'

vi.hoisted(() => {
  process.env.NO_COLOR = '1'
})
const { inProcess } = await import('../../packages/cli/test/support/in-process.ts')

let agency: Agency
let bus: string
let teams: typeof import('./agency/comity.config.ts')
const rebuild = (...args: string[]) =>
  inProcess('transport', 'rebuild', '--reason', 'the disk is gone', ...args, '-c', 'test/transports/agency')
const reported = async () => {
  const { code, stdout } = await rebuild('--json')
  const said: readonly { readonly team: string }[] = JSON.parse(stdout).teams
  return { code, of: (name: string) => said.find(({ team }) => team === name) }
}
const handled = async (team: 'crm' | 'analysis') =>
  (await agency.sql(team).query('select count(*)::int as n, count(distinct message)::int as messages from effects')).rows[0]

beforeAll(async () => {
  await buildCli()
  agency = await Agency.create()
  bus = (await freshDatabase()).url
  Object.assign(process.env, agency.env, { COMITY_TRANSPORT: bus, AGENCY_LEASE: '3s' })
  teams = await import('./agency/comity.config.ts')
  for (const team of teams.default) {
    await team.migrate()
    await team.provision()
    await team.start()
  }
}, 180_000)
afterAll(async () => {
  for (const team of teams?.default ?? []) await team.stop()
  await agency?.[Symbol.asyncDispose]()
})

test('what was not consumed arrives, nothing is handled twice, and order per key holds', async () => {
  for (let round = 0; round < 3; round++) await agency.write()
  await agency.settled()
  // Analysis is away, so the next of its events are only on the bus and in the outbox when the bus goes.
  await teams.analysis.stop()
  for (let round = 0; round < 3; round++) await agency.write()
  await teams.marketing.drained()
  await teams.crm.drained()
  await recreate(bus, { create: true })
  // The relays lead, and have nothing to send: it is for the rebuild to tell them.
  const { code, of } = await reported()
  expect(code).toBe(0)
  expect(of('marketing')).toMatchObject({
    team: 'marketing',
    inTime: true,
    outcome: { topics: [{ topic: 'marketing.email-sent', messages: 72, gone: null }], leader: { holder: expect.any(String) } },
  })
  await teams.analysis.start()
  await agency.settled()
  for (const team of ['crm', 'analysis'] as const) {
    expect(await agency.violations(team)).toEqual([])
    expect(await handled(team)).toEqual({ n: 72, messages: 72 })
  }
  await agency.write()
  await agency.settled()
}, 120_000)

test('what is beyond the retention is named, with what each subscription has lost of it', async () => {
  await teams.analysis.stop()
  await agency.write()
  await teams.marketing.drained()
  await until('crm has had it', async () => (await handled('crm')).messages === 96)
  // As the care of the outbox leaves it a day later: rows gone, and their leaf cut off below.
  const owner = agency.sql('marketing')
  await owner.query('select comity.advance_versions(comity.clock_id(now() + interval $$3 days$$))')
  await owner.query('delete from comity.outbox')
  await owner.query(`update comity.partitions set lower_bound = '1' where parent = 'outbox' and lower_bound = 'MINVALUE'`)
  await agency.write()
  await recreate(bus, { create: true })
  const { code, of } = await reported()
  expect(code).toBe(3)
  const before = { version: expect.any(Number), time: expect.any(String) }
  expect(of('marketing')).toMatchObject({
    outcome: { topics: [{ topic: 'marketing.email-sent', messages: 12, gone: { since: expect.any(String), before } }] },
  })
  expect(of('analysis')).toMatchObject({
    team: 'analysis',
    subscriptions: [{ subscription: 'analysis.marketing-email-sent', state: 'lost' }],
  })
  const { stdout } = await rebuild()
  expect(stdout).toMatch(/gone: versions below \d+, announced between/)
  await teams.analysis.start()
  await until(
    'what is retained has arrived',
    async () => (await handled('crm')).messages === 108 && (await handled('analysis')).messages === 96,
  )
  for (const team of ['crm', 'analysis'] as const) expect(await agency.violations(team)).toEqual([])
}, 120_000)
