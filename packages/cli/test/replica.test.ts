/** A copy's table is rebuilt, narrowed and dropped by the commands, while its teams run. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Agency, BOTH, insertCustomer, newAgency } from './support/agency.ts'
import { buildCli, comity as child, fixture } from './support/comity.ts'

vi.hoisted(() => {
  process.env.NO_COLOR = '1'
  process.env.COLUMNS = '80'
  process.env.COMITY_AUTHOR = 'ada'
})
const { inProcess } = await import('./support/in-process.ts')
const WHY = ['--reason', 'a test']
const NARROWER = ['-c', fixture('narrower')]
const COPY = 'marketing.crm-customer'

let agency: Agency
const running: { stop(): Promise<void> }[] = []
beforeAll(async () => {
  await buildCli()
  agency = await newAgency()
  Object.assign(process.env, agency.env)
  await agency.crm.query(`${insertCustomer('c1')}; ${insertCustomer('c2')}`)
  for (const command of ['migrate', 'provision']) expect(await inProcess(command, '-c', BOTH)).toMatchObject({ code: 0 })
  const { default: teams } = await import('./fixtures/both/comity.config.ts')
  for (const team of teams) {
    await team.start()
    running.push(team)
  }
}, 180_000)
afterAll(async () => {
  for (const team of running) await team.stop()
  await agency?.close()
})

test('rebuild fills, waits and switches; what can not be said without looking has to be confirmed', { timeout: 60_000 }, async () => {
  const rebuild = (...more: string[]) => inProcess('replica', 'rebuild', COPY, '-c', BOTH, ...WHY, ...more)
  expect((await rebuild('--dry-run')).stdout).toBe(`marketing: this fills a new table for ${COPY}\n`)
  const done = await rebuild()
  expect(done, done.stderr).toMatchObject({ code: 0, stdout: expect.stringMatching(/ready\nmarketing: .* is read from its new table\n$/) })
  expect((await agency.marketing.query('select id, name from crm_customer order by id')).rows.map(({ id }) => id)).toEqual(['c1', 'c2'])
  expect(await rebuild('--cancel')).toMatchObject({ code: 1, stderr: expect.stringContaining('COMITY_REPLICA_NOT_REBUILDING') })

  const migrated = await inProcess('migrate', ...NARROWER)
  expect(migrated.stdout).toBe(
    `marketing: up to date\nmarketing: note: nothing declares name of public.crm_customer any more: kept, and kept true; "comity replica narrow ${COPY}" drops it\n`,
  )
  const narrow = (...more: string[]) => inProcess('replica', 'narrow', COPY, ...NARROWER, ...WHY, ...more)
  expect((await narrow('--dry-run')).stdout).toBe(`this drops name of ${COPY}\n`)
  expect(await narrow()).toMatchObject({ code: 1, stderr: expect.stringContaining('COMITY_NOT_CONFIRMED') })
  expect((await narrow('--yes', 'name')).stdout).toBe(`marketing: dropped name of ${COPY}\n`)
  expect((await narrow()).stdout).toBe(`${COPY} has nothing that is not declared\n`)

  for (const team of running.splice(0)) await team.stop()
  const env = { ...agency.env, WITHOUT_COPY: 'yes' }
  const drop = (...more: string[]) => child(['replica', 'drop', COPY, ...NARROWER, ...WHY, ...more], { env })
  expect((await child(['migrate', ...NARROWER], { env })).stdout).toContain(`"comity replica drop ${COPY}" takes them away`)
  expect(await drop()).toMatchObject({ code: 1, stderr: expect.stringContaining('COMITY_TABLE_NOT_CHOSEN') })
  expect((await drop('--keep-table', '--yes', COPY)).stdout).toBe(
    `marketing: ${COPY} is gone; its table public.crm_customer stays as a plain table\n`,
  )
  expect((await agency.marketing.query('select count(*)::int as n from crm_customer')).rows).toEqual([{ n: 2 }])
})
