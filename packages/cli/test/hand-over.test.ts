/** The runbook of docs/handing-over.md, by the commands, while the teams run. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Agency, insertCustomer, newAgency } from './support/agency.ts'
import { buildCli, comity as child, fixture } from './support/comity.ts'

vi.hoisted(() => {
  process.env.NO_COLOR = '1'
  process.env.COLUMNS = '120'
  process.env.COMITY_AUTHOR = 'ada'
})
const { inProcess } = await import('./support/in-process.ts')
const CONFIG = ['-c', fixture('handed-over')]
const WHY = ['--reason', 'a test']

let agency: Agency
const running: { stop(): Promise<void> }[] = []
beforeAll(async () => {
  await buildCli()
  agency = await newAgency()
  Object.assign(process.env, agency.env)
  await agency.crm.query(`${insertCustomer('c1')}; ${insertCustomer('c2')}`)
  for (const command of ['migrate', 'provision']) expect(await inProcess(command, ...CONFIG)).toMatchObject({ code: 0 })
  const { default: teams } = await import('./fixtures/handed-over/comity.config.ts')
  for (const team of teams) {
    await team.start()
    running.push(team)
  }
}, 180_000)
afterAll(async () => {
  for (const team of running) await team.stop()
  await agency?.close()
})

test('an entity is given, told, taken, and its old subscription removed', async () => {
  const next = (...args: string[]) => child([...args, ...CONFIG], { env: { ...agency.env, NEXT_RELEASE: 'yes' } })
  const give = (...more: string[]) => inProcess('hand-over', 'give', 'crm.customer', '--to', 'marketing', ...CONFIG, ...WHY, ...more)
  expect((await inProcess('hand-over', ...CONFIG)).stdout).toBe('nothing has changed hands\n')
  expect((await give('--dry-run')).stdout).toBe('this hands crm.customer over from crm to marketing\n')
  expect(await give()).toMatchObject({ code: 1, stderr: expect.stringContaining('COMITY_NOT_CONFIRMED') })
  const early = await next('migrate', '--check', '--team', 'marketing')
  expect(early, early.stderr).toMatchObject({ code: 1, stderr: expect.stringContaining('has not heard that its owner has handed it over') })

  // As soon as CRM has heard of the copy, and it is filled.
  await vi.waitFor(async () => expect(await give('--yes', 'crm.customer')).toMatchObject({ code: 0 }), { timeout: 60_000, interval: 500 })
  await agency.crm.query(`update customers set name = 'too late' where id = 'c2'`)
  expect(await next('provision', '--team', 'marketing')).toMatchObject({ code: 0 })
  await vi.waitFor(
    async () => {
      const taken = await next('migrate', '--team', 'marketing')
      expect(taken, taken.stderr).toMatchObject({ code: 0, stdout: expect.stringContaining('take crm.customer over: capture customers') })
    },
    { timeout: 60_000, interval: 500 },
  )
  const list = await inProcess('hand-over', 'list', ...CONFIG, '--json')
  expect(JSON.parse(list.stdout)).toMatchObject([
    { team: 'crm', entity: 'crm.customer', from: 'crm', to: 'marketing', toldAt: expect.any(String), takenAt: null },
    { team: 'marketing', entity: 'crm.customer', from: 'crm', to: 'marketing', toldAt: null, takenAt: expect.any(String) },
  ])
  expect((await inProcess('hand-over', ...CONFIG)).stdout).toMatch(/^TEAM +ENTITY .*\ncrm +crm\.customer/)
  await vi.waitFor(async () => expect((await inProcess('withheld', 'list', ...CONFIG)).stdout).toContain('COMITY_HANDED_OVER'), {
    timeout: 60_000,
    interval: 200,
  })
  for (const team of running.splice(0)) await team.stop()
  const accept = await next('hand-over', 'accept', 'marketing.crm-customer', ...WHY)
  expect(accept).toMatchObject({ code: 1, stderr: expect.stringContaining('COMITY_COPY_NOT_ACCEPTED') })
  const removed = await next('subscriptions', 'remove', 'marketing.crm-customer', ...WHY, '--yes', 'marketing.crm-customer')
  expect(removed, removed.stderr).toMatchObject({ code: 0 })
  expect((await agency.marketing.query('select id, name from customers order by id')).rows).toEqual([
    { id: 'c1', name: 'Customer c1' },
    { id: 'c2', name: 'Customer c2' },
  ])
})
